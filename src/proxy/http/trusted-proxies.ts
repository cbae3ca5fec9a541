import { BlockList, isIPv6 } from 'node:net';

/** Whether an address is in one of the networks, each given as an address or in CIDR notation. */
export type TrustedProxies = (address: string) => boolean;

const none: TrustedProxies = () => false;

/** Made once per list and kept: lists come with snapshots, connections by the thousand. */
const cache = new WeakMap<readonly string[], TrustedProxies>();

/** Throws where a network is none: the configuration has checked them. */
export function trustedProxies(networks: readonly string[]): TrustedProxies {
  if (networks.length === 0) return none;
  let check = cache.get(networks);
  if (check === undefined) {
    check = compile(networks);
    cache.set(networks, check);
  }
  return check;
}

function compile(networks: readonly string[]): TrustedProxies {
  const list = new BlockList();
  for (const network of networks) {
    const [address = '', bits] = network.split('/');
    const family = isIPv6(address) ? 'ipv6' : 'ipv4';
    if (bits === undefined) list.addAddress(address, family);
    else list.addSubnet(address, Number(bits), family);
  }
  return (address) => list.check(address, isIPv6(address) ? 'ipv6' : 'ipv4');
}
