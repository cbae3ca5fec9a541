// What the table must be when nothing is wrong any more, worked out from what is registered in truth,
// the configuration, the operator's words and the servers: apart from the product's own way there.

import type { TableView } from '../../src/control/view.ts';
import type { Role } from '../../src/health/outcome.ts';
import type { CheckType, Service } from '../../src/model/service.ts';
import type { Settings } from '../../src/model/settings.ts';
import { isDenied } from './guided/trust.ts';
import { describes, type Instance, keyOf } from './truth.ts';
import { HOST_NAME, hostOf } from './universe.ts';

export interface Word {
  state: 'ready' | 'drain' | 'maint';
  weight: number | null;
}

export interface Facts {
  readonly settings: Settings;
  /** As they ought to be registered. */
  readonly instances: readonly Instance[];
  readonly maintained: ReadonlySet<string>;
  /** By `service endpoint-id`. */
  readonly words: ReadonlyMap<string, Word>;
  /** Whether an active check of the server at this place is good. */
  readonly isServing: (place: string, type: CheckType) => boolean;
  /** What the server there says that it is. */
  readonly roleAt: (place: string) => Role;
  /** Who holds a lock of this key: names of an endpoint, the first before the second. */
  readonly holderOf: (lock: string) => readonly string[];
  /** Addresses of the host name; null: it is gone, and what was known of it may stay. */
  readonly nameAddresses: readonly string[];
}

/** Service -> endpoint id -> what it must be: `address:port weight state`. */
export type Expected = ReadonlyMap<string, ReadonlyMap<string, string>>;

export function expectedTable(facts: Facts): Expected {
  const table = new Map<string, Map<string, string>>();
  for (const service of facts.settings.services) {
    table.set(service.name, endpointsOf(facts, service.name, service));
  }
  for (const one of facts.instances) {
    const { service: name } = one;
    if (!describes(one) || table.has(name)) continue;
    table.set(name, endpointsOf(facts, name, null));
  }
  return table;
}

/** One that a source names. */
interface Named {
  readonly name: string;
  readonly id: string;
  readonly address: string;
  readonly port: number;
  readonly tags: readonly string[];
  readonly weight: number;
  readonly barred: string;
}

/** `service` is null for one that describes itself. */
function endpointsOf(facts: Facts, name: string, service: Service | null): Map<string, string> {
  const named = new Map<string, Named>();
  const plain = { source: { registry: 'consul', service: name, tag: '' } };
  for (const { source } of service?.from ?? [plain]) {
    for (const one of namedBy(facts, name, source)) named.set(one.id, one);
  }
  const all = [...named.values()];
  const primary = service?.primary == null ? null : primaryOf(facts, all, service);
  return new Map(
    all.map((one) => {
      const isStandby = primary !== null && one.id !== primary;
      return [one.id, shown(facts, one, { service, isStandby })] as const;
    }),
  );
}

function namedBy(
  facts: Facts,
  name: string,
  { registry, service, tag }: { registry: string; service: string; tag: string },
): Named[] {
  if (registry === 'static') {
    return (facts.settings.static[service] ?? []).map(({ address, port, weight }) => {
      return { name, id: `${address}:${port}`, address, port, weight, tags: [], barred: '' };
    });
  }
  const own = facts.instances.filter(
    (one) => one.service === service && (tag === '' || one.tags.includes(tag)),
  );
  return own.flatMap((one) => {
    const key = keyOf(one);
    const { port, tags } = one;
    const barred = barredBy(one, facts.maintained);
    const weight = weightOf(one, barred === 'maint');
    const isName = one.address === HOST_NAME;
    const addresses = isName ? facts.nameAddresses : [hostOf(one)];
    return addresses.map((address) => {
      const id = isName ? `${key}@${address}` : key;
      return { name, id, address, port, tags, weight, barred };
    });
  });
}

