// The addresses of the host names that configuration listens on: what else wants an address is
// compared with them. The system's resolver is asked, as it is when they are opened.
import { lookup } from 'node:dns/promises';
import { formatIp, parseIp } from '../base/ip-address.ts';

/** Opening a listener on a name that isn't resolved by then fails, and says so. */
const WAIT_MS = 2000;

/** By name; hosts that are addresses, or '', are none. Never rejects. */
export async function addressesOfNames(hosts: readonly string[]): Promise<Map<string, string[]>> {
  const names = [...new Set(hosts)].filter((host) => host !== '' && parseIp(host) === null);
  const found = await Promise.all(names.map(addressesOf));
  return new Map(names.map((name, i) => [name, found[i]!]));
}

function addressesOf(name: string): Promise<string[]> {
  const late = new Promise<string[]>((resolve) => setTimeout(() => resolve([]), WAIT_MS).unref());
  const asked = lookup(name, { all: true }).then(
    (found) => found.flatMap(({ address }) => spelled(address)),
    () => [],
  );
  return Promise.race([asked, late]);
}

function spelled(address: string): string[] {
  const ip = parseIp(address);
  return ip === null ? [] : [formatIp(ip)];
}
