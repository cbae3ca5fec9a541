// What an answer says of the name that was asked for: pure. Aliases are followed within the answer,
// as a server that resolves for others gives them.
import { formatHostPort } from '../../base/host-text.ts';
import { BOUNDS } from '../../model/bounds.ts';
import type { Instance } from '../followed-instances.ts';
import { isHost } from '../host-port.ts';
import type { DnsData, DnsMessage, DnsRecord } from './message.ts';

/** Where a server does not tell for how long a name is not there, s. */
const NEGATIVE_TTL = 5;
/** The weight of a record of weight 0 beside others: the least that a turn tells apart (RFC 2782). */
const ZERO_SHARE = 1 / 16;

/** Addresses of one host that are used, as of those that are resolved. */
const ADDRESSES_MAX = 64;

/** What is there of a name; without instances the name, or its records of this type, are not there. */
export interface Said {
  readonly instances: readonly Instance[];
  readonly problems: readonly string[];
  /** The least of the records that it was made of, s. */
  readonly ttl: number;
}

/** The addresses of a name; none where it has none of the type that was asked for. */
export function addressesIn(message: DnsMessage, name: string): { list: string[]; ttl: number } {
  const { records, ttl } = recordsOf(message, name, 'address');
  return { list: [...new Set(records.map(({ data }) => data.address))].sort(), ttl };
}

/**
 * The instances that SRV records name: of the lowest priority number alone. Addresses of their hosts
 * that came with the answer are used; another host is still to be resolved.
 */
export function servicesIn(message: DnsMessage, name: string): Said {
  const { records, ttl } = recordsOf(message, name, 'service');
  // The root as a target says that there is decidedly no such service.
  const services = records.map(({ data }) => data).filter(({ target }) => target !== '');
  const best = Math.min(...services.map(({ priority }) => priority));
  const used = services.filter(({ priority }) => priority === best);
  const shares = sharesOf(used.map(({ weight }) => weight));
  const known = addressesByName(message);
  const instances = new Map<string, Instance>();
  const problems: string[] = [];
  let least = ttl;
  for (const [i, { target, port }] of used.entries()) {
    if (port === 0 || !isHost(target)) {
      problems.push(`SRV record ${target}:${port}: expected a host name and a port`);
      continue;
    }
    const extra = known.get(target);
    least = Math.min(least, extra?.ttl ?? least);
    for (const one of instancesAt(`${target}:${port}`, target, extra?.list ?? [])) {
      if (!instances.has(one.id)) instances.set(one.id, { ...one, port, weight: shares[i]! });
    }
    // Records and addresses multiply. One more than are taken is known to be too many.
    if (instances.size > BOUNDS.listedInstances.max) break;
  }
  return { instances: sorted([...instances.values()]), problems, ttl: least };
}

/** The instances at one port of addresses. */
export function instancesOf(addresses: readonly string[], port: number): readonly Instance[] {
  return sorted(
    addresses.map((host) => {
      const id = formatHostPort(host, port);
      return { id, host, port, weight: 1 };
    }),
  );
}

/** The ids are the same, whether the addresses came with the answer or are resolved later. */
function instancesAt(id: string, host: string, addresses: readonly string[]) {
  if (addresses.length === 0) return [{ id, host }];
  return addresses.map((address) => ({ id: `${id}@${address}`, host: address }));
}

function sorted(instances: Instance[]): Instance[] {
  return instances.sort((one, other) => (one.id < other.id ? -1 : 1));
}

/** Weights as shares: 0 beside others is a small one; where all are 0 they are alike. */
function sharesOf(weights: readonly number[]): readonly number[] {
  if (!weights.includes(0)) return weights;
  if (weights.every((weight) => weight === 0)) return weights.map(() => 1);
  return weights.map((weight) => Math.max(weight, ZERO_SHARE));
}

/** IPv4 addresses where a name has any, else IPv6: one endpoint must not count twice. */
function addressesByName({ answers, additionals }: DnsMessage) {
  const byName = new Map<string, { four: Set<string>; six: Set<string>; ttl: number }>();
  for (const { name, ttl, data } of [...answers, ...additionals]) {
    if (data.kind !== 'address') continue;
    const known = byName.get(name) ?? { four: new Set(), six: new Set(), ttl };
    (data.type === 'A' ? known.four : known.six).add(data.address);
    byName.set(name, { ...known, ttl: Math.min(known.ttl, ttl) });
  }
  return new Map(
    [...byName].map(([name, { four, six, ttl }]) => [
      name,
      { list: [...(four.size > 0 ? four : six)].slice(0, ADDRESSES_MAX), ttl },
    ]),
  );
}

type Of<K> = Extract<DnsData, { readonly kind: K }>;

/** The records of a name, behind its aliases, and how long that may be kept. */
function recordsOf<K extends DnsData['kind']>(message: DnsMessage, asked: string, kind: K) {
  const isKind = (record: DnsRecord): record is DnsRecord & { readonly data: Of<K> } =>
    record.data.kind === kind;
  let name = asked;
  let ttl = Number.POSITIVE_INFINITY;
  for (let i = 0; i < BOUNDS.dnsAliases.max; i += 1) {
    const named = message.answers.filter((record) => record.name === name);
    const records = named.filter(isKind);
    ttl = Math.min(ttl, ...named.map((record) => record.ttl));
    if (records.length > 0) return { records, ttl };
    const alias = named.find(({ data }) => data.kind === 'alias')?.data;
    if (alias?.kind !== 'alias') break;
    name = alias.target;
  }
  return { records: [], ttl: Math.min(ttl, negativeTtlOf(message)) };
}

function negativeTtlOf({ authorities }: DnsMessage): number {
  for (const { ttl, data } of authorities) {
    if (data.kind === 'authority') return Math.min(ttl, data.negativeTtl);
  }
  return NEGATIVE_TTL;
}
