// Who there may be in a run of several registries: services, who is registered where, and the
// configurations that follow them.

import { FALLING } from './priorities.ts';
import { DNS_SERVERS } from './sim-dns.ts';
import { ENGINE } from './sim-engine.ts';
import type { EtcdApi } from './sim-etcd.ts';
import { ZOOKEEPER_MEMBERS } from './sim-zookeeper.ts';

export type RegistryName = 'etcd' | 'docker' | 'dns' | 'zookeeper';

/** One that may be registered. */
export interface Member {
  readonly registry: RegistryName;
  /** As the registry calls the service. */
  readonly service: string;
  /** Its name there. */
  readonly name: string;
  readonly address: string;
  readonly port: number;
}

export const ETCD_MEMBERS: readonly string[] = [
  ...['http://e1:2379', 'http://e2:2379', 'http://e3:2379'],
];
export const STATE_FILE = '/state';
export const SERVERS: Readonly<Record<RegistryName, readonly string[]>> = {
  etcd: ETCD_MEMBERS,
  docker: [ENGINE],
  dns: DNS_SERVERS,
  zookeeper: ZOOKEEPER_MEMBERS,
};
/** Where published ports of containers are reached. */
const HOST = '10.3.0.1';
/** The service that says itself where it wants to be served, and where. */
export const SHOP = { key: '/backends/shop/port', port: 9500 };

/** Everyone that may be registered; the index is the number in a plan. */
export const MEMBERS: readonly Member[] = [
  ...members('etcd', 'web', 3, '10.2.0', 8000),
  ...members('docker', 'app', 3, '', 8100),
  ...members('dns', 'db.example', 3, '10.4.0', 5432),
  // The second of them is the same endpoint in both registries.
  ...members('etcd', 'both', 1, '10.2.1', 8200),
  { registry: 'etcd', service: 'both', name: 'both-shared', address: HOST, port: 8301 },
  { registry: 'docker', service: 'both', name: 'both-shared', address: HOST, port: 8301 },
  ...members('docker', 'both', 2, '', 8310),
  ...members('etcd', 'fall', 2, '10.2.2', 8400),
  ...members('dns', 'fall.example', 2, '10.4.2', 8400),
  ...members('etcd', 'shop', 2, '10.2.3', 8500),
  // Last: the numbers before them stay what they were.
  ...members('zookeeper', 'cache', 4, '10.5.0', 8600),
  ...members('zookeeper', 'kiosk', 2, '10.5.1', 8700),
  // Of services whose instances are replaced again and again, in some of the runs.
  ...members('etcd', 'swap', 1, '10.6.0', 8800),
  ...members('docker', 'swap', 1, '', 8810),
  ...members('dns', 'swap.example', 1, '10.6.1', 8820),
  ...members('zookeeper', 'swap', 1, '10.6.2', 8830),
];

/** Whether it is one of those. */
export function isReplaced({ service }: Member): boolean {
  return service.startsWith('swap');
}

function members(
  registry: RegistryName,
  service: string,
  count: number,
  net: string,
  port: number,
): Member[] {
  return Array.from({ length: count }, (_, i) => ({
    ...{ registry, service, name: `${service.split('.')[0]!}-${registry}-${i + 1}` },
    address: net === '' ? HOST : `${net}.${i + 1}`,
    // Containers share the address of their host.
    port: net === '' ? port + i : port,
  }));
}

export function placeOf({ address, port }: Pick<Member, 'address' | 'port'>): string {
  return `${address}:${port}`;
}

export interface Shape {
  readonly api: EtcdApi;
  readonly isAuto: boolean;
  readonly holdS: number;
  /** There are services whose instances are replaced again and again (replacing.ts). */
  readonly isReplacing: boolean;
  /** Of the service with priorities, s. */
  readonly failover: { readonly afterS: number; readonly returnS: number };
}

export const variantCount = 5;

const REPLACED: readonly (readonly [string, readonly string[]])[] = [
  ['swap-e', ['etcd|swap']],
  ['swap-d', ['docker|swap']],
  ['swap-n', ['dns|swap.example']],
  ['swap-z', ['zookeeper|swap']],
];

/** Which registries a service of the configuration follows, as `registry|service`. */
export type Followed = ReadonlyMap<string, readonly string[]>;

export function followedBy(variant: number, isReplacing: boolean): Followed {
  const isShort = variant === 2;
  return new Map([
    ['e', ['etcd|web']],
    ...(variant === 1 ? [] : [['d', ['docker|app']] as const]),
    ['n', ['dns|db.example']],
    ['both', isShort ? ['etcd|both'] : ['etcd|both', 'docker|both']],
    ['fall', ['etcd|fall', 'dns|fall.example']],
    ['z', ['zookeeper|cache']],
    ...(isReplacing ? REPLACED : []),
  ]);
}

/** Of the sources of the service that has some, in their order. */
export function prioritiesOf(variant: number): readonly number[] {
  return variant === 4 ? [2, 1] : [1, 2];
}

/** The text of a configuration. Number 0 is the first one of each run. */
export function configText(variant: number, shape: Shape): string {
  const { api, isAuto, holdS, isReplacing, failover } = shape;
  const etcd = variant === 3 ? ETCD_MEMBERS.slice(1) : ETCD_MEMBERS;
  const { afterS, returnS } = failover;
  const services = [...followedBy(variant, isReplacing)].map(([name, sources], i) => {
    const from = sources.map((source, at) => {
      const [registry, service] = source.split('|');
      const priority = name === FALLING ? `, priority: ${prioritiesOf(variant)[at]}` : '';
      return `{ registry: ${registry}, service: ${service}${priority} }`;
    });
    const own =
      name === FALLING ? `, failover: { after: ${afterS}s, return_after: ${returnS}s }` : '';
    return `  ${name}: { listen: ${9100 + 10 * i}, from: [${from.join(', ')}]${own} }`;
  });
  return `
registries:
  etcd: { address: [${etcd.join(', ')}], api: ${isAuto ? 'auto' : api} }
  docker: { address: [${ENGINE}], host: ${HOST} }
  dns: { address: [${DNS_SERVERS.join(', ')}] }
  zookeeper: { address: [${ZOOKEEPER_MEMBERS.join(', ')}] }
services:
${services.join('\n')}
guard: { hold: ${holdS}s }
state: { file: ${STATE_FILE} }
stats: { listen: off }
memory: { max: 1GiB }
workers: 2
`;
}
