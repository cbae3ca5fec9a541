// Host names in the place of addresses: resolved, and again when their time to live is up. A name
// that can't be resolved now keeps the addresses it had.
import { lookup, Resolver } from 'node:dns/promises';
import { isIP } from 'node:net';
import type { Clock, Timer } from '../base/clock.ts';
import { messageOf } from '../base/coded-error.ts';

const TTL_MS_MIN = 5_000;
const TTL_MS_MAX = 300_000;
/** Names at a time, of one service; what is more has no address. Each is asked for again and again. */
const NAMES_MAX = 500;
/** Addresses of one name that are used, the lowest ones. */
const ADDRESSES_MAX = 64;
/** Where the system's resolver answers (hosts file), which tells no time to live. */
const TTL_MS_UNKNOWN = 30_000;

export interface Resolved {
  readonly addresses: readonly string[];
  readonly ttlMs: number;
}

/** Resolves a name. Rejects when there is no such name, or no answer. */
export type Resolve = (name: string) => Promise<Resolved>;

export interface HostNamesOptions {
  readonly clock: Clock;
  /** A name resolves differently, for the first time, or not at all. */
  readonly onChange: () => void;
  readonly onError: (name: string, why: string) => void;
  /** A name that could not be resolved can be again. */
  readonly onRecovery?: (name: string) => void;
  readonly resolve: Resolve;
}

interface Name {
  addresses: readonly string[];
  /** Has been tried at least once. */
  isTried: boolean;
  error: string;
  timer: Timer | null;
}

export class HostNames {
  private readonly options: HostNamesOptions;
  private readonly names = new Map<string, Name>();
  private failures = 0;

  constructor(options: HostNamesOptions) {
    this.options = options;
  }

  /**
   * The addresses of a host as known now: an address is its own. Null for a name that is being
   * resolved for the first time; `onChange` follows.
   */
  addressesOf(host: string): readonly string[] | null {
    if (isIP(host) !== 0) return [host];
    let name = this.names.get(host);
    if (name === undefined) {
      if (this.names.size >= NAMES_MAX) return [];
      name = { addresses: [], isTried: false, error: '', timer: null };
      this.names.set(host, name);
      void this.refresh(host, name);
    }
    return name.isTried ? name.addresses : null;
  }

  /** Why addresses of these hosts may be missing, or ''. */
  doubtAbout(hosts: Iterable<string>): string {
    for (const host of hosts) {
      const name = this.names.get(host);
      if (name === undefined || name.addresses.length > 0) continue;
      return name.isTried ? `${host} can't be resolved` : `${host} is not resolved yet`;
    }
    return '';
  }

  /** No name waits for its first answer. */
  get isSettled(): boolean {
    return [...this.names.values()].every((name) => name.isTried);
  }

  /** `NAME: why`, for a name that could not be resolved when it was last tried; '' for none. */
  get error(): string {
    for (const [host, { error }] of this.names) if (error !== '') return `${host}: ${error}`;
    return '';
  }

  /** Tries that failed, in all. */
  get errors(): number {
    return this.failures;
  }

  /** Why this name could not be resolved when it was last tried; '' where it could. */
  errorOf(host: string): string {
    if (isIP(host) !== 0) return '';
    return this.names.get(host)?.error ?? `more than ${NAMES_MAX} host names`;
  }

  /** Forgets every name but these. */
  keepOnly(hosts: ReadonlySet<string>): void {
    for (const [host, { timer }] of this.names) {
      if (hosts.has(host)) continue;
      timer?.cancel();
      this.names.delete(host);
    }
  }

  close(): void {
    this.keepOnly(new Set());
  }

  private async refresh(host: string, name: Name): Promise<void> {
    const { clock, onChange, onError, onRecovery, resolve } = this.options;
    const before = name.isTried ? name.addresses.join() : null;
    let ttlMs = TTL_MS_MIN;
    let error = '';
    try {
      const resolved = await resolve(host);
      name.addresses = [...new Set(resolved.addresses)].sort().slice(0, ADDRESSES_MAX);
      ttlMs = Math.min(TTL_MS_MAX, Math.max(TTL_MS_MIN, resolved.ttlMs));
    } catch (failure) {
      error = messageOf(failure);
      this.failures += 1;
    }
    if (this.names.get(host) !== name) return;
    name.isTried = true;
    name.timer = clock.setTimer(ttlMs, () => void this.refresh(host, name));
    // Said once, not at each try.
    if (error !== '' && name.error === '') onError(host, error);
    const hasTurned = (error === '') !== (name.error === '');
    name.error = error;
    if (hasTurned && error === '') onRecovery?.(host);
    if (name.addresses.join() !== before || hasTurned) onChange();
  }
}

/**
 * DNS first, since it tells the time to live; the system's resolver (hosts file) where DNS knows
 * nothing. IPv4 addresses where there are any, else IPv6: one endpoint must not count twice.
 */
export async function resolveName(name: string): Promise<Resolved> {
  const resolver = new Resolver({ timeout: 2000, tries: 2 });
  for (const ask of [
    () => resolver.resolve4(name, { ttl: true }),
    () => resolver.resolve6(name, { ttl: true }),
  ]) {
    const records = await ask().catch(() => []);
    if (records.length === 0) continue;
    const ttlMs = Math.min(...records.map((record) => record.ttl)) * 1000;
    return { addresses: records.map((record) => record.address), ttlMs };
  }
  const found = await lookup(name, { all: true });
  const ofFour = found.filter((one) => one.family === 4);
  const usable = ofFour.length > 0 ? ofFour : found;
  return { addresses: usable.map((one) => one.address), ttlMs: TTL_MS_UNKNOWN };
}
