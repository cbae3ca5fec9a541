// What may have become of a request. Each outcome but a whole answer needs a cause that the actors know
// of: a fault of the endpoint in this very request, a limit, a time, a change. Written apart from the
// product: from what its documents promise.
import { type ReasonCode, reason as reasonOf } from '../../src/model/reason.ts';
import type { Service } from '../../src/model/service.ts';
import type { Kernel } from '../kernel/kernel.ts';
import type { AnswerFault, Attempt, Book, Request } from './book.ts';
import { type Case, Circumstances, NO_ANSWER } from './circumstances.ts';
import { ENDS_CONNECTION } from './h2/habits.ts';
import type { Periods } from './periods.ts';
import type { WorldPlan } from './plan.ts';
import { GENEROUS_PER_SECOND } from './policy.ts';
import { SessionJudge } from './session-judge.ts';
import { SETTLE_MS, type Table } from './table.ts';

/** Timers are late by two ticks at most. */
const TICK_SLACK_MS = 60;
/** Ways through the network and back. */
const LINK_SLACK_MS = 200;
/** What is sent by then may come behind what a slow reader has not read yet. */
const LATE_MS = 600;

const BAD_ANSWER: ReadonlySet<AnswerFault> = new Set<AnswerFault>([
  'junk',
  'both-lengths',
  'bad-length',
  'bad-chunk',
  'surplus',
  'surplus-idle',
]);
const IDEMPOTENT = new Set(['GET', 'HEAD', 'PUT', 'DELETE', 'OPTIONS']);

export interface JudgeOptions {
  readonly kernel: Kernel;
  readonly plan: WorldPlan;
  readonly book: Book;
  readonly table: Table;
  /** The network delays and cuts small: times are not judged. */
  readonly isNarrow: boolean;
}

export class Judge {
  private readonly options: JudgeOptions;
  private readonly periods: Periods;
  private readonly sessions: SessionJudge;
  private readonly around: Circumstances;

  constructor(options: JudgeOptions) {
    this.options = options;
    this.sessions = new SessionJudge(options.plan, options.table);
    this.periods = options.table.periods;
    this.around = new Circumstances(options);
  }

  readonly judge = (request: Request): void => {
    const { book, table } = this.options;
    const entry = table.services.get(request.service)!;
    if (request.isForbidden && request.end === 'answered')
      this.fault(request, 'is malformed, and was answered by an endpoint');
    if (!request.isOrderly || book.isForgiven(entry.plan.name)) return;
    const { policies } = entry;
    const { startMs: fromMs, endMs: toMs } = request;
    const one: Case = {
      request,
      entry,
      policies,
      fromMs: fromMs - SETTLE_MS,
      toMs: toMs + SETTLE_MS,
    };
    this.judgeTime(one);
    this.judgeDeadline(one);
    const why = request.method === 'TCP' ? this.sessions.explain(one) : this.explain(one);
    if (why === '') this.fault(request, `has no reason to end as "${endText(request)}"`);
    else if (why === 'saved') this.fault(request, `could have been saved: ${endText(request)}`);
  };

  /** At the end of the world: what clients of sessions sent in order has come to their endpoints. */
  judgeSessions(): void {
    const { book, table } = this.options;
    for (const { tag, request, cutMs } of book.sessions.values()) {
      if (cutMs === undefined || request?.answeredBy !== tag) continue;
      if (request.end !== 'answered' || !request.isOrderly) continue;
      if (book.isForgiven(request.service)) continue;
      const entry = table.services.get(request.service)!;
      const { policies } = entry;
      const fromMs = request.startMs - SETTLE_MS;
      const one: Case = { request, entry, policies, fromMs, toMs: cutMs + SETTLE_MS };
      if (this.sessions.explainLoss(one) === '')
        this.fault(request, `ended in order, and its endpoint ${tag} was cut off`);
    }
  }

  private fault({ id, client, service }: Request, text: string): void {
    this.options.book.fault(`request ${id} of ${client} ${text}`, service);
  }

  /** Why it may have ended so; '': there is no reason. */
  private explain(one: Case): string {
    const { request } = one;
    switch (request.end) {
      case 'answered':
      case 'quit':
        return request.end;
      case 'unanswered':
        // By HTTP/2 the product says itself that it has done nothing for it; it needs a reason as well.
        return request.isHttp2 ? this.explainGone(one) : request.end;
      case 'own':
        return this.explainOwn(one);
      case 'gone':
        return this.explainGone(one);
      default:
        return this.explainCut(one);
    }
  }

