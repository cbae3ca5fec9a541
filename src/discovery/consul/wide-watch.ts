// Follows many services by few questions: an agent allows 200 connections per client by default,
// and over plain HTTP each open query is one. Few blocking queries see every change (checks that are
// critical or warning, and the catalog with its inventory), and only services that it concerns are
// fetched. Checks that pass say nothing of their own: one that is no longer in a list has changed,
// and a new instance is in the catalog. Thus answers stay small however many checks there are.
// Fetches go to the leader: a server that is behind could answer without the change that they come
// for, and nothing would wake us again.
import { Backoff } from '../../base/backoff.ts';
import type { Timer } from '../../base/clock.ts';
import { messageOf } from '../../base/coded-error.ts';
import type { Contact } from '../contact.ts';
import { type Answer, ConsulError, outageText } from './answer.ts';
import { BlockingQuery, BROKEN, type ConsulContext, type QueryAnswer } from './blocking-query.ts';
import type { Catalog, CatalogChange } from './catalog.ts';
import type { FollowedService } from './followed-service.ts';
import { healthPath, healthQuery } from './service-query.ts';
import { type Check, type Entry, listOf } from './translate.ts';

/** Fetches at a time: until all have been answered once, and then. */
const FETCHES_MAX = { first: 8, later: 3 };
const FETCH_MS_MAX = 10_000;
const BACKOFF = { baseMs: 250, capMs: 30_000 };
/** The states of checks that are followed. */
const STATES = ['critical', 'warning'];

/** What the checks of a state of each service, and of each node, were when they were seen last. */
interface Signatures {
  readonly services: ReadonlyMap<string, string>;
  readonly nodes: ReadonlyMap<string, string>;
}

interface Follower {
  readonly service: FollowedService;
  readonly backoff: Backoff;
  /** Nodes with instances of it: their checks concern it. */
  nodes: ReadonlySet<string>;
  /** Its next answer is wanted, and why it will be doubtful; a change may come while it is fetched. */
  isDirty: boolean;
  isFetching: boolean;
  doubt: string;
  change: string;
  retry: Timer | null;
  /** client.epoch when its last answer was asked for; '' before the first. */
  epoch: string;
}

export interface WideWatchOptions {
  readonly context: ConsulContext;
  readonly contact: Contact;
  readonly scope: Readonly<Record<string, string>>;
  readonly catalog: Catalog;
}

export class WideWatch {
  private readonly options: WideWatchOptions;
  private readonly checks: readonly BlockingQuery<Signatures>[];
  private readonly stopped = new AbortController();
  private readonly followers = new Map<FollowedService, Follower>();
  private readonly queue: Follower[] = [];
  /** By state of checks. */
  private readonly signatures = new Map<string, Signatures>();
  private fetching = 0;
  /** The queue has been empty once. */
  private isThrough = false;
  /** Why fetches are doubtful until the checks of a state have been answered again. */
  private readonly breaks = new Map<string, string>();

  constructor(options: WideWatchOptions) {
    this.options = options;
    this.checks = STATES.map((state) => this.makeQuery(state));
    const { catalog } = options;
    catalog.subscribe((change) => this.onCatalog(change), true);
  }

  private makeQuery(state: string): BlockingQuery<Signatures> {
    const { context, contact, scope } = this.options;
    const { client } = context;
    const what = labelOf(state);
    return new BlockingQuery({
      context,
      path: `/v1/health/state/${state}`,
      query: scope,
      decode: signaturesOf,
      onAnswer: (answer) => {
        contact.answered(what, client.address);
        return this.onChecks(state, answer);
      },
      onError: (error) => {
        contact.failed(what, error, client.address);
        this.breaks.set(state, outageText(error));
      },
    });
  }

  /** Blocking queries that are open for all of them. */
  get queries(): number {
    return this.checks.length;
  }

  get size(): number {
    return this.followers.size;
  }

  start(): void {
    for (const query of this.checks) query.start();
  }

  stop(): void {
    this.stopped.abort();
    for (const query of this.checks) query.stop();
    for (const service of [...this.followers.keys()]) this.remove(service);
    for (const state of STATES) this.options.contact.forget(labelOf(state));
  }

  add(service: FollowedService): void {
    const { random } = this.options.context;
    const follower: Follower = {
      service,
      backoff: new Backoff({ ...BACKOFF, random }),
      nodes: new Set(),
      isDirty: false,
      isFetching: false,
      doubt: '',
      change: 'first answer',
      retry: null,
      epoch: '',
    };
    this.followers.set(service, follower);
    this.want(follower, { doubt: '', change: 'first answer' });
  }

  remove(service: FollowedService): void {
    const follower = this.followers.get(service);
    if (follower === undefined) return;
    follower.retry?.cancel();
    follower.isDirty = false;
    this.followers.delete(service);
    this.options.contact.forget(follower.service.label);
  }

  private onChecks(state: string, answer: QueryAnswer<Signatures>): boolean {
    const { value, doubt, isFresh, change } = answer;
    const before = this.signatures.get(state);
    this.signatures.set(state, value);
    this.breaks.delete(state);
    if (before === undefined || isFresh) {
      // The first answer says only what there is; after a break anything may have changed.
      if (before !== undefined) this.wantAll({ doubt, change });
      this.fetchNext();
      return false;
    }
    const services = changedKeys(before.services, value.services);
    const nodes = changedKeys(before.nodes, value.nodes);
    for (const follower of this.followers.values()) {
      const isConcerned =
        services.has(follower.service.source.service) || !nodes.isDisjointFrom(follower.nodes);
      if (isConcerned) this.want(follower, { doubt: '', change: `checks: ${change}` });
    }
    return services.size + nodes.size > 0;
  }

