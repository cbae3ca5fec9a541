// Where no endpoint may be, whoever registers it: Upriver's own stats port and listeners, where a
// request would come from this host and go round for ever, and the networks that configuration
// denies to the registry. Looked at after names are resolved, by the address that is connected to.
import type { Clock } from '../base/clock.ts';
import { type IpBytes, isUnspecified, Networks, parseIp } from '../base/ip-address.ts';
import type { Endpoint } from '../model/endpoint.ts';
import { formatListen, type ListenAddress } from '../model/listener.ts';
import type { ListenerSnapshot } from '../model/snapshot.ts';

/** Addresses of this machine may come and go; they are read so often at most. */
const LOCAL_MS = 5000;
const LOOPBACK = ['127.0.0.0/8', '::1'];

export interface EndpointPolicyOptions {
  readonly clock: Clock;
  /** Every address of this machine. */
  readonly localAddresses: () => readonly string[];
}

interface Own {
  /** Null for every address. */
  readonly hosts: Networks | null;
  /** "the stats port", human-readable. */
  readonly name: string;
}

export class EndpointPolicy {
  private readonly options: EndpointPolicyOptions;
  private readonly loopback = new Networks(LOOPBACK);
  private own: ReadonlyMap<number, readonly Own[]> = new Map();
  private denied: readonly string[] = [];
  private deniedNetworks = new Networks([]);
  private local = new Networks(LOOPBACK);
  private localMs = Number.NEGATIVE_INFINITY;

  constructor(options: EndpointPolicyOptions) {
    this.options = options;
  }

  /** Networks denied to the endpoints of the registry; true where they are others than before. */
  deny(networks: readonly string[]): boolean {
    if (networks.join() === this.denied.join()) return false;
    this.denied = networks;
    this.deniedNetworks = new Networks(networks);
    return true;
  }

  /** What Upriver itself listens on; `names` are the addresses of the host names among that. */
  setOwn(
    stats: ListenAddress | null,
    listeners: readonly ListenerSnapshot[],
    names: ReadonlyMap<string, readonly string[]>,
  ): void {
    const own = new Map<number, Own[]>();
    const add = (address: ListenAddress, name: string): void => {
      if (address.kind === 'unix') return;
      const { host, port } = address;
      const hosts = host === '' ? null : new Networks([host, ...(names.get(host) ?? [])]);
      own.set(port, [...(own.get(port) ?? []), { hosts, name }]);
    };
    if (stats !== null) add(stats, 'the stats port');
    for (const { address } of listeners) add(address, `the listener ${formatListen(address)}`);
    this.own = own;
  }

  /** Why this endpoint of a registry may not be used; '' where it may. */
  refusal(registry: string, endpoint: Pick<Endpoint, 'address' | 'port'>, checkPort = 0): string {
    const { address, port } = endpoint;
    const mayBeOwn = this.own.has(port) || this.own.has(checkPort);
    const isDeniable = registry !== 'static' && this.denied.length > 0;
    if (!mayBeOwn && !isDeniable) return '';
    const ip = parseIp(address);
    if (ip === null) return '';
    const own = this.ownAt(ip, port) || this.ownAt(ip, checkPort);
    if (own !== '') return `refused: it is ${own} of Upriver itself`;
    return isDeniable && this.isDenied(ip)
      ? `refused: ${address} is denied by registries.${registry}.endpoint_deny`
      : '';
  }

  /** Connecting to the unspecified address connects to loopback. */
  private isDenied(ip: IpBytes): boolean {
    if (this.deniedNetworks.has(ip)) return true;
    return isUnspecified(ip) && this.deniedNetworks.has(parseIp('127.0.0.1')!);
  }

  private ownAt(ip: IpBytes, port: number): string {
    for (const { hosts, name } of this.own.get(port) ?? []) {
      const isAny = isUnspecified(ip);
      const isHit = hosts === null ? isAny || this.isLocal(ip) : isAny || hosts.has(ip);
      if (isHit) return name;
    }
    return '';
  }

  private isLocal(ip: IpBytes): boolean {
    const { clock, localAddresses } = this.options;
    if (clock.nowMs() - this.localMs > LOCAL_MS) {
      this.localMs = clock.nowMs();
      this.local = new Networks(localAddresses());
    }
    return this.loopback.has(ip) || this.local.has(ip);
  }
}
