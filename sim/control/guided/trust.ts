// Where services that describe themselves may listen, and where no endpoint may be: two sets of rules, and
// what each of them means for the places of a run, said by hand.
import type { ListenAddress } from '../../../src/model/listener.ts';
import type { Settings } from '../../../src/model/settings.ts';

/** The tag of `rogue` has one of these after `upriver.listen=`; which sets of rules allow it. */
export const PLACES: readonly { readonly listen: string; readonly allowedBy: readonly number[] }[] =
  [
    { listen: '9650', allowedBy: [0] },
    { listen: '9750', allowedBy: [1] },
    { listen: '22', allowedBy: [] },
    { listen: '10.0.0.9:9720', allowedBy: [0] },
    { listen: '127.0.0.1:9720', allowedBy: [] },
    { listen: '9720', allowedBy: [] },
    { listen: '/run/up/rogue.sock', allowedBy: [0] },
    { listen: '/run/up/../rogue.sock', allowedBy: [] },
    { listen: '/run/rogue.sock', allowedBy: [] },
    // A service of the configuration has it, and no rule allows it.
    { listen: '9100', allowedBy: [] },
  ];

/** Addresses of `far`; which sets of rules deny them. */
export const NETWORKS: readonly {
  readonly address: string;
  readonly deniedBy: readonly number[];
}[] = [
  { address: '10.66.0.5', deniedBy: [0, 1] },
  { address: '10.67.0.5', deniedBy: [1] },
  { address: '10.68.0.5', deniedBy: [] },
];

const RULES = [
  'listen_allow: [9500-9699, "10.0.0.0/8:9720", /run/up/]\n    endpoint_deny: [10.66.0.0/16]',
  'listen_allow: [9500, 9600, 9700, 9750]\n    endpoint_deny: [10.66.0.0/15, 10.99.0.0/16]',
];

/** The rules of configuration number `variant`, as keys of `registries.consul`. */
export function trustText(variant: number): string {
  return RULES[variant === 3 || variant === 4 ? 1 : 0]!;
}

/** Which set of rules these settings have. */
export function rulesOf({ registries }: Settings): number {
  return registries.consul?.endpointDeny?.length === 1 ? 0 : 1;
}

export function isDenied(address: string, settings: Settings): boolean {
  const one = NETWORKS.find((network) => network.address === address);
  return one?.deniedBy.includes(rulesOf(settings)) === true;
}

/** Whether `rogue` may have this place by these settings. */
export function isAllowed(listen: string, settings: Settings): boolean {
  const place = PLACES.find((one) => one.listen === listen);
  return place?.allowedBy.includes(rulesOf(settings)) === true;
}

/** The place, as a tag says it. */
export function placeText(address: ListenAddress): string {
  if (address.kind === 'unix') return address.path;
  return address.host === '' ? `${address.port}` : `${address.host}:${address.port}`;
}
