// What the table must be when nothing is wrong any more, worked out from what is registered in truth,
// the configuration, the operator's words and the servers: apart from the product's own way there.

import type { TableView } from '../../src/control/view.ts';
import type { CheckType, Service } from '../../src/model/service.ts';
import type { Settings } from '../../src/model/settings.ts';
import { addressOf, describes, type Instance, keyOf } from './truth.ts';

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

/** `service` is null for one that describes itself. */
function endpointsOf(facts: Facts, name: string, service: Service | null): Map<string, string> {
  const found = new Map<string, string>();
  const source = service?.from[0]?.source ?? { registry: 'consul', service: name, tag: '' };
  if (service !== null && source.registry === 'static') {
    for (const { address, port, weight } of facts.settings.static[source.service] ?? []) {
      const id = `${address}:${port}`;
      found.set(id, shown(facts, { name, id, address, port, weight, barred: '', service }));
    }
    return found;
  }
  const { service: registered, tag } = source;
  for (const one of facts.instances) {
    if (one.service !== registered || (tag !== '' && !one.tags.includes(tag))) continue;
    const key = keyOf(one);
    const isName = one.address !== '';
    const addresses = isName ? facts.nameAddresses : [addressOf(one.node)];
    for (const address of addresses) {
      const id = isName ? `${key}@${address}` : key;
      const { port } = one;
      const barred = barredBy(one, facts.maintained);
      const weight = weightOf(one, barred === 'maint');
      found.set(id, shown(facts, { name, id, address, port, weight, barred, service }));
    }
  }
  return found;
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
  one: {
    name: string;
    id: string;
    address: string;
    port: number;
    weight: number;
    barred: string;
    service: Service | null;
  },
): string {
  const { name, id, address, port, barred, service } = one;
  const place = `${address}:${port}`;
  const word = facts.words.get(`${name} ${id}`);
  const weight = word?.weight ?? one.weight;
  const health = service?.health ?? null;
  const isDown = health !== null && !facts.isServing(place, health.type);
  let state = 'up';
  if (word?.state === 'maint' || barred === 'maint') state = 'maint';
  else if (word?.state === 'drain') state = 'drain';
  else if (barred === 'down' || isDown) state = 'down';
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