  /** Whether the product may have had cause, in these ms, to cut connections of this service. */
  mayCut(name: string): boolean {
    const { policies } = this.options.table.services.get(name)!;
    return this.mayBreak(name) || policies.some((policy) => limitsConnections(policy));
  }

  /** ... without a GOAWAY, before it has answered anything: who is one connection too many is told so. */
  mayBreak(name: string): boolean {
    const { kernel, plan, table } = this.options;
    const entry = table.services.get(name)!;
    const keys = [
      `listener ${entry.plan.port}`,
      `gone ${name}`,
      'drain',
      'memory',
      `table ${name}`,
    ];
    const { nowMs } = kernel;
    return (
      keys.some((key) => this.periods.overlaps(key, nowMs - 2000, nowMs)) ||
      plan.descriptors < 65_536
    );
  }

  /** Whether requests to this service may be answered by the product alone: then they cost nobody anything. */
  mayRefuse(name: string): boolean {
    const { periods, services } = this.options.table;
    const keys = [`none ${name}`, `gone ${name}`, 'memory'];
    return !services.get(name)!.plan.isPlain || keys.some((key) => periods.has(key));
  }

  private explainOwn(one: Case): string {
    const { reason, status } = one.request;
    const row = reasonOf(reason as ReasonCode);
    if (row === undefined || row.status !== status) return '';
    const why = this.explainReason(one, reason as ReasonCode);
    return why !== '' && row.side === 'upstream' && this.isSavable(one) ? 'saved' : why;
  }

  private explainReason(one: Case, code: ReasonCode): string {
    const { request, policies, entry } = one;
    const { name } = entry.plan;
    const lasted = request.endMs - request.startMs;
    const if_ = (is: boolean): string => (is ? code : '');
    switch (code) {
      case 'no-endpoint':
        return if_(
          this.around.during(one, `none ${name}`) || this.around.during(one, `gone ${name}`),
        );
      case 'no-service':
        return if_(
          this.around.during(one, `gone ${name}`) ||
            this.around.during(one, `listener ${entry.plan.port}`),
        );
      case 'queue-full':
      case 'queue-timeout':
        // What waits for a place may wait for an endpoint as well.
        return if_(
          policies.some(({ limits }) => limits.perEndpoint > 0 || limits.requests > 0) ||
            (code === 'queue-full' && this.around.during(one, `none ${name}`)),
        );
      case 'overloaded':
        return if_(policies.some(({ limits }) => limits.adaptive));
      case 'out-of-memory':
        return if_(this.around.during(one, 'memory'));
      case 'out-of-descriptors':
        return if_(this.options.plan.descriptors < 65_536);
      case 'too-many-connections':
        return if_(policies.some(({ limits }) => limits.connections < 10_000));
      case 'client-connections':
        return if_(policies.some(({ limits }) => limits.connectionsPerClient > 0));
      case 'request-timeout':
        return if_(
          isOutOfTime(request) ||
            policies.some(({ timeouts: { requestMs } }) => requestMs > 0 && lasted >= requestMs),
        );
      case 'body-too-large':
        return if_(
          policies.some(
            ({ limits: { bodyBytes } }) => bodyBytes > 0 && request.body.length > bodyBytes,
          ),
        );
      case 'client-header-timeout':
        return if_(
          this.options.isNarrow &&
            policies.some(({ timeouts }) => lasted >= timeouts.clientHeaderMs),
        );
      case 'client-body-timeout':
        return if_(
          (this.options.isNarrow || this.around.waitsInVain(one)) &&
            policies.some(({ timeouts }) => lasted >= timeouts.idleBodyMs),
        );
      default:
        return this.explainUpstream(one, code, lasted);
    }
  }

