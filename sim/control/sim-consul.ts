// The simulated Consul: one cluster, and agents in front of it. It keeps Consul's rules (index per
// question, blocking with jitter, stale and consistent reads) and breaks them where an agent's
// trouble says so. Everything that was delivered whole is told to an observer, which judges what the
// product may have believed.

import type {
  ConsulRequest,
  ConsulResponse,
  OpenConsul,
} from '../../src/discovery/consul/transport.ts';
import type { Chance } from '../kernel/chance.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { systemError } from '../kernel/system-error.ts';
import type { Trace } from '../kernel/trace.ts';
import { type Asked, AskJudge, HUGE_BYTES, LARGE_BYTES } from './asks.ts';
import { type Answered, answerOf } from './consul-answers.ts';
import { describes, emptyState, type State } from './truth.ts';

/** What is wrong with an agent now. Times are of simulated ms; 0 and past ones mean: nothing. */
export interface Trouble {
  /** Refuses connections. */
  downUntilMs: number;
  /** Takes questions and answers none; open ones hang. */
  silentUntilMs: number;
  /** 429, with this Retry-After in seconds; 0 sends none. */
  limitedUntilMs: number;
  retryAfter: number;
  /** 500 with X-Consul-Index: 1. */
  failingUntilMs: number;
  /** Says after seven seconds that there is no leader. */
  leaderlessUntilMs: number;
  /** Stale answers leave instances out: all of them, or with `isDoubtful` some, and says so. */
  partialUntilMs: number;
  isDoubtful: boolean;
  /** Answers end in the middle: cut, or cleanly as a proxy would. */
  truncatingUntilMs: number;
  /** Answers without an index, or with index 0. */
  indexlessUntilMs: number;
  /** Answers take up to so long. */
  slowUntilMs: number;
  slowMs: number;
  /** Stale answers come from a server that is so far behind. */
  lagUntilMs: number;
  lagMs: number;
  /** Answers about services are large: each agent has much to say of every instance. */
  largeUntilMs: number;
  /** Those to consistent questions are huge. */
  hugeUntilMs: number;
}

const NO_TROUBLE: Trouble = {
  ...{ downUntilMs: 0, silentUntilMs: 0, limitedUntilMs: 0, retryAfter: 0, failingUntilMs: 0 },
  ...{ leaderlessUntilMs: 0, partialUntilMs: 0, isDoubtful: false, truncatingUntilMs: 0 },
  ...{ indexlessUntilMs: 0, slowUntilMs: 0, slowMs: 0, lagUntilMs: 0, lagMs: 0, largeUntilMs: 0 },
  hugeUntilMs: 0,
};

/** What was delivered whole with status 200 to a question about a service. */
export interface Delivered {
  readonly path: string;
  /** '' where all were asked for. */
  readonly tag: string;
  /** Ids `node/id` that it has, with the port and whether no check is critical. */
  readonly ids: ReadonlyMap<string, Listed>;
  /** It says what was so at this time, or later. */
  readonly asOfMs: number;
}

export interface Listed {
  readonly port: number;
  readonly isAccepted: boolean;
  /** It says of its service that it is one of Upriver's. */
  readonly isDescribing: boolean;
}

const SERVICE_PATH = '/v1/health/service/';
const LEADERLESS_MS = 7000;
/** Between the tokens of JSON: it costs nobody much to read. */
const MUCH = ' '.repeat(LARGE_BYTES);
const MOST = ' '.repeat(HUGE_BYTES);
/** Less than the way of a question. */
const AMBUSH_MS = 0.05;

interface Open {
  readonly agent: SimAgent;
  /** One per client that asks. */
  readonly asks: AskJudge;
  /** It is asked with an index. */
  readonly isBlocking: boolean;
  /** It has not come to the agent yet. */
  readonly isOnWay: () => boolean;
  /** Looks whether there is an answer now. */
  readonly look: () => void;
  readonly cut: (error: Error) => void;
}

