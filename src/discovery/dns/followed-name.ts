// One name that is asked for again and again, when its time to live is up. A server that fails leaves
// what was known. A name, or its records, must be missing in two answers in a row before they are
// taken for gone; what the first answer after a failure lacks is doubted.
import { Backoff } from '../../base/backoff.ts';
import type { Clock, Timer } from '../../base/clock.ts';
import { codeOf, messageOf } from '../../base/coded-error.ts';
import type { Logger } from '../../base/log.ts';
import type { Random } from '../../base/prng.ts';
import type { DnsQuestion } from '../../model/registries/dns.ts';
import type { ServiceSource } from '../../model/source.ts';
import type { Contact } from '../contact.ts';
import { FollowedInstances, type Instance } from '../followed-instances.ts';
import type { Update } from '../provider.ts';
import { instancesOf, type Said, servicesIn } from './answer.ts';
import type { DnsClient } from './client.ts';

/** Between two questions, whatever the time to live says. */
const TTL_MS_MIN = 1000;
const TTL_MS_MAX = 300_000;
/** An answer that is doubted is settled by the next one. */
const DOUBT_MS = 1000;
const RETRY_MS = 2000;
const RETRY_MS_MAX = 30_000;
/** Times to live are shortened by up to this share, so that many that ask don't keep step. */
const JITTER = 0.1;
/** So many answers in a row without a record take away what was there. */
const ABSENCES_MIN = 2;

export interface FollowedNameOptions {
  readonly source: ServiceSource;
  readonly question: DnsQuestion;
  readonly client: DnsClient;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly contact: Contact;
  readonly onUpdate: (update: Update) => void;
}

interface Looked extends Said {
  readonly hasFailedOver: boolean;
}

export class FollowedName {
  private readonly options: FollowedNameOptions;
  private readonly instances: FollowedInstances;
  private readonly retry: Backoff;
  private timer: Timer | null = null;
  private absences = 0;
  /** A server failed since the last answer that was taken. */
  private hasFailed = false;
  private isStopped = false;

  constructor(options: FollowedNameOptions) {
    this.options = options;
    const { client, clock, log, random, source, onUpdate } = options;
    this.retry = new Backoff({ baseMs: RETRY_MS, capMs: RETRY_MS_MAX, random });
    this.instances = new FollowedInstances({
      provider: 'dns',
      source,
      clock,
      log,
      onUpdate,
      // The hosts of records may be known to these servers alone.
      resolve: async (host) => {
        const resolved = await client.addresses(host);
        if (resolved.addresses.length === 0) throw new Error('no address of that name');
        return resolved;
      },
    });
  }

  get source(): ServiceSource {
    return this.options.source;
  }

  get isSynced(): boolean {
    return this.instances.isSynced;
  }

  start(): void {
    void this.round();
  }

  stop(): void {
    this.isStopped = true;
    this.timer?.cancel();
    this.instances.close();
    this.options.contact.forget(this.what);
  }

  /** As it stands in `from`. */
  private get what(): string {
    return this.options.source.service;
  }

  private async round(): Promise<void> {
    const { contact, client, clock } = this.options;
    let waitMs: number;
    try {
      const looked = await this.look();
      if (this.isStopped) return;
      contact.answered(this.what, client.address);
      this.retry.reset();
      waitMs = this.settle(looked);
    } catch (error) {
      if (this.isStopped) return;
      this.hasFailed = true;
      // Absences that an outage lies between are not in a row.
      this.absences = 0;
      const failure = { code: codeOf(error) || 'failed', message: messageOf(error) };
      contact.failed(this.what, { ...failure, isRefusal: false }, client.address);
      waitMs = this.retry.nextMs(TTL_MS_MIN);
    }
    this.timer = clock.setTimer(waitMs, () => void this.round());
  }

  private async look(): Promise<Looked> {
    const { client, question } = this.options;
    const { name, port } = question;
    if (port !== null) {
      const { addresses, ttlMs, hasFailedOver } = await client.addresses(name);
      const instances = instancesOf(addresses, port);
      return { instances, problems: [], ttl: ttlMs / 1000, hasFailedOver };
    }
    const { message, hasFailedOver } = await client.ask(name, 'SRV');
    return { ...servicesIn(message, name), hasFailedOver };
  }

  /** Takes an answer; the time to the next question, ms. */
  private settle({ instances, problems, ttl, hasFailedOver }: Looked): number {
    const { clock, random } = this.options;
    this.hasFailed ||= hasFailedOver;
    this.absences = instances.length === 0 ? this.absences + 1 : 0;
    if (this.absences > 0 && this.absences < ABSENCES_MIN) return DOUBT_MS;
    const isDoubted = this.hasFailed && this.instances.isAnswered;
    this.hasFailed = false;
    const { name } = this.options.question;
    const listed = {
      instances: byTransport(name, instances),
      problems,
      settings: null,
      order: null,
    };
    const doubt = isDoubted ? 'first answer after a failure' : '';
    this.instances.take(listed, {
      doubt,
      change: `${this.what} answers`,
      receivedMs: clock.nowMs(),
    });
    if (isDoubted) return DOUBT_MS;
    const ttlMs = Math.min(TTL_MS_MAX, Math.max(TTL_MS_MIN, ttl * 1000));
    return Math.max(TTL_MS_MIN, ttlMs * (1 - JITTER * random()));
  }
}

/** Records of `_dns._udp.example.com` are of UDP (RFC 2782). */
function byTransport(name: string, instances: readonly Instance[]): readonly Instance[] {
  if (!/\._udp\./i.test(name)) return instances;
  return instances.map((one) => ({ ...one, transport: 'udp' }));
}
