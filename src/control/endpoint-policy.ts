// Where no endpoint may be, whatever its source: Upriver's own stats port and listeners, where a
// request would come from this host and go round for ever, and the networks that configuration
// denies to the registry. Looked at after names are resolved, by the address that is connected to.
import { changedKeys } from '../base/changed-keys.ts';
import { type IpBytes, isUnspecified, LOOPBACK, Networks, parseIp } from '../base/ip-address.ts';
import type { Endpoint } from '../model/endpoint.ts';
import { formatListen, type ListenAddress } from '../model/listener.ts';
import type { RegistrySettings, RegistryTrust } from '../model/registries/table.ts';
import type { ListenerSnapshot } from '../model/snapshot.ts';

const NO_PORTS: ReadonlySet<number> = new Set();
const VERDICTS_MAX = 65_536;

export interface EndpointPolicyOptions {
  /** Every address of this machine. */
  readonly localAddresses: () => readonly string[];
}

/** How an endpoint is spoken to, and how it is checked. */
export interface Spoken {
  readonly service: Transport;
  readonly check: Transport;
}

type Transport = 'tcp' | 'udp';

const BY_TCP: Spoken = { service: 'tcp', check: 'tcp' };

interface Own {
  readonly transport: Transport;
  /** Null for every address. */
  readonly hosts: Networks | null;
  /** "the stats port", human-readable. */
  readonly name: string;
}

/** The networks that are denied to the endpoints of one registry. */
class Denied {
  readonly key: string;
  private readonly networks: Networks;
  /** What was found out about addresses: thousands are looked at again when a listener comes. */
  private readonly verdicts = new Map<string, boolean>();

  constructor(networks: readonly string[]) {
    this.key = networks.join();
    this.networks = new Networks(networks);
  }

  has(address: string): boolean {
    let verdict = this.verdicts.get(address);
    if (verdict === undefined) {
      const ip = parseIp(address);
      verdict = ip !== null && this.hasIp(ip);
      if (this.verdicts.size >= VERDICTS_MAX) this.verdicts.clear();
      this.verdicts.set(address, verdict);
    }
    return verdict;
  }

  /** Connecting to the unspecified address connects to loopback. */
  private hasIp(ip: IpBytes): boolean {
    if (this.networks.has(ip)) return true;
    return isUnspecified(ip) && this.networks.has(parseIp('127.0.0.1')!);
  }
}

export class EndpointPolicy {
  private readonly options: EndpointPolicyOptions;
  private readonly loopback = new Networks(LOOPBACK);
  private own: ReadonlyMap<number, readonly Own[]> = new Map();
  /** By registry. */
  private denied = new Map<string, Denied>();
  private addresses: readonly ListenAddress[] = [];
  private stats: ListenAddress | null = null;
  private names: ReadonlyMap<string, readonly string[]> = new Map();
  private local = new Networks([]);
  private localKeys = '';

  constructor(options: EndpointPolicyOptions) {
    this.options = options;
    this.readLocal();
  }

  /** Networks denied to the endpoints of each registry; true where they are others than before. */
  deny(registries: Partial<RegistrySettings>): boolean {
    const before = this.denied;
    this.denied = new Map();
    for (const [name, { endpointDeny = [] }] of Object.entries<RegistryTrust>(registries)) {
      if (endpointDeny.length === 0) continue;
      const key = endpointDeny.join();
      const known = before.get(name);
      this.denied.set(name, known?.key === key ? known : new Denied(endpointDeny));
    }
    return changedKeys(before, this.denied).size > 0;
  }

  /**
   * What Upriver itself listens on; `names` are the addresses of the host names among that. Returns
   * the ports at which something is else than before.
   */
  setOwn(
    stats: ListenAddress | null,
    listeners: readonly ListenerSnapshot[],
    names: ReadonlyMap<string, readonly string[]>,
  ): ReadonlySet<number> {
    const addresses = [...(stats === null ? [] : [stats]), ...listeners.map(addressOf)];
    const isSame = names === this.names && stats === this.stats;
    const before = new Set(isSame ? this.addresses : []);
    const after = new Set(addresses);
    const changed = [...before.symmetricDifference(after)];
    if (isSame && changed.length === 0) return NO_PORTS;
    this.names = names;
    this.stats = stats;
    const others = isSame ? changed : [...this.addresses, ...addresses];
    this.addresses = addresses;
    const ports = new Set(others.flatMap((one) => (one.kind === 'unix' ? [] : [one.port])));
    const own = new Map<number, Own[]>();
    const add = (address: ListenAddress, name: string): void => {
      if (address.kind === 'unix') return;
      const { host, kind: transport, port } = address;
      const hosts = host === '' ? null : new Networks([host, ...(names.get(host) ?? [])]);
      own.set(port, [...(own.get(port) ?? []), { transport, hosts, name }]);
    };
    if (stats !== null) add(stats, 'the stats port');
    for (const { address } of listeners) add(address, `the listener ${formatListen(address)}`);
    this.own = own;
    return ports;
  }

  /** Why this endpoint that these registries name may not be used; '' where it may. */
  refusal(
    registries: readonly string[],
    endpoint: Pick<Endpoint, 'address' | 'port'>,
    checkPort = 0,
    spoken: Spoken = BY_TCP,
  ): string {
    const { address, port } = endpoint;
    // A check by another protocol than the service's may come to another listener of the same port.
    const checked = { address, port: checkPort === 0 ? port : checkPort };
    const own = this.ownAt(endpoint, spoken.service) || this.ownAt(checked, spoken.check);
    if (own !== '') return `refused: it is ${own} of Upriver itself`;
    // One that may be there by another registry's word is let in by that.
    const isDenied = (name: string) => this.denied.get(name)?.has(address) === true;
    if (registries.length === 0 || !registries.every(isDenied)) return '';
    return `refused: ${address} is denied by registries.${registries[0]}.endpoint_deny`;
  }

  private ownAt({ address, port }: Pick<Endpoint, 'address' | 'port'>, by: Transport): string {
    const near = this.own.get(port);
    const ip = near === undefined ? null : parseIp(address);
    if (near === undefined || ip === null) return '';
    for (const { hosts, name, transport } of near) {
      if (transport !== by) continue;
      const isAny = isUnspecified(ip);
      const isHit = hosts === null ? isAny || this.isLocal(ip) : isAny || hosts.has(ip);
      if (isHit) return name;
    }
    return '';
  }

  /** Reads the addresses of this machine; true where they are others than before. */
  readLocal(): boolean {
    const addresses = this.options.localAddresses();
    const keys = [...addresses].sort().join();
    if (keys === this.localKeys) return false;
    this.localKeys = keys;
    this.local = new Networks(addresses);
    return true;
  }

  private isLocal(ip: IpBytes): boolean {
    return this.loopback.has(ip) || this.local.has(ip);
  }
}

function addressOf({ address }: ListenerSnapshot): ListenAddress {
  return address;
}
