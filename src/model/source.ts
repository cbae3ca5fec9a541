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
  /** Registry statuses that get traffic. */
  readonly accept: readonly AcceptedStatus[];
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
  accept: ['passing', 'warning'],
};

/** The source with nothing but its registry and its service. */
export function plainSource(registry: string, service: string): ServiceSource {
  return { registry, service, ...SOURCE_DEFAULTS };
}

// In the order of the defaults, whatever the order in which a source was written.
export const SOURCE_KEYS = Object.keys(SOURCE_DEFAULTS) as SourceKey[];

/** Two sources with the same key are one watch. */
export function sourceKey(source: ServiceSource): string {
  return JSON.stringify([
    source.registry,
    source.service,
    ...SOURCE_KEYS.map((key) => source[key]),
  ]);
}