/** The id of the one that is the primary; '' where none is, or more than one. */
function primaryOf(facts: Facts, all: readonly Named[], { primary, health }: Service): string {
  const { by, tag, lock } = primary!;
  const only = (list: readonly Named[]): string => (list.length === 1 ? list[0]!.id : '');
  switch (by) {
    case 'tag':
      return only(all.filter(({ tags }) => tags.includes(tag)));
    case 'lock': {
      const held = facts.holderOf(lock).map((name) => all.filter(({ id }) => idsOf(id).has(name)));
      return only(held.find(({ length }) => length > 0) ?? []);
    }
    case 'check': {
      const isFine = (place: string): boolean => facts.isServing(place, health!.type);
      return only(
        all.filter(({ address, port }) => {
          const place = `${address}:${port}`;
          return isFine(place) && facts.roleAt(place) === 'primary';
        }),
      );
    }
  }
}

/** What a lock may call an endpoint of Consul: its id there, or its node. */
function idsOf(id: string): ReadonlySet<string> {
  return new Set([id, ...id.split('/')]);
}

function weightOf(one: Instance, isMaintained: boolean): number {
  const { tags, weight } = one;
  // Maintenance is worse than a warning.
  const status = isMaintained ? 'critical' : one.status;
  const tag = tags.find((one) => one.startsWith('upriver.weight='));
  if (tag === undefined) return status === 'warning' ? 1 : weight;
  const own = Number(tag.slice('upriver.weight='.length));
  return status === 'warning' ? Math.min(own, 1) : own;
}

function barredBy(one: Instance, maintained: ReadonlySet<string>): string {
  if (one.isInMaintenance || maintained.has(one.node)) return 'maint';
  return one.status === 'critical' ? 'down' : '';
}

function shown(
  facts: Facts,
  one: Named,
  { service, isStandby }: { service: Service | null; isStandby: boolean },
): string {
  const { name, id, address, port, barred } = one;
  const place = `${address}:${port}`;
  const word = facts.words.get(`${name} ${id}`);
  const weight = word?.weight ?? one.weight;
  const health = service?.health ?? null;
  const isOfNoUse = health?.wantsRole === true && health.type === 'http';
  const isDown =
    health !== null &&
    (!facts.isServing(place, health.type) || (isOfNoUse && facts.roleAt(place) === 'replica'));
  let state = 'up';
  if (isDenied(address, facts.settings)) state = 'down';
  else if (word?.state === 'maint' || barred === 'maint') state = 'maint';
  else if (word?.state === 'drain') state = 'drain';
  else if (barred === 'down' || isDown || isStandby) state = 'down';
  else if (weight === 0) state = 'drain';
  return `${place} weight ${weight} ${state}`;
}

/** The table as the product shows it, in the same words. */
export function shownTable(view: TableView): Expected {
  return new Map(
    view.services().map(({ service, endpoints }) => {
      const shownEndpoints = endpoints.map(({ id, address, port, weight, state }) => {
        return [id, `${address}:${port} weight ${weight} ${state}`] as const;
      });
      return [service.name, new Map(shownEndpoints)];
    }),
  );
}

/** Where the two differ, in sentences. */
export function differences(expected: Expected, shown: Expected): string[] {
  const found: string[] = [];
  for (const name of new Set([...expected.keys(), ...shown.keys()])) {
    const [must, is] = [expected.get(name), shown.get(name)];
    if (is === undefined) found.push(`service ${name} is missing`);
    else if (must === undefined) found.push(`service ${name} is there still`);
    else {
      for (const id of new Set([...must.keys(), ...is.keys()])) {
        const [a, b] = [must.get(id), is.get(id)];
        if (a === b) continue;
        if (b === undefined) found.push(`${id} of ${name} is missing`);
        else if (a === undefined) found.push(`${id} of ${name} is there still`);
        else found.push(`${id} of ${name} is '${b}', and should be '${a}'`);
      }
    }
  }
  return found;
}
