// Follows a service by a prepared query of Consul (Consul API, /v1/query/:name/execute), which says
// itself what is asked for, and which datacenter is asked when there are no instances. It can't
// block, so it is executed again and again. What fails keeps what was known; so does one answer
// without instances: only a second one is believed.

import { Backoff } from '../../base/backoff.ts';
import { messageOf } from '../../base/coded-error.ts';
import { fieldsOf, textOf } from '../../base/foreign.ts';
import { encodeSegment } from '../../base/path-text.ts';
import { pause } from '../../base/pause.ts';
import { safeLine } from '../../base/safe-text.ts';
import type { ServiceSource } from '../../model/source.ts';
import type { Contact } from '../contact.ts';
import { type Answer, ConsulError, outageText } from './answer.ts';
import { BROKEN, type ConsulContext } from './blocking-query.ts';
import type { ConsulClient, Question } from './client.ts';
import type { FollowedService } from './followed-service.ts';
import { isAskable, scopeOf } from './service-query.ts';
import { type Entry, listOf } from './translate.ts';

/** The query may have to ask several datacenters, one after the other. */
const DEADLINE_MS = 10_000;
/** An answer without instances is asked for again after so long. */
const AGAIN_MS = 500;
/** Of each pause this share is added at random, at most: many don't stay in step. */
const JITTER = 0.2;
/** Bounds of the DNS TTL of a query, ms: those of query_interval. */
const TTL_MS = { min: 1000, max: 600_000 };
const BACKOFF_BASE_MS = 250;
const BACKOFF_CAP_MS = 30_000;
const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

export interface QueryWatchOptions {
  readonly context: ConsulContext;
  readonly contact: Contact;
  readonly service: FollowedService;
  /** Between two executions where the query gives no DNS TTL. */
  readonly intervalMs: number;
  /** The name under which this process registers itself; '' where it does not. */
  readonly fleet: string;
}

/** What an execution says beside its instances. */
interface Executed {
  readonly entries: readonly Entry[];
  /** Human-readable: who answered. */
  readonly who: string;
  /** 0 where the query gives none. */
  readonly ttlMs: number;
}

type Asking = Pick<Question, 'deadlineMs' | 'signal' | 'isConsistent'> & {
  readonly source: ServiceSource;
  readonly fleet: string;
};

/** Code of the error where a query leads to the own fleet. */
const OWN_FLEET = 'own-fleet';

/** Executes the query of a source; the body is the list of its instances. Throws ConsulError. */
export async function askQuery(
  client: ConsulClient,
  address: string,
  asking: Asking,
): Promise<Answer> {
  const answer = await execute(client, address, asking);
  return { ...answer, body: executedOf(answer.body, asking).entries };
}

function execute(
  client: ConsulClient,
  address: string,
  { source, fleet: _, ...asking }: Asking,
): Promise<Answer> {
  const path = `/v1/query/${encodeSegment(source.query)}/execute`;
  const query = { ...scopeOf(source), ...(asking.isConsistent === true ? { consistent: '' } : {}) };
  return client.getFrom(address, { path, query, ...asking });
}

export class QueryWatch {
  private readonly options: QueryWatchOptions;
  private readonly backoff: Backoff;
  private isStopped = false;
  /** Ends the question or the pause of now; replaced for each of them. */
  private step = new AbortController();
  /** The agent that answered last. */
  private address = '';
  /** Why the next answer does not continue what was known; '' if it does. */
  private break = '';
  /** client.epoch when the last answer was asked for; '' before the first. */
  private epoch = '';
  /** The last answer had no instance. */
  private wasEmpty = false;
  private who = '';

  constructor(options: QueryWatchOptions) {
    this.options = options;
    const { random } = options.context;
    this.backoff = new Backoff({ baseMs: BACKOFF_BASE_MS, capMs: BACKOFF_CAP_MS, random });
  }

  start(): void {
    const { context, service } = this.options;
    const { query } = service.source;
    if (isAskable(query)) {
      context.client.onTokenChange.add(this.onTokenChange);
      void this.run();
      return;
    }
    const why = `Consul can't be asked for the query '${safeLine(query, 100)}': its path would be another`;
    // What follows it learns so once this turn is over.
    void Promise.resolve().then(() => service.refuse(why));
  }

  /** Nothing is called after this. */
  stop(): void {
    this.isStopped = true;
    this.options.context.client.onTokenChange.delete(this.onTokenChange);
    this.step.abort();
    this.options.contact.forget(this.options.service.label);
  }

  /** Another token may see less, or more. */
  private readonly onTokenChange = (): void => {
    this.break = 'the token has changed';
    this.step.abort();
  };

  private async run(): Promise<void> {
    while (!this.isStopped) {
      this.step = new AbortController();
      const { signal } = this.step;
      let pauseMs = 0;
      try {
        pauseMs = await this.ask(signal);
      } catch (error) {
        if (!signal.aborted) pauseMs = this.fail(error);
      }
      // A token that changed meanwhile ended the pause before it began.
      await pause(this.options.context.clock, pauseMs, signal);
    }
  }

