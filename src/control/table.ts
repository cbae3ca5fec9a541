// The desired state: which services there are, how each is to be served, and which source gives it
// its endpoints. Explicit configuration wins over what a service says of itself in the registry.
// No clock, no socket: each change returns the services it concerns, and costs nothing for others.
import { isDeepStrictEqual } from 'node:util';
import type { Service } from '../model/service.ts';
import { type ServiceSource, sourceKey } from '../model/source.ts';

export type SourceSettings = Readonly<Record<string, string>>;

/** Reads the settings that a service gives itself in the registry. */
export type Describe = (
  source: ServiceSource,
  settings: SourceSettings,
) => { readonly service: Service | null; readonly problems: readonly string[] };

export interface DesiredService {
  readonly service: Service;
  readonly isConfigured: boolean;
  /** What is wrong with what it says of itself. */
  readonly problems: readonly string[];
}

/** Names of services. */
export interface TableChange {
  /** New, or to be served in another way. */
  readonly changed: readonly string[];
  readonly removed: readonly string[];
}

/** What a source says of itself. */
interface Described {
  readonly source: ServiceSource;
  readonly settings: SourceSettings;
  /** Who described himself earlier has the lower one; the last where it is not known. */
  readonly order: number;
  /** The last good reading of the settings; null while there is none. */
  readonly service: Service | null;
  readonly problems: readonly string[];
}

/** The order of what has none: after all others. */
const UNORDERED = Number.MAX_SAFE_INTEGER;

const NO_CHANGE: TableChange = { changed: [], removed: [] };

export class Table {
  private readonly describe: Describe;
  /** Null before there is a configuration: nothing is served then. */
  private configured: ReadonlyMap<string, Service> | null = null;
  /** By source key. */
  private readonly described = new Map<string, Described>();
  /** Keys of the sources in `described`, by the name of the service in the registry. */
  private readonly byName = new Map<string, Set<string>>();
  /** Source keys that describe a service of this name, sorted; the first has it. */
  private readonly claims = new Map<string, string[]>();
  private readonly services = new Map<string, DesiredService>();
  /** Services per source key. */
  private readonly bySource = new Map<string, Set<string>>();

  constructor(describe: Describe) {
    this.describe = describe;
  }

  /** Null where there is no such service. */
  get(name: string): DesiredService | null {
    return this.services.get(name) ?? null;
  }

  /** The services that get their endpoints from this source. */
  servedBy(key: string): Iterable<string> {
    return this.bySource.get(key) ?? [];
  }

  /** The explicit services, from now on. */
  configure(services: readonly Service[]): TableChange {
    const concerned = new Set(this.configured?.keys() ?? this.claims.keys());
    this.configured = new Map(services.map((service) => [service.name, service]));
    for (const name of this.configured.keys()) concerned.add(name);
    return this.settle(concerned);
  }

  /**
   * What the source says of itself now; null takes it back. `order` is the lowest that was ever
   * said while it has wanted the same listener: one that is as old as that stays so, although its
   * first instances have been replaced.
   */
  describeSource(
    source: ServiceSource,
    settings: SourceSettings | null,
    order = UNORDERED,
  ): TableChange {
    const key = sourceKey(source);
    const before = this.described.get(key) ?? null;
    if (settings === null) return this.forgetSource(key);
    const isSameWish = before !== null && wishOf(before.settings) === wishOf(settings);
    const lowest = Math.min(order, isSameWish ? (before?.order ?? order) : order);
    if (before !== null && isDeepStrictEqual(before.settings, settings)) {
      if (lowest === before.order) return NO_CHANGE;
      this.described.set(key, { ...before, order: lowest });
      // Whose listener it is may change, and nothing else.
      const name = before.service?.name;
      return name === undefined ? NO_CHANGE : { changed: [name], removed: [] };
    }
    const read = this.describe(source, settings);
    // A slip in a tag must not take a running service away: the last good reading goes on.
    const service = read.service ?? before?.service ?? null;
    this.described.set(key, { source, settings, order: lowest, service, problems: read.problems });
    const named = this.byName.get(source.service) ?? new Set();
    this.byName.set(source.service, named.add(key));
    const names = new Set<string>();
    if (before?.service) {
      names.add(before.service.name);
      if (before.service.name !== service?.name) this.dropClaim(before.service.name, key);
    }
    if (service !== null) {
      names.add(service.name);
      const claims = this.claims.get(service.name) ?? [];
      if (!claims.includes(key)) this.claims.set(service.name, [...claims, key].sort());
    }
    return this.settle(names);
  }

