// Follows many services by few questions: an agent allows 200 connections per client by default,
// and over plain HTTP each open query is one. Few blocking queries see every change (checks that are
// critical or warning, and the catalog with its inventory), and only services that it concerns are
// fetched. Checks that pass say nothing of their own: one that is no longer in a list has changed,
// and a new instance is in the catalog. Thus answers stay small however many checks there are.
// Fetches go to the leader: a server that is behind could answer without the change that they come
// for, and nothing would wake us again. What comes and goes between two answers of a list changes
// neither; where it was fetched meanwhile, the lists lack it, and the service is fetched once more.
import { Backoff } from '../../base/backoff.ts';
import type { Timer } from '../../base/clock.ts';
import { messageOf } from '../../base/coded-error.ts';
import type { Contact } from '../contact.ts';
import { type Answer, ConsulError, outageText } from './answer.ts';
import { BlockingQuery, BROKEN, type ConsulContext, type QueryAnswer } from './blocking-query.ts';
import type { Catalog, CatalogChange } from './catalog.ts';
import { type CheckList, changedChecks, checkListOf, standingOfCheck } from './check-list.ts';
import type { FollowedService } from './followed-service.ts';
import {
  type Fetched,
  type FetchedCheck,
  fetchedOf,
  type Item,
  NOTHING_FETCHED,
  type Standing,
} from './listed-item.ts';
import { consistentQuery, healthPath, healthQuery } from './service-query.ts';
import { type Entry, listOf } from './translate.ts';

/** Fetches at a time: until all have been answered once, and then. */
const FETCHES_MAX = { first: 8, later: 3 };
const FETCH_MS_MAX = 10_000;
const BACKOFF = { baseMs: 250, capMs: 30_000 };
/** The states of checks that are followed. */
const STATES = ['critical', 'warning'];

const UNLISTED = 'what was fetched is not listed any more';

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
  /** What its last answer listed that the wide questions' lists must list too. */
  fetched: Fetched;
  /** What of it has gone from the lists, and is asked about or was confirmed; '' for nothing. */
  unlisted: string;
  /** The leader is to confirm the next answer with the other servers. */
  isContradicted: boolean;
  /** The leader has answered about it. */
  isCertain: boolean;
}

export interface WideWatchOptions {
  readonly context: ConsulContext;
  readonly contact: Contact;
  readonly scope: Readonly<Record<string, string>>;
  readonly catalog: Catalog;
}

export class WideWatch {
  private readonly options: WideWatchOptions;
  private readonly checks: readonly BlockingQuery<CheckList>[];
  private readonly stopped = new AbortController();
  private readonly followers = new Map<FollowedService, Follower>();
  private readonly queue: Follower[] = [];
  /** By state of checks, each with its X-Consul-Index. */
  private readonly lists = new Map<string, { value: CheckList; index: bigint }>();
  /** Those of which something was fetched that the lists are too old to have. */
  private readonly ahead = new Set<Follower>();
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

