// Who there may be in a run: services, their instances, agents, and configurations.
import { type GuidedShape, guidedServices, LAST_RESORT } from './guided/shape.ts';
import { NETWORKS, PLACES, trustText } from './guided/trust.ts';
import type { Instance } from './truth.ts';
import { addressOf, NODES } from './truth.ts';

export const AGENTS: readonly string[] = ['http://a1:8500', 'http://a2:8500'];
export const STATE_FILE = '/state';
export const OVERLAY_KEY = 'upriver/config';
/** The host name that an instance of `names` has in the place of an address. */
export const HOST_NAME = 'db.example';

/** Instances that there are in every world. */
const PLAIN: readonly Instance[] = [
  ...instancesOf('web', 4, 8100),
  ...instancesOf('api', 3, 8200),
  ...instancesOf('mq', 3, 8300),
  ...instancesOf('names', 2, 8400, HOST_NAME),
  ...instancesOf('shop', 3, 8500, '', ['upriver.listen=9500']),
  ...instancesOf('meta', 2, 8600, '', [], { 'upriver-listen': '9600' }),
];
/** Every instance that may be registered; its index is its number in a plan. */
export const REGISTERED: readonly Instance[] = [
  ...PLAIN,
  ...instancesOf('db', 3, 8700),
  ...instancesOf('tier', 4, 8800),
  ...instancesOf('far', 3, 8900, NETWORKS[0]!.address),
  ...instancesOf('rogue', 2, 9000, '', [`upriver.listen=${PLACES[0]!.listen}`]),
];
/** Where services that describe themselves want to listen. */
export const DESCRIBED_PORTS: ReadonlyMap<string, number> = new Map([
  ['shop', 9500],
  ['meta', 9600],
]);
/** Services that are there by their own description. */
export const DESCRIBING: ReadonlySet<string> = new Set([...DESCRIBED_PORTS.keys(), 'rogue']);
/** Those that there are in every world come first; a server is behind each. */
export const PLAIN_COUNT = PLAIN.length;

function instancesOf(
  service: string,
  count: number,
  port: number,
  address = '',
  tags: readonly string[] = [],
  meta: Readonly<Record<string, string>> = {},
): Instance[] {
  return Array.from({ length: count }, (_, i) => {
    const colour = i % 2 === 0 ? 'blue' : 'green';
    return {
      ...{ node: NODES[i % NODES.length]!, id: `${service}-${i + 1}`, service, address },
      ...{ port: port + i, tags: [colour, ...tags], meta, weight: 1, status: 'passing' as const },
      ...{ isInMaintenance: false, index: 0, checkIndex: 0 },
    };
  });
}

/** Where an instance is reached; a host name as it is. */
export function placeOf(one: Instance): string {
  return `${hostOf(one)}:${one.port}`;
}

/** Its address, or its host name. */
export function hostOf({ address, node }: Instance): string {
  return address === '' ? addressOf(node) : address;
}

/** The number of the first instance of a service. */
export function firstOf(service: string): number {
  return REGISTERED.findIndex((one) => one.service === service);
}

export function countOf(service: string): number {
  return REGISTERED.filter((one) => one.service === service).length;
}

export interface Shape {
  readonly waitS: number;
  readonly holdS: number;
  readonly isGuarded: boolean;
  readonly maxRemoved: number;
  readonly isStale: boolean;
  /** Null: there is none of what `guided` has. */
  readonly guided: GuidedShape | null;
}

export const variantCount = 6;

/** The text of a configuration. Number 0 is the first one of each run. */
export function configText(variant: number, shape: Shape): string {
  const agents = variant === 3 ? [AGENTS[1]!] : variant === 5 ? [...AGENTS].reverse() : AGENTS;
  const hasApi = variant !== 1;
  const tag = variant === 2 ? ', tag: blue' : '';
  const check = variant === 4 ? 'interval: 5s, path: /other' : 'interval: 2s, path: /health';
  // Large ones are read apart from other work.
  const comment = variant === 5 || variant === 2 ? `# ${'x'.repeat(9000)}` : '';
  const { guided } = shape;
  const extra = variant >= 2 ? '\n  plain: { listen: 9900, from: { registry: static } }' : '';
  return `${comment}
registries:
  consul:
    address: [${agents.join(', ')}]
    wait: ${shape.waitS}s
    stale: ${shape.isStale}
${guided === null ? '' : `    ${trustText(variant)}\n`}services:
  web: { listen: 9100, from: { service: web${tag} } }
  second: { listen: 9110, from: { service: web } }
${hasApi ? `  api: { listen: 9200, health: { ${check}, timeout: 1s }, passive: { resets: 3, max_ejected: 50% } }` : ''}
  mq: { listen: 9300, protocol: tcp, health: { interval: 3s, timeout: 1s }, slow_start: 5s }
  names: { listen: 9400, passive: { resets: 3 } }${extra}
${guided === null ? '' : guidedServices(variant, guided)}static:
  plain: [10.1.0.1:80, 10.1.0.2:80]
${guided === null ? '' : `  last: ["${LAST_RESORT}"]\n`}\
guard: { enabled: ${shape.isGuarded}, hold: ${shape.holdS}s, max_removed: ${shape.maxRemoved}% }
state: { file: ${STATE_FILE} }
stats: { listen: off }
memory: { max: 1GiB }
workers: 2
`;
}

/** Texts of the overlay; null removes it, and the last is no configuration at all. */
export const OVERLAYS: readonly (string | null)[] = [
  null,
  'services: { over: { listen: 9700, from: { service: mq } } }',
  'services: { over: { listen: 9710, from: { service: web, tag: green } } }',
  'services: [',
];