  private explainUpstream(one: Case, code: ReasonCode, lasted: number): string {
    const { request, policies, entry } = one;
    const { name } = entry.plan;
    const if_ = (is: boolean): string => (is ? code : '');
    switch (code) {
      case 'connect-refused':
        return if_(this.around.during(one, `refuse ${name}`));
      case 'connect-timeout':
        return if_(
          (this.around.wasMute(one) || this.around.isSlow(one)) &&
            policies.some(({ timeouts }) => lasted >= timeouts.connectMs),
        );
      case 'connect-failed':
        return if_(this.around.isUnreliable(one) || this.around.failsHandshakes(one));
      case 'tls-untrusted':
        return if_(this.around.failsHandshakes(one, 'untrusted', 'expired', 'expires'));
      case 'tls-wrong-name':
        return if_(this.around.failsHandshakes(one, 'wrong-name'));
      case 'tls-plain':
        return if_(this.around.failsHandshakes(one, 'plain', 'garbage'));
      case 'tls-refused':
        return if_(this.around.failsHandshakes(one) || this.around.isUnreliable(one));
      case 'stale-connection':
      case 'reset':
        // An orderly endpoint may close an idle connection: what can't be repeated is lost by it.
        return if_(
          this.around.isUnreliable(one) || (this.around.closesIdle(one) && !this.isSavable(one)),
        );
      case 'stream-refused':
        return if_(
          this.around.refuses(one) || this.around.leaves(one) || this.around.takesFewer(one),
        );
      case 'no-tunnels':
      case 'unsupported-protocol':
        return if_(request.isUpgrade && entry.plan.isH2c && this.around.takesNone(one, code));
      case 'response-timeout':
        return if_(
          (this.around.has(one, NO_ANSWER) ||
            this.around.isUnreliable(one) ||
            this.options.isNarrow) &&
            policies.some(({ timeouts }) => lasted >= timeouts.responseMs),
        );
      case 'endpoint-down':
        return if_(this.around.during(one, `down ${name}`));
      case 'bad-response':
        return if_(this.around.has(one, BAD_ANSWER) || this.around.isUnreliable(one));
      case 'response-head-too-large':
        return if_(this.around.has(one, new Set<AnswerFault>(['huge-head'])));
      case 'unexpected-upgrade':
        return if_(this.around.has(one, new Set<AnswerFault>(['bad-switch'])));
      case 'retry-status':
        return if_(request.attempts.some(({ status }) => status === 503));
      default:
        return '';
    }
  }

  /**
   * An endpoint that was fine all the time was there to be asked, and everything allowed to ask it:
   * then no failure of another one may reach the client.
   */
  private isSavable(one: Case): boolean {
    const { request, entry, policies } = one;
    const { name } = entry.plan;
    const [policy] = policies;
    // What an endpoint has done nothing for may be asked again, whatever it is.
    const mayRepeat = IDEMPOTENT.has(request.method) || this.wasUnprocessed(one);
    if (policies.length > 1 || !mayRepeat || request.isUpgrade) return false;
    const { retry, limits, timeouts } = policy!;
    const endpoints = this.options.table.endpointsOf(name);
    const isGenerous =
      retry.budgetMinPerSecond === GENEROUS_PER_SECOND &&
      retry.on.size === 4 &&
      retry.attempts > endpoints.length &&
      retry.bodyBytesMax > request.body.length;
    const isFree = limits.perEndpoint === 0 && limits.requests === 0 && timeouts.requestMs === 0;
    if (!isGenerous || !isFree || this.options.isNarrow) return false;
    if (request.reason === 'response-head-too-large' || request.reason === 'unexpected-upgrade')
      return false;
    if (this.around.during(one, `table ${name}`) || this.around.during(one, `gone ${name}`))
      return false;
    return endpoints.some((endpoint) => this.around.isSteady(endpoint));
  }

  /** No endpoint has done anything for it: they said so of every stream that they saw, and saw all. */
  private wasUnprocessed({ request, entry }: Case): boolean {
    const { attempts, reason } = request;
    if (reason === 'stream-refused') return true;
    const seesAll = this.options.table
      .endpointsOf(entry.plan.name)
      .every(
        ({ plan: { isH2c, habits, rejectShare } }) =>
          isH2c && rejectShare === 0 && !habits.faults.some((fault) => ENDS_CONNECTION.has(fault)),
      );
    const isAll = attempts.length > 0 && attempts.every(({ isUnprocessed }) => isUnprocessed);
    return seesAll && isAll && (reason === 'reset' || reason === 'stale-connection');
  }

  /** The connection ended before the first byte of an answer. */
  private explainGone(one: Case): string {
    const { request, entry, policies } = one;
    const { port, name } = entry.plan;
    const keepAliveMs = Math.min(...policies.map(({ timeouts }) => timeouts.keepAliveMs));
    if (this.around.during(one, `listener ${port}`) || this.around.during(one, `gone ${name}`))
      return 'listener';
    if (this.around.during(one, 'drain')) return 'drain';
    if (
      this.around.during(one, 'memory') ||
      this.periods.overlaps('memory', one.fromMs - 1500, one.toMs)
    )
      return 'memory';
    if (this.options.plan.descriptors < 65_536) return 'descriptors';
    if (policies.some((policy) => limitsConnections(policy))) return 'connections';
    // It was sent when the connection had lain idle for so long that it was closed just then.
    // By a narrow link a record of TLS takes its time, and says nothing before it is whole; so does what an earlier
    // stream has sent, of which the answer may be long over.
    const isHidden = (request.secure || request.isHttp2) && this.options.isNarrow;
    const idleMs = (isHidden ? request.endMs : request.startMs) - request.idleSinceMs;
    if (idleMs >= keepAliveMs - LINK_SLACK_MS) return 'keep-alive';
    if (request.isHttp2 && policies.some(({ limits }) => limits.keepAliveRequests > 0))
      return 'keep-alive';
    // A reset that cuts an answer may destroy its head on the way.
    return request.attempts.some((attempt) => isCutting(attempt)) ? this.explainCut(one) : '';
  }

