// The watches of a provider: one for each API that is followed. With `api: auto` that is each one
// that the members speak, found out at the start and again after an outage: they may have been
// upgraded, and v2 ends with etcd 3.6.
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { Random } from '../../base/prng.ts';
import type { EtcdSettings } from '../../model/registries/etcd.ts';
import { findApis } from './apis.ts';
import type { EtcdClient } from './client.ts';
import { type EtcdError, NO_API } from './error.ts';
import { Pace } from './pace.ts';
import type { Api } from './stock.ts';
import { V2Watch } from './v2-watch.ts';
import { V3Watch } from './v3-watch.ts';
import type { EtcdContext, EtcdWatch, Mark, WatchEvents } from './watch.ts';

const ANSWER_MS_MAX = 5000;
/** An API that has failed so often before its first list may go on to do so. */
const FAILURES_MAX = 3;

export interface ApiSetOptions {
  readonly client: EtcdClient;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly settings: EtcdSettings;
  readonly events: WatchEvents;
}

interface Following {
  readonly watch: EtcdWatch;
  isListed: boolean;
  /** It is refused, or has failed for a while: the other API is not kept waiting. */
  isOut: boolean;
  failures: number;
  /** How often in a row a member did not speak it. */
  absences: number;
}

export class ApiSet {
  private readonly options: ApiSetOptions;
  private readonly following = new Map<Api, Following>();
  private readonly stopped = new AbortController();
  private isFinding = false;
  /** Once all was known, what is found later is added. */
  private hasListed = false;
  private inherited: ReadonlyMap<Api, Mark> = new Map();

  constructor(options: ApiSetOptions) {
    this.options = options;
  }

  /** How far the watches have come, or those before them. */
  get marks(): ReadonlyMap<Api, Mark> {
    const marks = new Map(this.inherited);
    for (const [api, { watch }] of this.following)
      if (watch.mark !== null) marks.set(api, watch.mark);
    return marks;
  }

  /** What the watches begin with; before `start`. */
  inherit(marks: ReadonlyMap<Api, Mark>): void {
    this.inherited = marks;
  }

  start(): void {
    const { api } = this.options.settings;
    if (api === 'auto') void this.find();
    else this.begin(api);
  }

  stop(): void {
    this.stopped.abort();
    for (const { watch } of this.following.values()) watch.stop();
  }

  get watches(): number {
    return this.following.size;
  }

  /** All that is followed has been listed at least once. */
  get isListed(): boolean {
    return this.hasListed;
  }

  private look(): void {
    const all = [...this.following.values()];
    const isAll = all.every((one) => one.isListed || one.isOut);
    this.hasListed ||= isAll && all.some((one) => one.isListed);
  }

  listed(api: Api): void {
    const one = this.following.get(api);
    if (one === undefined) return;
    one.isListed = true;
    one.isOut = false;
    one.failures = 0;
    one.absences = 0;
    this.look();
  }

  failed(api: Api, error: EtcdError): void {
    const one = this.following.get(api);
    if (one === undefined) return;
    one.failures += 1;
    const isLasting = error.isRefusal || one.failures >= FAILURES_MAX;
    one.isOut = isLasting && this.options.settings.api === 'auto';
    this.look();
    one.absences = error.code === NO_API ? one.absences + 1 : 0;
    const isGone = one.absences >= this.options.client.members && this.following.size > 1;
    if (isGone && this.options.settings.api === 'auto') this.end(api, one);
  }

  /** After an outage the members may speak another API as well. */
  recovered(): void {
    if (this.options.settings.api === 'auto' && this.following.size < 2) void this.find();
  }

  private async find(): Promise<void> {
    if (this.isFinding) return;
    this.isFinding = true;
    const { client, events } = this.options;
    const { signal } = this.stopped;
    const pace = new Pace(this.contextOf(''), 'v3', events);
    const isFirst = this.following.size === 0;
    while (!signal.aborted) {
      const { address } = client;
      try {
        const apis = await findApis(client, { address, deadlineMs: ANSWER_MS_MAX, signal });
        if (!signal.aborted) pace.answered(address);
        for (const api of apis) if (!signal.aborted) this.begin(api);
        break;
      } catch (error) {
        if (signal.aborted) break;
        // What runs goes on; it will be looked for after the next outage.
        if (!isFirst) break;
        await pace.failed(error, address, signal);
      }
    }
    this.isFinding = false;
  }

  private begin(api: Api): void {
    if (this.following.has(api)) return;
    const { events, log, settings } = this.options;
    const { prefix } = settings;
    log.debug({ registry: 'etcd', api, prefix }, 'following etcd');
    const Watch = api === 'v2' ? V2Watch : V3Watch;
    // v2 has a tree, and its root a slash; to v3 a key is what it is.
    const root = api === 'v2' && prefix !== '' && !prefix.startsWith('/') ? `/${prefix}` : prefix;
    const watch = new Watch(this.contextOf(root), events, this.inherited.get(api) ?? null);
    this.following.set(api, { watch, isListed: false, isOut: false, failures: 0, absences: 0 });
    watch.start();
  }

  private contextOf(prefix: string): EtcdContext {
    const { client, clock, random } = this.options;
    return { client, clock, random, prefix };
  }

  /** No member speaks it any more: what it had is gone, as far as can be known. */
  private end(api: Api, { watch }: Following): void {
    watch.stop();
    const { events, clock, log } = this.options;
    const doubt = `etcd does not speak ${api} any more`;
    log.warn({ registry: 'etcd', api }, doubt);
    const none = { entries: new Map(), dirs: new Map() };
    events.onListing(api, { ...none, doubt, change: doubt, receivedMs: clock.nowMs() });
    this.following.delete(api);
    events.onEnd(api);
  }
}
