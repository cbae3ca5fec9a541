// Host names of external services: resolved to addresses, and again when their time to live is up.
// A name that can't be resolved now keeps the addresses it had.
import { lookup, Resolver } from 'node:dns/promises';
import { isIP } from 'node:net';
import type { Clock, Timer } from '../../base/clock.ts';

const TTL_MS_MIN = 5_000;
const TTL_MS_MAX = 300_000;
/** Where the system's resolver answers (hosts file), which tells no time to live. */
const TTL_MS_UNKNOWN = 30_000;

export interface Resolved {
  readonly addresses: readonly string[];
  readonly ttlMs: number;
}

/** Resolves a name. Rejects when there is no such name, or no answer. */
export type Resolve = (name: string) => Promise<Resolved>;

export class HostNames {
  private readonly clock: Clock;
  private readonly resolve: Resolve;
  private readonly onChange: () => void;
  private readonly known = new Map<string, { addresses: readonly string[]; timer: Timer | null }>();

  constructor(options: { clock: Clock; onChange: () => void; resolve?: Resolve }) {
    this.clock = options.clock;
    this.onChange = options.onChange;
    this.resolve = options.resolve ?? resolveName;
  }

  /** The addresses of a host, now: an address is itself, a new name has none until it is resolved. */
  addressesOf(host: string): readonly string[] {
    if (isIP(host) !== 0) return [host];
    const known = this.known.get(host);
    if (known !== undefined) return known.addresses;
    this.known.set(host, { addresses: [], timer: null });
    void this.refresh(host);
    return [];
  }

  /** Forgets every name but these. */
  keepOnly(hosts: ReadonlySet<string>): void {
    for (const [host, { timer }] of this.known) {
      if (hosts.has(host)) continue;
      timer?.cancel();
      this.known.delete(host);
    }
  }

  close(): void {
    this.keepOnly(new Set());
  }

  private async refresh(host: string): Promise<void> {
    const resolved = await this.resolve(host).catch(() => null);
    const known = this.known.get(host);
    if (known === undefined) return;
    const ttlMs = Math.min(TTL_MS_MAX, Math.max(TTL_MS_MIN, resolved?.ttlMs ?? TTL_MS_MIN));
    const addresses = resolved === null ? known.addresses : [...resolved.addresses].sort();
    const timer = this.clock.setTimer(ttlMs, () => void this.refresh(host));
    this.known.set(host, { addresses, timer });
    if (addresses.join() !== known.addresses.join()) this.onChange();
  }
}

async function resolveName(name: string): Promise<Resolved> {
  try {
    const records = await new Resolver({ timeout: 2000, tries: 2 }).resolve4(name, { ttl: true });
    const ttl = Math.min(...records.map((record) => record.ttl));
    return { addresses: records.map((record) => record.address), ttlMs: ttl * 1000 };
  } catch {
    const found = await lookup(name, { all: true });
    return { addresses: found.map((one) => one.address), ttlMs: TTL_MS_UNKNOWN };
  }
}