  /** It ended in mid-answer. */
  private explainCut(one: Case): string {
    const { request, policies } = one;
    const lasted = request.endMs - request.startMs;
    const last = request.attempts.find((attempt) => isCutting(attempt));
    if (last !== undefined) return last.fault;
    // The reset of a connection on which the answer is still on its way may destroy that.
    if (request.attempts.some(({ endpoint }) => this.around.resetsIdle(endpoint)))
      return 'resets-idle';
    if (this.periods.overlaps('grace over', one.fromMs, one.toMs)) return 'grace';
    if (isOutOfTime(request)) return 'deadline';
    if (policies.some(({ timeouts: { requestMs } }) => requestMs > 0 && lasted >= requestMs))
      return 'request-timeout';
    // An endpoint may answer before the whole body is there; how long that is in chunks shows later.
    if (this.explainReason(one, 'body-too-large') !== '') return 'body-too-large';
    // Who takes too long to read is cut.
    if (policies.some(({ timeouts }) => lasted >= timeouts.idleBodyMs) && this.options.isNarrow)
      return 'slow';
    if (request.reason !== '') return this.explainReason(one, request.reason as ReasonCode);
    return '';
  }

  /** A call has ended when its deadline was over, whatever it waited for. */
  private judgeDeadline({ request }: Case): void {
    const deadlineMs = request.call?.deadlineMs ?? 0;
    const lasted = request.endMs - request.startMs;
    if (deadlineMs === 0 || this.options.isNarrow || lasted <= deadlineMs + LATE_MS) return;
    this.fault(request, `ended after ${Math.round(lasted)} ms; its deadline was ${deadlineMs} ms`);
  }

  /** Ended within the sum of its timeouts. */
  private judgeTime(one: Case): void {
    const { request, entry, policies } = one;
    if (
      this.options.isNarrow ||
      request.wholeMs < 0 ||
      request.isUpgrade ||
      request.method === 'TCP'
    )
      return;
    const endpoints = this.options.table.endpointsOf(entry.plan.name).length;
    const most = Math.max(...policies.map((policy) => boundOf(policy, endpoints)));
    // An endpoint may take its time as long as it goes on.
    const answering = request.attempts.reduce(
      (sum, one) => sum + Math.max(0, one.doneMs - one.atMs),
      0,
    );
    const lasted = request.endMs - Math.max(request.wholeMs, request.turnMs);
    if (lasted > most + answering + 1000)
      this.fault(request, `took ${Math.round(lasted)} ms, more than ${Math.round(most)}`);
  }
}

function boundOf({ retry, timeouts, limits }: Service, endpoints: number): number {
  const tries = retry.attempts + endpoints + 2;
  const each = timeouts.connectMs + timeouts.responseMs + 2 * TICK_SLACK_MS + LINK_SLACK_MS;
  const waits = limits.queueTimeoutMs + limits.parkMs;
  const all = waits + tries * each + 2 * timeouts.idleBodyMs;
  return timeouts.requestMs > 0 ? Math.min(all, timeouts.requestMs + TICK_SLACK_MS) : all;
}

function limitsConnections({ limits }: Service): boolean {
  return limits.connections < 10_000 || limits.connectionsPerClient > 0;
}

function isCutting({ fault }: Attempt): boolean {
  return (
    fault === 'stalls' ||
    fault === 'resets' ||
    fault === 'closes' ||
    fault === 'truncates' ||
    fault === 'bad-chunk' ||
    fault === 'surplus' ||
    fault === 'cancels' ||
    fault === 'wrong-length' ||
    fault === 'breaks' ||
    fault === 'harmed'
  );
}

/** The deadline of a call was over. */
function isOutOfTime({ call, startMs, endMs }: Request): boolean {
  return call ? call.deadlineMs > 0 && endMs - startMs >= call.deadlineMs : false;
}

function endText({ end, status, reason }: Request): string {
  return `${end} ${status === 0 ? '' : status} ${reason}`.trim();
}