  private makeQuery(state: string): BlockingQuery<CheckList> {
    const { context, contact, scope } = this.options;
    const { client } = context;
    const what = labelOf(state);
    return new BlockingQuery({
      context,
      path: `/v1/health/state/${state}`,
      query: scope,
      decode: checkListOf,
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

  /** Services that are followed. */
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

  /** Follows it from now on: it is fetched once whatever the lists say. */
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
      fetched: NOTHING_FETCHED,
      unlisted: '',
      isContradicted: false,
      isCertain: false,
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
    this.ahead.delete(follower);
    this.options.contact.forget(follower.service.label);
  }

  private onChecks(state: string, answer: QueryAnswer<CheckList>): boolean {
    const { value, index, doubt, isFresh, change } = answer;
    const before = this.lists.get(state)?.value;
    this.lists.set(state, { value, index });
    this.breaks.delete(state);
    if (before === undefined || isFresh) {
      // The first answer says only what there is; after a break anything may have changed.
      if (before !== undefined) this.wantAll({ doubt, change });
      this.fetchNext();
      return false;
    }
    const { services, nodes } = changedChecks(before, value);
    for (const follower of this.followers.values()) {
      const isConcerned =
        services.has(follower.service.source.service) || !nodes.isDisjointFrom(follower.nodes);
      if (isConcerned) this.want(follower, { doubt: '', change: `checks: ${change}` });
    }
    this.compareAhead();
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
      this.compareAhead();
    }
    this.fetchNext();
  }

  private compareAhead(): void {
    for (const follower of [...this.ahead]) this.compare(follower);
  }

  /**
   * Compares what was fetched with the lists. What is in none that is as recent has gone since, and no
   * list may ever show that: the service is fetched again, once for each such finding.
   */
  private compare(follower: Follower): void {
    const { instances, checks } = follower.fetched;
    const gone: Item[] = [];
    let isAhead = false;
    const note = (item: Item, standing: Standing): void => {
      if (standing === 'gone') gone.push(item);
      else if (standing === 'ahead') isAhead = true;
    };
    for (const one of instances) note(one, this.options.catalog.standingOf(one));
    for (const one of checks) note(one, this.standingOf(one));
    if (isAhead) this.ahead.add(follower);
    else this.ahead.delete(follower);
    const unlisted = gone.map(({ node, id, index }) => `${node} ${id} ${index}`).join('\n');
    if (unlisted === follower.unlisted) return;
    follower.unlisted = unlisted;
    if (unlisted === '') return;
    follower.isContradicted = true;
    this.want(follower, { doubt: '', change: UNLISTED });
  }

  private standingOf(check: FetchedCheck): Standing {
    const list = this.lists.get(check.state);
    return list === undefined ? 'ahead' : standingOfCheck(check, list);
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
    if (this.lists.size < STATES.length || !this.options.catalog.isReady) return;
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
    const { doubt, change, service, epoch, isContradicted } = follower;
    const epochAsked = context.client.epoch;
    follower.isDirty = false;
    follower.isContradicted = false;
    follower.isFetching = true;
    follower.doubt = '';
    this.fetching += 1;
    try {
      const answer = await this.ask(follower, isContradicted);
      if (!this.followers.has(service)) return;
      const entries = listOf<Entry>(answer.body);
      follower.nodes = nodesOf(entries);
      follower.fetched = fetchedOf(entries, STATES);
      if (follower.isCertain) follower.backoff.reset();
      else this.retryLater(follower, 0);
      contact.answered(follower.service.label, context.client.address);
      follower.epoch = epochAsked;
      // A break while it was fetched, which may be over: it is fetched again for that. Or one since the
      // last answer, which the wide questions may be yet to learn of.
      const since = epoch === '' || epoch === context.client.epoch ? '' : BROKEN;
      const broken = doubt || follower.doubt || this.brokenBy || since;
      const why = answer.doubt || broken;
      const doubtKind = broken === '' ? 'answer' : 'outage';
      const { index, receivedMs } = answer;
      this.compare(follower);
      service.take({ entries, index, doubt: why, doubtKind, change, receivedMs });
    } catch (error) {
      follower.isContradicted ||= isContradicted;
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
    follower.doubt ||= doubt;
    this.retryLater(follower, failure.retryAfterMs);
  }

  private retryLater(follower: Follower, leastMs: number): void {
    follower.isDirty = true;
    follower.retry?.cancel();
    const pauseMs = leastMs + follower.backoff.nextMs();
    follower.retry = this.options.context.clock.setTimer(pauseMs, () => {
      follower.retry = null;
      this.queue.push(follower);
      this.fetchNext();
    });
  }

  /**
   * The leader's answer; where there is none yet, any server's, rather than nothing at all. Where lists
   * contradict the one before, it is the leader's that is sure to lead still.
   */
  private async ask(follower: Follower, isContradicted: boolean): Promise<Answer> {
    const { client } = this.options.context;
    const { source } = follower.service;
    const { signal } = this.stopped;
    const question = {
      path: healthPath(source),
      query: isContradicted ? consistentQuery(source) : healthQuery(source),
      deadlineMs: FETCH_MS_MAX,
      signal,
    };
    try {
      const answer = await client.get({ ...question, isConsistent: true });
      follower.isCertain = true;
      return answer;
    } catch (error) {
      if (follower.isCertain || (error instanceof ConsulError && error.isRefusal)) throw error;
      return await client.get({ ...question, query: healthQuery(source) });
    }
  }
}

function labelOf(state: string): string {
  return `${state} checks`;
}

function nodesOf(entries: readonly Entry[]): Set<string> {
  return new Set(entries.flatMap(({ Node }) => (Node?.Node === undefined ? [] : [Node.Node])));
}
