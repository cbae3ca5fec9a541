// Upriver in Consul's catalog: one service instance for each process, with a tag for each service that it
// exposes, so that Consul's DNS gives clients the fleet.
//   waiting (not ready yet) -> registered (looked at again and again) -> left
// An agent that was restarted without its state has forgotten the registration: it is made again. It
// is taken out before listeners are closed, and clients get a while to hear of that. Another process that has
// registered under the same id has taken this one's place (an upgrade): then nothing is taken out.

import { Backoff } from '../base/backoff.ts';
import type { Clock } from '../base/clock.ts';
import { messageOf } from '../base/coded-error.ts';
import { formatDuration } from '../base/duration.ts';
import { fieldsOf, listOf, textOf } from '../base/foreign.ts';
import { formatHostPort } from '../base/host-text.ts';
import type { Logger } from '../base/log.ts';
import { encodeSegment } from '../base/path-text.ts';
import { pause } from '../base/pause.ts';
import type { Random } from '../base/prng.ts';
import { BOUNDS } from '../model/bounds.ts';
import type { SelfSettings } from '../model/registries/consul-self.ts';
import type { ConsulApi } from './consul-api.ts';

/** What is registered is compared with what is to be so often; up to a fifth is added at random. */
const LOOK_MS = 5000;
const BACKOFF = { baseMs: 250, capMs: 5000 };
/** An agent that does not answer does not keep the process from ending. */
const LEAVE_MS_MAX = 3000;

/** The process as it is now. */
export interface SelfFacts {
  /** Traffic may come here. */
  readonly isReady: boolean;
  /** Names of the services that clients reach here. */
  readonly services: readonly string[];
  /** The port of the first listener; 0 where there is none. */
  readonly port: number;
  /** Where readiness is answered; null where there is no stats port. */
  readonly stats: StatsPlace | null;
}

export interface StatsPlace {
  /** '' for every address. */
  readonly host: string;
  readonly port: number;
  readonly isTls: boolean;
}

export interface SelfRegistrationOptions {
  readonly settings: SelfSettings;
  readonly api: ConsulApi;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly hostname: string;
  readonly version: string;
  /** Tags `PREFIX.key` are settings of other services: none of ours is one. */
  readonly tagPrefix: string;
  /** Tells this process from others of the same id. */
  readonly instance: string;
  readonly facts: () => SelfFacts;
}

type Body = Readonly<Record<string, unknown>> & { readonly ID: string };

export class SelfRegistration {
  private readonly options: SelfRegistrationOptions;
  private readonly ending = new AbortController();
  private readonly backoff: Backoff;
  private running: Promise<void> = Promise.resolve();
  /** The id under which it is registered; '' before. */
  private id = '';
  private isReplaced = false;
  private hasFailed = false;
  private hasLeftOut = false;

  constructor(options: SelfRegistrationOptions) {
    this.options = options;
    this.backoff = new Backoff({ ...BACKOFF, random: options.random });
  }

  start(): void {
    this.running = this.run();
  }

  /**
   * Takes the registration out, and resolves when clients have had the time to hear of that. At once
   * where it was never registered, or another process has taken its place.
   */
  async leave(): Promise<void> {
    const { api, clock, log, settings } = this.options;
    this.ending.abort();
    await this.running;
    if (this.id === '') return;
    const late = new AbortController();
    const timer = clock.setTimer(LEAVE_MS_MAX, () => late.abort());
    try {
      const known = await this.read(this.id, late.signal);
      if (this.isReplaced) return;
      if (known !== null) {
        const path = `/v1/agent/service/deregister/${encodeSegment(this.id)}`;
        await api.call({ method: 'PUT', path, signal: late.signal });
      }
      log.info({ id: this.id, waitMs: settings.leaveWaitMs }, 'left the catalog of Consul');
    } catch (error) {
      // Its check fails by now, so clients hear of it all the same.
      log.warn({ id: this.id }, `can't leave the catalog of Consul: ${messageOf(error)}`);
    } finally {
      timer.cancel();
    }
    await pause(clock, settings.leaveWaitMs, new AbortController().signal);
  }

  close(): Promise<void> {
    return this.options.api.close();
  }

  private async run(): Promise<void> {
    const { clock, random, log, api } = this.options;
    const { signal } = this.ending;
    while (!signal.aborted && !this.isReplaced) {
      let waitMs = this.roundMs * (1 + random() / 5);
      try {
        await this.round(signal);
        if (this.hasFailed) log.info({ id: this.id }, 'Consul takes the registration again');
        this.hasFailed = false;
        this.backoff.reset();
      } catch (error) {
        if (signal.aborted) return;
        if (!this.hasFailed) {
          const text = `can't register in Consul, retrying: ${messageOf(error)}`;
          log.warn({ address: api.address }, text);
        }
        this.hasFailed = true;
        waitMs = this.backoff.nextMs(BACKOFF.baseMs);
      }
      await pause(clock, waitMs, signal);
    }
  }

