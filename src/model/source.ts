// Where the endpoints of a service come from: one question to one registry. Not every registry takes
// every key (config/registries/table.ts); what it does not take has its default.

/** Registry statuses, and whether they get traffic. */
export type AcceptedStatus = 'passing' | 'warning' | 'critical' | 'maintenance';

export interface ServiceSource {
  /** Provider name: consul, static, ... */
  readonly registry: string;
  /** Name in the registry. */
  readonly service: string;
  /** Only instances with this tag; '' for all. */
  readonly tag: string;
  /** '' for the registry's own. */
  readonly datacenter: string;
  /** The registry's filter expression; '' for none. */
  readonly filter: string;
  /** Consul Enterprise namespace, partition and peer; '' for none. */
  readonly namespace: string;
  readonly partition: string;
  readonly peer: string;
  /** Consul: the instances are keys below this one and the service's name; '' for the catalog. */
  readonly kv: string;
  /** Consul: the name or id of a prepared query that is executed in place of the catalog's question. */
  readonly query: string;
  /** Registry statuses that get traffic. */
  readonly accept: readonly AcceptedStatus[];
}

/** A source as a service uses it. */
export interface UsedSource {
  readonly source: ServiceSource;
  /** Endpoints of the lowest priority that has one in working order get the traffic. */
  readonly priority: number;
}

/** The keys of a source beside its registry and its service. */
export type SourceKey = Exclude<keyof ServiceSource, 'registry' | 'service'>;

/** What each key is where nobody says: a text of one key more is a row here. */
export const SOURCE_DEFAULTS: Pick<ServiceSource, SourceKey> = {
  tag: '',
  datacenter: '',
  filter: '',
  namespace: '',
  partition: '',
  peer: '',
  kv: '',
  query: '',
  accept: ['passing', 'warning'],
};

/** The source with nothing but its registry and its service. */
export function plainSource(registry: string, service: string): ServiceSource {
  return { registry, service, ...SOURCE_DEFAULTS };
}

/** The priority of a source that says none. */
export const PRIORITY_DEFAULT = 1;

/** The only source of a service. */
export function onlySource(source: ServiceSource): readonly UsedSource[] {
  return [{ source, priority: PRIORITY_DEFAULT }];
}

// In the order of the defaults, whatever the order in which a source was written.
export const SOURCE_KEYS = Object.keys(SOURCE_DEFAULTS) as SourceKey[];

/** Keys that were made: every second those of all services are asked for, and no source ever changes. */
const keys = new WeakMap<ServiceSource, string>();

/** Two sources with the same key are one watch. */
export function sourceKey(source: ServiceSource): string {
  const known = keys.get(source);
  if (known !== undefined) return known;
  const parts = [source.registry, source.service, ...SOURCE_KEYS.map((key) => source[key])];
  const key = JSON.stringify(parts);
  keys.set(source, key);
  return key;
}

/** Human-readable: `consul web`, and what else tells it from another question about the same service. */
export function formatSource(source: ServiceSource): string {
  const { registry, service } = source;
  const more = SOURCE_KEYS.flatMap((key) => {
    const value = source[key];
    return typeof value !== 'string' || value === '' ? [] : [`${key} ${value}`];
  });
  return `${registry} ${service}${more.length === 0 ? '' : ` (${more.join(', ')})`}`;
}