export class SimConsul {
  state: State;
  readonly agents: readonly SimAgent[];
  readonly open = new Set<Open>();
  /** Called with each good answer that arrives whole. */
  onDelivered: (delivered: Delivered) => void = () => {};
  /** Called when somebody breaks Consul's rules for those who ask. */
  onFault: (text: string) => void = () => {};
  /** Run once, just after an answer that leaves something out. */
  ambush: (() => void) | null = null;
  lastGoodMs = 0;
  questions = 0;
  private readonly kernel: Kernel;
  private readonly history: State[];
  private readonly chance: Chance;

  constructor(kernel: Kernel, addresses: readonly string[]) {
    this.kernel = kernel;
    this.chance = kernel.chance('consul');
    this.state = emptyState(0, 20);
    this.history = [this.state];
    this.agents = addresses.map((address) => new SimAgent(address));
  }

  agent(address: string): SimAgent {
    return this.agents.find((one) => one.address === address)!;
  }

  /** One write; null changes nothing. */
  write(next: State | null): void {
    if (next === null) return;
    this.state = next;
    this.history.push(next);
    this.wake();
    // Servers that are behind come to know of it later.
    const lags = new Set(this.agents.map((agent) => this.lagOf(agent)));
    for (const lagMs of lags) if (lagMs > 0) this.kernel.after(lagMs, () => this.wake());
  }

  /** Whether all who ask notice when it begins anew: a question of theirs that waits breaks. */
  get isNoticed(): boolean {
    const open = [...this.open];
    return open.every(({ agent, asks }) =>
      open.some((one) => one.isBlocking && one.agent === agent && one.asks === asks),
    );
  }

  /** All servers begin anew without anything: indexes are low again. */
  restartEmpty(downMs: number): void {
    const { nowMs } = this.kernel;
    this.state = emptyState(nowMs, 12);
    this.history.splice(0, this.history.length, this.state);
    // So quick that a plain question on its way finds it running again.
    if (downMs === 0) {
      for (const one of [...this.open]) if (one.isBlocking || !one.isOnWay()) one.cut(closed());
    } else for (const agent of this.agents) this.begin(agent, { downUntilMs: nowMs + downMs });
  }

  /** A snapshot was restored: the same content, and lower indexes. */
  lowerIndexes(): void {
    const { state } = this;
    const lower = (index: number): number => Math.max(2, Math.floor(index / 2));
    const instances = [...state.instances].map(([key, one]) => {
      const indexes = { index: lower(one.index), checkIndex: lower(one.checkIndex) };
      return [key, { ...one, ...indexes }] as const;
    });
    const services = [...state.serviceIndexes].map(([key, index]) => [key, lower(index)] as const);
    const keys = [...state.keys].map(([key, one]) => {
      return [key, { ...one, index: lower(one.index) }] as const;
    });
    this.state = {
      ...state,
      ...{ atMs: this.kernel.nowMs, index: lower(state.index), instances: new Map(instances) },
      ...{ serviceIndexes: new Map(services), keys: new Map(keys) },
      ...{ extinctIndex: lower(state.extinctIndex), catalogIndex: lower(state.catalogIndex) },
      ...{ checksIndex: lower(state.checksIndex), keysIndex: lower(state.keysIndex) },
    };
    this.history.splice(0, this.history.length, this.state);
    for (const agent of this.agents) this.cutOpen(agent, 'rpc error making call: EOF');
  }

  /** The agent has a trouble from now on. */
  begin(agent: SimAgent, trouble: Partial<Trouble>): void {
    agent.trouble = { ...agent.trouble, ...trouble };
    if (trouble.downUntilMs !== undefined) this.cutOpen(agent, 'other side closed');
    if (trouble.lagUntilMs !== undefined) this.kernel.at(trouble.lagUntilMs, () => this.wake());
    if (trouble.lagUntilMs !== undefined) this.wake();
  }

  /** All open questions at the agent end by a broken connection. */
  cutOpen(agent: SimAgent, why: string): void {
    for (const one of [...this.open]) {
      if (one.agent === agent) one.cut(systemError('UND_ERR_SOCKET', why));
    }
  }

  endTroubles(): void {
    for (const agent of this.agents) agent.trouble = NO_TROUBLE;
    this.wake();
  }