  /** The source is not provided any more, or says nothing of itself any more. */
  forgetSource(key: string): TableChange {
    const described = this.described.get(key);
    if (described === undefined) return NO_CHANGE;
    this.described.delete(key);
    const named = this.byName.get(described.source.service);
    named?.delete(key);
    if (named?.size === 0) this.byName.delete(described.source.service);
    if (described.service === null) return NO_CHANGE;
    const { name } = described.service;
    this.dropClaim(name, key);
    return this.settle([name]);
  }

  /** Rank by when the service described itself: the lower, the earlier; after all others where it did not. */
  orderOf(name: string): number {
    const [first = ''] = this.claims.get(name) ?? [];
    return this.described.get(first)?.order ?? UNORDERED;
  }

  /** The lowest order that was said for this source; null where it says nothing of itself. */
  orderOfSource(key: string): number | null {
    const order = this.described.get(key)?.order ?? UNORDERED;
    return order === UNORDERED ? null : order;
  }

  /** Names of the services that describe themselves, well or not. */
  get describedNames(): Iterable<string> {
    return this.byName.keys();
  }

  /** What is wrong with descriptions of this name that are not in use. */
  unservedOf(name: string): string[] {
    if (this.configured?.has(name)) return [];
    return [...(this.byName.get(name) ?? [])].flatMap((key) => {
      const { source, service, problems } = this.described.get(key)!;
      if (service === null) return problems;
      const isFirst = this.claims.get(name)?.[0] === key;
      return isFirst ? [] : [`describes itself twice: ${where(source)} is not in use`];
    });
  }

  private dropClaim(name: string, key: string): void {
    const left = (this.claims.get(name) ?? []).filter((one) => one !== key);
    if (left.length === 0) this.claims.delete(name);
    else this.claims.set(name, left);
  }

  /** Brings these services up to what is wanted now. */
  private settle(names: Iterable<string>): TableChange {
    const changed: string[] = [];
    const removed: string[] = [];
    for (const name of names) {
      const before = this.services.get(name) ?? null;
      const after = this.wanted(name);
      if (isDeepStrictEqual(before, after)) continue;
      if (before !== null) this.unlink(before.service);
      if (after === null) {
        this.services.delete(name);
        removed.push(name);
      } else {
        this.services.set(name, after);
        this.link(after.service);
        changed.push(name);
      }
    }
    return { changed, removed };
  }

  private wanted(name: string): DesiredService | null {
    if (this.configured === null) return null;
    const service = this.configured.get(name);
    if (service !== undefined) return { service, isConfigured: true, problems: [] };
    const [first = ''] = this.claims.get(name) ?? [];
    const described = this.described.get(first);
    if (!described?.service) return null;
    return { service: described.service, isConfigured: false, problems: described.problems };
  }

  private link(service: Service): void {
    for (const { source } of service.from) {
      const key = sourceKey(source);
      const names = this.bySource.get(key) ?? new Set();
      this.bySource.set(key, names.add(service.name));
    }
  }

  private unlink(service: Service): void {
    for (const { source } of service.from) {
      const key = sourceKey(source);
      const names = this.bySource.get(key);
      names?.delete(service.name);
      if (names?.size === 0) this.bySource.delete(key);
    }
  }
}

function where({ registry, service, datacenter }: ServiceSource): string {
  return datacenter === ''
    ? `${service} of ${registry}`
    : `${service} of ${registry} ${datacenter}`;
}

/** What a service wants that another one may want as well: its listener, its route. */
function wishOf(settings: SourceSettings): string {
  const keys = ['listen', 'route.listen', 'route.host', 'route.path'];
  return JSON.stringify(keys.map((key) => settings[key] ?? ''));
}