  /** A check with a time to live is told three times within it. */
  private get roundMs(): number {
    const { check, checkIntervalMs } = this.options.settings;
    return check === 'ttl' ? Math.min(LOOK_MS, checkIntervalMs / 3) : LOOK_MS;
  }

  /** Makes what is registered what it should be. */
  private async round(signal: AbortSignal): Promise<void> {
    const { api, log, facts } = this.options;
    const now = facts();
    // What is not ready is not offered; once it was, its check says how it is.
    if (this.id === '' && !now.isReady) return;
    const body = this.bodyOf(now);
    const known = this.id === '' ? null : await this.read(this.id, signal);
    if (this.isReplaced) {
      log.info({ id: this.id }, 'another process has taken this place in the catalog of Consul');
      return;
    }
    if (known === null || !isSame(known, body)) {
      const path = '/v1/agent/service/register';
      await api.call({ method: 'PUT', path, body: JSON.stringify(body), signal });
      const text = this.id === '' ? 'registered in Consul' : 'registered in Consul again';
      if (known === null) log.info({ id: body.ID, agent: api.address }, text);
      this.id = body.ID;
    }
    if (this.options.settings.check !== 'ttl' && now.stats !== null) return;
    const path = `/v1/agent/check/${now.isReady ? 'pass' : 'fail'}/service:${encodeSegment(this.id)}`;
    await api.call({ method: 'PUT', path, signal });
  }

  /** What the agent has under this id; null where it has nothing. */
  private async read(id: string, signal: AbortSignal): Promise<unknown> {
    const path = `/v1/agent/service/${encodeSegment(id)}`;
    const text = await this.options.api.call({ method: 'GET', path, signal }, [404]);
    const known = parsed(text);
    if (known === null) return null;
    const { instance } = fieldsOf(fieldsOf(known).Meta);
    this.isReplaced = instance !== this.options.instance;
    return known;
  }

  private bodyOf(now: SelfFacts): Body {
    const { settings, hostname, version, instance } = this.options;
    const place = now.stats?.port ?? now.port;
    const ID = `${settings.service}-${hostname.replaceAll(/[^\w.-]/g, '-')}-${place}`;
    return {
      ID,
      Name: settings.service,
      Tags: this.tagsOf(now),
      Port: settings.port || now.port || (now.stats?.port ?? 0),
      ...(settings.address === '' ? {} : { Address: settings.address }),
      Meta: { 'external-source': 'upriver', version, instance },
      Check: {
        Name: 'Upriver is ready',
        Status: 'passing',
        ...checkOf(settings, now.stats),
        DeregisterCriticalServiceAfter: formatDuration(settings.deregisterAfterMs),
      },
    };
  }

  /** A tag for each service, as far as Consul's DNS can ask for it. */
  private tagsOf({ services }: SelfFacts): string[] {
    const { settings, log, tagPrefix } = this.options;
    const wanted = settings.tagServices ? services : [];
    const all = [...new Set([...settings.tags, ...wanted])].sort();
    const fit = all.filter((tag) => !tag.startsWith(`${tagPrefix}.`));
    const { max } = BOUNDS.selfTags;
    if (fit.length > max && !this.hasLeftOut) {
      log.warn({ tags: fit.length, max }, 'more services than tags of the registration in Consul');
    }
    this.hasLeftOut = fit.length > max;
    return fit.slice(0, max);
  }
}

/** The agent asks for readiness; without a stats port it is told. */
function checkOf(settings: SelfSettings, stats: StatsPlace | null) {
  const interval = formatDuration(settings.checkIntervalMs);
  if (settings.check === 'ttl' || stats === null) return { TTL: interval };
  const host = stats.host || settings.address || '127.0.0.1';
  return {
    HTTP: `${stats.isTls ? 'https' : 'http'}://${formatHostPort(host, stats.port)}/readyz`,
    ...(stats.isTls ? { TLSSkipVerify: true } : {}),
    Interval: interval,
    Timeout: '2s',
  };
}

function isSame(known: unknown, { Name, Tags, Port, Address = '' }: Body): boolean {
  const { Service, Tags: tags, Port: port, Address: address } = fieldsOf(known);
  // The agent gives its own order.
  const has = listOf(tags).map(textOf).sort().join('\n');
  const isTagged = has === (Tags as readonly string[]).join('\n');
  return isTagged && Service === Name && port === Port && textOf(address) === Address;
}

/** Null for what is no JSON: of a service that is not there the agent says so in words. */
function parsed(text: string): unknown {
  try {
    return text === '' ? null : JSON.parse(text);
  } catch {
    return null;
  }
}
