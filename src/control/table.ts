// The desired state: which services there are, how each is to be served, and which source gives it
// its endpoints. Explicit configuration wins over what a service says of itself in the registry.
// No clock, no socket: each change returns the services it concerns, and costs nothing for others.
import { isDeepStrictEqual } from 'node:util';
import { type Service, type ServiceSource, sourceKey } from '../model/service.ts';

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
  /** The last good reading of the settings; null while there is none. */
  readonly service: Service | null;
  readonly problems: readonly string[];
}

const NO_CHANGE: TableChange = { changed: [], removed: [] };

export class Table {
  private readonly describe: Describe;
  /** Null before there is a configuration: nothing is served then. */
  private configured: ReadonlyMap<string, Service> | null = null;
  /** By source key. */
  private readonly described = new Map<string, Described>();
  /** Source keys that describe a service of this name; the first has it. */
  private readonly claims = new Map<string, string[]>();
  private readonly services = new Map<string, DesiredService>();
  /** Services per source key. */
  private readonly bySource = new Map<string, Set<string>>();

  constructor(describe: Describe) {
    this.describe = describe;
  }

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

  /** What the source says of itself now; null takes it back. */
  describeSource(source: ServiceSource, settings: SourceSettings | null): TableChange {
    const key = sourceKey(source);
    const before = this.described.get(key) ?? null;
    if (settings === null) return this.forgetSource(key);
    if (before !== null && isDeepStrictEqual(before.settings, settings)) return NO_CHANGE;
    const read = this.describe(source, settings);
    // A slip in a tag must not take a running service away: the last good reading goes on.
    const service = read.service ?? before?.service ?? null;
    this.described.set(key, { source, settings, service, problems: read.problems });
    const names = new Set<string>();
    if (before?.service) {
      names.add(before.service.name);
      if (before.service.name !== service?.name) this.dropClaim(before.service.name, key);
    }
    if (service !== null) {
      names.add(service.name);
      const claims = this.claims.get(service.name) ?? [];
      if (!claims.includes(key)) this.claims.set(service.name, [...claims, key]);
    }
    return this.settle(names);
  }

  /** The source is not provided any more, or says nothing of itself any more. */
  forgetSource(key: string): TableChange {
    const described = this.described.get(key);
    if (described === undefined) return NO_CHANGE;
    this.described.delete(key);
    if (described.service === null) return NO_CHANGE;
    const { name } = described.service;
    this.dropClaim(name, key);
    return this.settle([name]);
  }

  /** What is wrong, and can be seen at no service: descriptions that are not in use. */
  problems(): string[] {
    const problems: string[] = [];
    for (const [key, { source, service, problems: own }] of this.described) {
      const name = service?.name ?? source.service;
      if (this.configured?.has(name)) continue;
      if (service === null) problems.push(...own.map((problem) => `service ${name}: ${problem}`));
      else if (this.claims.get(name)?.[0] !== key) {
        problems.push(`service ${name} describes itself twice: ${where(source)} is not in use`);
      }
    }
    return problems;
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
    const key = sourceKey(service.from);
    const names = this.bySource.get(key) ?? new Set();
    this.bySource.set(key, names.add(service.name));
  }

  private unlink(service: Service): void {
    const key = sourceKey(service.from);
    const names = this.bySource.get(key);
    names?.delete(service.name);
    if (names?.size === 0) this.bySource.delete(key);
  }
}

function where({ registry, service, datacenter }: ServiceSource): string {
  return datacenter === ''
    ? `${service} of ${registry}`
    : `${service} of ${registry} ${datacenter}`;
}