  private onCatalog({ changed, isFresh, doubt, change }: CatalogChange): void {
    if (isFresh) this.wantAll({ doubt, change });
    else {
      for (const follower of this.followers.values()) {
        if (changed.has(follower.service.source.service)) {
          this.want(follower, { doubt: '', change: `catalog: ${change}` });
        }
      }
    }
    this.fetchNext();
  }

  private wantAll(why: { doubt: string; change: string }): void {
    for (const follower of this.followers.values()) this.want(follower, why);
  }

  private want(follower: Follower, { doubt, change }: { doubt: string; change: string }): void {
    follower.change = change;
    follower.doubt ||= doubt;
    if (follower.isDirty) return;
    follower.isDirty = true;
    // While it is fetched it waits; while it backs off its timer puts it into the queue.
    if (!follower.isFetching && follower.retry === null) this.queue.push(follower);
    this.fetchNext();
  }

  private fetchNext(): void {
    // Changes from the first wide answers on are seen; so nothing is fetched before.
    if (this.signatures.size < STATES.length || !this.options.catalog.isReady) return;
    const max = FETCHES_MAX[this.isThrough ? 'later' : 'first'];
    while (this.fetching < max) {
      const follower = this.queue.shift();
      if (follower === undefined) {
        this.isThrough = true;
        return;
      }
      if (follower.isDirty && !follower.isFetching) void this.fetch(follower);
    }
  }

  private async fetch(follower: Follower): Promise<void> {
    const { contact, context } = this.options;
    const { doubt, change, service, epoch } = follower;
    const epochAsked = context.client.epoch;
    follower.isDirty = false;
    follower.isFetching = true;
    follower.doubt = '';
    this.fetching += 1;
    try {
      const answer = await this.ask(service);
      if (!this.followers.has(service)) return;
      const entries = listOf<Entry>(answer.body);
      follower.nodes = nodesOf(entries);
      follower.backoff.reset();
      contact.answered(follower.service.label, context.client.address);
      follower.epoch = epochAsked;
      // A break while it was fetched, which may be over: it is fetched again for that. Or one since the
      // last answer, which the wide questions may be yet to learn of.
      const since = epoch === '' || epoch === context.client.epoch ? '' : BROKEN;
      const broken = doubt || follower.doubt || this.brokenBy || since;
      const why = answer.doubt || broken;
      const doubtKind = broken === '' ? 'answer' : 'outage';
      const { receivedMs } = answer;
      service.take({ entries, doubt: why, doubtKind, change, receivedMs });
    } catch (error) {
      if (this.followers.has(service)) this.onFetchError(follower, { error, doubt });
    } finally {
      this.fetching -= 1;
      follower.isFetching = false;
      if (follower.isDirty && follower.retry === null) this.queue.push(follower);
      this.fetchNext();
    }
  }

  private get brokenBy(): string {
    const [why = ''] = this.breaks.values();
    return why || this.options.catalog.break;
  }

  private onFetchError(
    follower: Follower,
    { error, doubt }: { error: unknown; doubt: string },
  ): void {
    const { contact, context } = this.options;
    const failure =
      error instanceof ConsulError ? error : new ConsulError('failed', messageOf(error));
    contact.failed(follower.service.label, failure, context.client.address);
    follower.isDirty = true;
    follower.doubt ||= doubt;
    const pauseMs = failure.retryAfterMs + follower.backoff.nextMs();
    follower.retry = context.clock.setTimer(pauseMs, () => {
      follower.retry = null;
      this.queue.push(follower);
      this.fetchNext();
    });
  }

  /** The leader's answer; where there is none yet, any server's, rather than nothing at all. */
  private async ask(service: FollowedService): Promise<Answer> {
    const { client } = this.options.context;
    const { source } = service;
    const { signal } = this.stopped;
    const question = {
      path: healthPath(source),
      query: healthQuery(source),
      deadlineMs: FETCH_MS_MAX,
      signal,
    };
    try {
      return await client.get({ ...question, isConsistent: true });
    } catch (error) {
      if (service.isSynced || (error instanceof ConsulError && error.isRefusal)) throw error;
      return await client.get(question);
    }
  }
}

function labelOf(state: string): string {
  return `${state} checks`;
}

function nodesOf(entries: readonly Entry[]): Set<string> {
  return new Set(entries.flatMap(({ Node }) => (Node?.Node === undefined ? [] : [Node.Node])));
}

/** One line per check, so that any change of a check shows. Throws ConsulError for no list. */
export function signaturesOf(body: unknown): Signatures {
  const services = new Map<string, string[]>();
  const nodes = new Map<string, string[]>();
  for (const check of listOf<Check>(body)) {
    const { Node = '', CheckID = '', Status = '', ServiceName = '', ModifyIndex = 0 } = check;
    const [kind, key] = ServiceName === '' ? [nodes, Node] : [services, ServiceName];
    const lines = kind.get(key) ?? [];
    lines.push(`${Node} ${CheckID} ${Status} ${ModifyIndex}`);
    kind.set(key, lines);
  }
  return { services: joined(services), nodes: joined(nodes) };
}

function joined(lines: ReadonlyMap<string, string[]>): Map<string, string> {
  return new Map([...lines].map(([key, list]) => [key, list.sort().join('\n')]));
}

function changedKeys(
  before: ReadonlyMap<string, string>,
  after: ReadonlyMap<string, string>,
): Set<string> {
  const keys = new Set([...before.keys(), ...after.keys()]);
  return new Set([...keys].filter((key) => before.get(key) !== after.get(key)));
}