  /** The transport of one process; what `isDead` says ends everything without a word. */
  opener(isDead: () => boolean): OpenConsul {
    return () => {
      const own = new Set<AbortController>();
      const asks = new AskJudge((text) => this.onFault(text));
      return {
        to: (address) => ({
          get: (request) => this.get(this.agent(address), request, { own, isDead, asks }),
          recycle: () => {},
        }),
        isMultiplexed: () => false,
        close: () => {
          for (const one of own) one.abort();
          return Promise.resolve();
        },
      };
    };
  }

  private get(
    agent: SimAgent,
    request: ConsulRequest,
    client: { own: Set<AbortController>; isDead: () => boolean; asks: AskJudge },
  ): Promise<ConsulResponse> {
    const { own, isDead, asks } = client;
    this.questions += 1;
    const closing = new AbortController();
    own.add(closing);
    return new Promise<ConsulResponse>((resolve, reject) => {
      const question = new Question(this, agent, request.path);
      asks.onAsked(question.asked);
      question.onWhole = (index, bytes) => {
        asks.onAnswered(question.asked, index);
        if (bytes > 0) asks.onLarge(question.asked, bytes, this.now);
      };
      const end = (run: () => void): void => {
        if (!this.open.delete(entry)) return;
        own.delete(closing);
        request.signal.removeEventListener('abort', abort);
        question.timer?.cancel();
        // Until it has arrived whole.
        asks.onFailed(question.asked);
        if (!isDead()) run();
      };
      const abort = (): void => end(() => reject(systemError('ABORT_ERR', 'aborted')));
      const entry: Open = {
        agent,
        asks,
        isBlocking: question.asked.index > 0,
        look: () => question.look(),
        isOnWay: () => question.isOnWay,
        cut: (error) => end(() => reject(error)),
      };
      question.answer = (response) => end(() => resolve(response));
      question.fail = (error) => end(() => reject(error));
      this.open.add(entry);
      request.signal.addEventListener('abort', abort, { once: true });
      closing.signal.addEventListener('abort', abort, { once: true });
      if (request.signal.aborted) return abort();
      question.begin();
    });
  }

  private wake(): void {
    for (const one of [...this.open]) one.look();
  }

  lagOf({ trouble }: SimAgent): number {
    return trouble.lagUntilMs > this.kernel.nowMs ? trouble.lagMs : 0;
  }

  /** What a server behind this agent knows. */
  viewOf(agent: SimAgent): State {
    const lagMs = this.lagOf(agent);
    if (lagMs === 0) return this.state;
    const { history, kernel } = this;
    let view = history[0]!;
    for (const one of history) if (one.atMs <= kernel.nowMs - lagMs) view = one;
    return view;
  }

  get now(): number {
    return this.kernel.nowMs;
  }

  after(ms: number, run: () => void) {
    return this.kernel.after(ms, run);
  }

  get trace(): Trace {
    return this.kernel.trace;
  }

  get draws(): Chance {
    return this.chance;
  }
}

export class SimAgent {
  readonly address: string;
  trouble: Trouble = NO_TROUBLE;

  constructor(address: string) {
    this.address = address;
  }
}

/** One question on its way, until it is answered. */
class Question {
  timer: { cancel(): void } | null = null;
  answer: (response: ConsulResponse) => void = () => {};
  fail: (error: Error) => void = () => {};
  /** A whole, good answer with this index has arrived. */
  onWhole: (index: number, bytes: number) => void = () => {};
  isOnWay = true;
  readonly asked: Asked;
  private readonly consul: SimConsul;
  private readonly agent: SimAgent;
  private readonly path: string;
  private readonly search: URLSearchParams;
  /** Set while it waits for the index to rise. */
  private isWaiting = false;

  constructor(consul: SimConsul, agent: SimAgent, target: string) {
    this.consul = consul;
    this.agent = agent;
    const at = target.indexOf('?');
    this.path = at < 0 ? target : target.slice(0, at);
    this.search = new URLSearchParams(at < 0 ? '' : target.slice(at + 1));
    const plain = new URLSearchParams(this.search);
    plain.delete('index');
    plain.delete('wait');
    const index = Number(this.search.get('index') ?? 0);
    this.asked = { question: `${this.path}?${plain.toString()}`, agent: agent.address, index };
  }