  /** Asks once; returns how long to wait then, ms. */
  private async ask(signal: AbortSignal): Promise<number> {
    const { context, service, intervalMs, fleet } = this.options;
    const { client, random } = context;
    const { address, epoch } = client;
    if (this.address !== '' && address !== this.address) this.break = `${address} answers now`;
    this.address = address;
    const asking = { source: service.source, fleet, deadlineMs: DEADLINE_MS, signal };
    const answer = await execute(client, address, asking);
    const executed = executedOf(answer.body, asking);
    if (signal.aborted) return 0;
    // No question is open between two executions: other queries notice a restart of the registry.
    if (this.epoch !== '' && this.epoch !== client.epoch) this.break ||= BROKEN;
    this.epoch = epoch;
    this.backoff.reset();
    this.options.contact.answered(service.label, address);
    const jitter = 1 + JITTER * random();
    const isEmpty = executed.entries.length === 0;
    const isFirstEmpty = isEmpty && !this.wasEmpty;
    this.wasEmpty = isEmpty;
    if (isFirstEmpty) return AGAIN_MS * jitter;
    this.take(answer, executed);
    return (executed.ttlMs || intervalMs) * jitter;
  }

  private take({ doubt, receivedMs }: Answer, { entries, who }: Executed): void {
    const { context, service } = this.options;
    const { query } = service.source;
    if (who !== this.who) {
      const fields = { service: service.source.service, query, by: who, before: this.who };
      if (this.who !== '') context.log.info(fields, 'another answers the prepared query');
      this.who = who;
    }
    const doubtKind = this.break === '' ? 'answer' : 'outage';
    const change = `query ${safeLine(query, 100)} answered by ${who}`;
    const health = { entries, doubt: doubt || this.break, doubtKind, change, receivedMs } as const;
    this.break = '';
    try {
      service.take(health);
    } catch (error) {
      // What goes wrong in the receiver is its own fault.
      const text = 'an answer of Consul could not be used';
      context.log.error({ query, error: messageOf(error) }, text);
    }
  }

  /** Returns how long to wait, ms. */
  private fail(error: unknown): number {
    const { context, service, contact } = this.options;
    const failure =
      error instanceof ConsulError ? error : new ConsulError('failed', messageOf(error));
    this.break = outageText(failure);
    this.wasEmpty = false;
    contact.failed(service.label, failure, this.address);
    if (failure.code === 'http-404') {
      service.lose(`Consul has no prepared query '${safeLine(service.source.query, 100)}'`);
    } else if (failure.code === OWN_FLEET) service.lose(failure.message);
    // An answer that leads in a circle is one: another agent has no other.
    if (failure.code !== OWN_FLEET) void context.client.failOver(this.address, failure);
    return failure.retryAfterMs + this.backoff.nextMs();
  }
}

/** Reads the answer to an execution. Throws ConsulError where it is none. */
function executedOf(body: unknown, { source, fleet }: Pick<Asking, 'source' | 'fleet'>): Executed {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw new ConsulError('no-query', 'answered what is no execution of a prepared query');
  }
  // Foreign data: every field is looked at.
  const { Nodes, Service, Datacenter, Failovers, DNS } = body as Record<string, unknown>;
  const [service, datacenter] = [nameOf(Service), nameOf(Datacenter)];
  if (fleet !== '' && Service === fleet) {
    const query = safeLine(source.query, 100);
    const text = `query ${query} leads to '${fleet}', the name under which this process registers itself: that is a circle`;
    throw new ConsulError(OWN_FLEET, text);
  }
  const tries = typeof Failovers === 'number' && Failovers > 0 ? `, failover ${Failovers}` : '';
  return {
    // Null is how Go writes an empty list.
    entries: Nodes === null ? [] : inOrder(listOf<Entry>(Nodes)),
    who: `${datacenter || 'no datacenter'} (service ${service || 'unknown'}${tries})`,
    ttlMs: ttlOf(DNS),
  };
}

/** Consul shuffles them for each answer, or puts the nearest first: that is no change. */
function inOrder(entries: readonly Entry[]): readonly Entry[] {
  const keyed = entries.map((entry) => {
    return { entry, key: `${entry.Node?.Node ?? ''}/${entry.Service?.ID ?? ''}` };
  });
  keyed.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
  return keyed.map(({ entry }) => entry);
}

function nameOf(value: unknown): string {
  return safeLine(textOf(value), 100);
}

/** Go writes a duration as 10s or 1m30s. */
function ttlOf(dns: unknown): number {
  const { TTL } = fieldsOf(dns);
  if (typeof TTL !== 'string' || !/^(?:\d{1,9}(?:\.\d{1,9})?(?:ms|[smh]))+$/.test(TTL)) return 0;
  let ms = 0;
  for (const [, number, unit = ''] of TTL.matchAll(/([\d.]+)(ms|[smh])/g)) {
    ms += Number(number) * (UNIT_MS[unit] ?? 0);
  }
  return ms === 0 ? 0 : Math.min(TTL_MS.max, Math.max(TTL_MS.min, ms));
}