  /** The way there: a refused connection, or the question arrives. */
  begin(): void {
    const { consul, agent } = this;
    const wayMs = consul.draws.between(0.1, 2);
    this.timer = consul.after(wayMs, () => {
      this.isOnWay = false;
      if (agent.trouble.downUntilMs > consul.now) {
        return this.fail(systemError('ECONNREFUSED', `connect ECONNREFUSED ${agent.address}`));
      }
      this.arrive();
    });
  }

  private arrive(): void {
    const { consul, agent } = this;
    const { trouble } = agent;
    const { now } = consul;
    if (trouble.silentUntilMs > now) return;
    if (trouble.limitedUntilMs > now) {
      const { retryAfter } = trouble;
      const headers = retryAfter === 0 ? {} : { 'retry-after': `${retryAfter}` };
      return this.send({ status: 429, index: null, body: () => 'rate limited' }, headers);
    }
    if (trouble.failingUntilMs > now) {
      return this.send({ status: 500, index: 1, body: () => 'rpc error making call: EOF' });
    }
    if (trouble.leaderlessUntilMs > now && !this.isStale) {
      this.timer = consul.after(LEADERLESS_MS, () =>
        this.send({ status: 500, index: 1, body: () => 'No cluster leader' }),
      );
      return;
    }
    const index = Number(this.search.get('index') ?? 0);
    const waitMs = Number.parseInt(this.search.get('wait') ?? '0', 10);
    if (index === 0 || waitMs === 0 || this.now().index! > index) return this.send(this.now());
    this.isWaiting = true;
    const jitterMs = consul.draws.next() * (waitMs / 16);
    this.timer = consul.after(waitMs + jitterMs, () => this.wakeUp());
  }

  /** The state has changed. */
  look(): void {
    if (!this.isWaiting) return;
    const index = Number(this.search.get('index') ?? 0);
    if (this.now().index! > index) this.wakeUp();
  }

  private wakeUp(): void {
    this.timer?.cancel();
    this.isWaiting = false;
    if (this.agent.trouble.silentUntilMs <= this.consul.now) this.send(this.now());
  }

  /** What makes the answer as large as it is. */
  private get padding(): string {
    const { trouble } = this.agent;
    const { now } = this.consul;
    if (this.isStale) return trouble.largeUntilMs > now ? MUCH : '';
    // Second reads are few: what they come to shows where each of them is huge.
    return this.search.has('consistent') && trouble.hugeUntilMs > now ? MOST : '';
  }

  private get isStale(): boolean {
    return this.search.has('stale');
  }

  private now(): Answered {
    const { consul, agent, path, search } = this;
    return answerOf(this.isStale ? consul.viewOf(agent) : consul.state, path, search);
  }

  private send(answered: Answered, headers: Record<string, string> = {}): void {
    const { consul, agent } = this;
    const { trouble } = agent;
    const { draws, now } = consul;
    this.isWaiting = false;
    const isGood = answered.status === 200;
    // The leader's own answers are whole.
    const isPartial = isGood && trouble.partialUntilMs > now && this.isStale;
    const whole = answered.body();
    const body = isPartial ? this.partOf(whole) : whole;
    const isDoubtful = isPartial && trouble.isDoubtful;
    const isIndexless = trouble.indexlessUntilMs > now && draws.happens(0.5);
    const index = isIndexless ? (draws.happens(0.5) ? null : 0) : answered.index;
    const fields = {
      ...headers,
      ...(index === null ? {} : { 'x-consul-index': `${index}` }),
      // A key that is missing is an answer as well.
      'x-consul-knownleader': String((isGood || answered.status === 404) && !isDoubtful),
    };
    const padding = isGood && this.path.startsWith(SERVICE_PATH) ? this.padding : '';
    const said = typeof body === 'string' && !isGood ? body : JSON.stringify(body);
    const isCut = isGood && trouble.truncatingUntilMs > now && draws.happens(0.5);
    // Cut within the padding it would be whole.
    const kept = isCut ? said.slice(0, Math.floor(said.length * draws.next())) : said + padding;
    const ids = idsOf(body);
    const slowMs = trouble.slowUntilMs > now ? draws.between(0, trouble.slowMs) : 0;
    const { status } = answered;
    const breaks = isCut && draws.happens(0.5);
    const asOfMs = this.isStale ? now - consul.lagOf(agent) : now;
    this.timer = consul.after(draws.between(0.1, 2) + slowMs, () => {
      const onWhole = (): void =>
        this.deliver(status, { index, ids, isCut, isPartial, bytes: padding.length, asOfMs });
      this.answer({ status, headers: fields, body: pieces(kept, { breaks, onWhole }) });
    });
  }

  private deliver(
    status: number,
    answer: {
      index: number | null;
      ids: ReadonlyMap<string, Listed>;
      isCut: boolean;
      isPartial: boolean;
      /** That it is padded with. */
      bytes: number;
      asOfMs: number;
    },
  ): void {
    const { consul } = this;
    const { index, ids, isCut, isPartial, bytes, asOfMs } = answer;
    const isMissing = status === 404 && this.path.startsWith('/v1/kv/');
    if ((status !== 200 && !isMissing) || index === null || isCut) return;
    this.onWhole(index, bytes);
    consul.lastGoodMs = consul.now;
    if (!this.path.startsWith('/v1/health/service/')) return;
    const tag = this.search.get('tag') ?? '';
    this.tell(index, ids, asOfMs);
    consul.onDelivered({ path: this.path, tag, ids, asOfMs });
    if (!isPartial || consul.ambush === null) return;
    // A moment later, so that what is asked about it is on its way.
    consul.after(AMBUSH_MS, consul.ambush);
    consul.ambush = null;
  }

  private tell(index: number, ids: ReadonlyMap<string, Listed>, asOfMs: number): void {
    const { consul, agent, path, search } = this;
    if (!consul.trace.isOn) return;
    const names = [...ids].map(([key, { port, isAccepted }]) => {
      return `${key}:${port}${isAccepted ? '' : ' (critical)'}`;
    });
    const as = asOfMs < consul.now ? ` as of ${asOfMs.toFixed(0)}` : '';
    const text = `index ${index}, [${names.join(', ')}]${as}`;
    consul.trace.add(consul.now, `agent ${agent.address} answers ${path}?${search}: ${text}`);
  }

  /** All of a list is left out, or some of it where the answer admits that it is doubtful. */
  private partOf(body: unknown): unknown {
    if (!this.path.startsWith('/v1/health/service/') || !Array.isArray(body)) return body;
    if (!this.agent.trouble.isDoubtful) return [];
    return body.filter(() => this.consul.draws.happens(0.5));
  }
}

/** As Consul writes it. */
interface Entry {
  readonly Node?: { readonly Node?: string };
  readonly Service?: {
    readonly ID?: string;
    readonly Port?: number;
    readonly Tags?: readonly string[];
    readonly Meta?: Readonly<Record<string, string>>;
  };
  readonly Checks?: readonly { readonly Status?: string }[];
}

function idsOf(body: unknown): ReadonlyMap<string, Listed> {
  if (!Array.isArray(body)) return new Map();
  return new Map(
    body.map(({ Node, Service, Checks = [] }: Entry) => {
      const isAccepted = Checks.every(({ Status }) => Status !== 'critical');
      const isDescribing = describes({ tags: Service?.Tags ?? [], meta: Service?.Meta ?? {} });
      const listed = { port: Service?.Port ?? 0, isAccepted, isDescribing };
      return [`${Node?.Node}/${Service?.ID}`, listed];
    }),
  );
}

async function* pieces(
  text: string,
  { breaks, onWhole }: { breaks: boolean; onWhole: () => void },
): AsyncGenerator<Buffer> {
  const bytes = Buffer.from(text);
  const half = Math.floor(bytes.length / 2);
  if (half > 0) yield bytes.subarray(0, half);
  if (breaks) throw systemError('UND_ERR_SOCKET', 'other side closed');
  yield bytes.subarray(half);
  onWhole();
}

function closed(): Error {
  return systemError('UND_ERR_SOCKET', 'other side closed');
}
