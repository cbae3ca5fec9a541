// Asks Consul agents over HTTP: a list of agents in fail-over order, a token that may change, and
// a deadline on every exchange. Callers get good answers alone; everything else is a ConsulError.
import { readStart } from '../../base/body.ts';
import type { Clock, Timer } from '../../base/clock.ts';
import { CodedError, codeOf, messageOf } from '../../base/coded-error.ts';
import { formsOfBasic, hideOwn } from '../../base/own-secrets.ts';
import { BOUNDS } from '../../model/bounds.ts';
import type { ConsulSettings } from '../../model/registries/consul.ts';
import { Secret } from '../../reach/secret.ts';
import { type Answer, ConsulError, type Response, readAnswer } from './answer.ts';
import { boundsOf } from './answer-bounds.ts';
import { readJson } from './body.ts';
import type { ConsulChannel, ConsulTransport, OpenConsul } from './transport.ts';

/** How often an agent that is preferred to the current one is looked at. */
const RETURN_MS = 30_000;
const PROBE_MS_MAX = 2000;
/** How often the token's file is looked at between questions. */
const TOKEN_LOOK_MS = 1000;

export interface Question {
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  /** Bound of the whole exchange, ms. */
  readonly deadlineMs: number;
  readonly signal: AbortSignal;
  /** The leader answers, whatever the settings say: what it says is not behind. */
  readonly isConsistent?: boolean;
  /** A 404 with an index is an answer, with body null. */
  readonly mayBeMissing?: boolean;
}

export class ConsulClient {
  private readonly settings: ConsulSettings;
  private readonly clock: Clock;
  private readonly token: Secret;
  private readonly transport: ConsulTransport;
  private readonly closed = new AbortController();
  /** How many exchanges with an agent have broken, by address. */
  private readonly breaks = new Map<string, number>();
  private lastBreakMs: number | null = null;
  private current = 0;
  private returning: Timer | null = null;
  private tokenLook: Timer | null = null;
  /** Called when the token has changed, until they are taken out. */
  readonly onTokenChange = new Set<() => void>();
  /** Called when the agent turns out to need a connection for each open query. */
  onProtocol: () => void = () => {};
  /** Called with each answer: what was left out of it, human-readable; '' where nothing was. */
  onExcess: (path: string, excess: string) => void = () => {};

  constructor(settings: ConsulSettings, clock: Clock, open: OpenConsul) {
    this.settings = settings;
    this.clock = clock;
    const { token: text, tokenFile: file } = settings;
    this.token = new Secret({ text, file, key: 'token_file' });
    this.transport = open(settings.tls, () => this.onProtocol());
    if (this.token.isFile) void this.beginTokenLook();
  }

  /** The agent that is asked now. */
  get address(): string {
    return this.settings.addresses[this.current] ?? '';
  }

  /** Whether open queries share a connection: HTTP/2, which Consul speaks over TLS. */
  get isMultiplexed(): boolean {
    return this.transport.isMultiplexed(this.address);
  }

  /**
   * A question failed at the agent `from`. Unless that was the question's own fault, the next agent
   * is asked from now on. Many questions may fail at once: one step is made, not many.
   */
  async failOver(from: string, error: ConsulError): Promise<void> {
    const { addresses } = this.settings;
    if (addresses.length < 2 || error.isRefusal || from !== this.address) return;
    // Consul has a 500 for questions that it doesn't understand, too; so it is asked a plain one.
    if (error.code.startsWith('http-') && (await this.hasLeader(from))) return;
    if (from !== this.address || this.closed.signal.aborted) return;
    this.current = (this.current + 1) % addresses.length;
    this.awaitReturn();
  }

  /**
   * Rises when a connection to the agent breaks or a question isn't answered: it may have been
   * restarted since, also for queries that were not open then.
   */
  breaksOf(address: string): number {
    return this.breaks.get(address) ?? 0;
  }

  /** Another one when a connection to the agent broke, or another agent is asked: it may know less. */
  get epoch(): string {
    return `${this.address} ${this.breaksOf(this.address)}`;
  }

  /** Clock.nowMs() when a connection to any agent broke last; null: none has. */
  get brokenMs(): number | null {
    return this.lastBreakMs;
  }

  /** GET at the current agent. Throws ConsulError. */
  get(question: Question): Promise<Answer> {
    return this.getFrom(this.address, question);
  }

  /** GET at the agent `address`. Throws ConsulError. */
  async getFrom(address: string, question: Question): Promise<Answer> {
    const response = await this.exchange(address, question);
    const { clock } = this;
    try {
      const answer = readAnswer(response, {
        mayBeMissing: question.mayBeMissing ?? false,
        nowMs: response.receivedMs,
        wallMs: clock.wallMs(),
      });
      this.onExcess(question.path, response.body?.excess ?? '');
      return answer;
    } catch (error) {
      // What it refuses it may quote.
      if (error instanceof ConsulError) error.message = hideOwn(error.message, response.secrets);
      throw error;
    }
  }

  async close(): Promise<void> {
    this.closed.abort();
    this.returning?.cancel();
    this.tokenLook?.cancel();
    await this.transport.close();
  }

  private async exchange(
    address: string,
    question: Question,
  ): Promise<Response & { receivedMs: number; secrets: readonly string[] }> {
    const { clock } = this;
    const aborter = new AbortController();
    const abort = (): void => aborter.abort();
    let isLate = false;
    let channel: ConsulChannel | null = null;
    const deadline = clock.setTimer(question.deadlineMs, () => {
      isLate = true;
      aborter.abort();
    });
    question.signal.addEventListener('abort', abort, { once: true });
    try {
      question.signal.throwIfAborted();
      channel = await this.transport.to(address);
      const { token, httpAuth } = await this.credentials(address);
      const [path, headers] = [this.pathOf(question), headersOf(token, httpAuth)];
      const response = await channel.get({ path, headers, signal: aborter.signal });
      const { status, headers: fields } = response;
      const isGood = status === 200;
      const bounds = boundsOf(question.path, this.settings.tagPrefix);
      const body = isGood ? await readJson(response.body, { bounds, clock }) : null;
      const text = isGood ? '' : await readStart(response.body, BOUNDS.consulError.max);
      const secrets = [token, ...formsOfBasic(httpAuth)];
      return { status, headers: fields, text, body, receivedMs: clock.nowMs(), secrets };
    } catch (error) {
      // A file of ours that can't be read breaks no connection.
      const isOwn = error instanceof CodedError;
      if (!question.signal.aborted && !isOwn) {
        this.breaks.set(address, this.breaksOf(address) + 1);
        this.lastBreakMs = this.clock.nowMs();
      }
      if (!isLate) throw new ConsulError(codeOf(error) || 'failed', whyOf(error));
      channel?.recycle();
      throw new ConsulError('timeout', `no answer within ${Math.round(question.deadlineMs)} ms`);
    } finally {
      deadline.cancel();
      question.signal.removeEventListener('abort', abort);
    }
  }

  private pathOf({ path, query, isConsistent }: Question): string {
    const { datacenter, namespace, partition, stale } = this.settings;
    const standing = {
      ...(datacenter === '' ? {} : { dc: datacenter }),
      ...(namespace === '' ? {} : { ns: namespace }),
      ...(partition === '' ? {} : { partition }),
      ...(stale && isConsistent !== true ? { stale: '' } : {}),
    };
    const text = new URLSearchParams({ ...standing, ...query }).toString();
    return text === '' ? path : `${path}?${text}`;
  }

  private async credentials(address: string): Promise<{ token: string; httpAuth: string }> {
    const httpAuth = this.settings.addressAuth?.[address] ?? this.settings.httpAuth;
    return { token: await this.token.read(), httpAuth };
  }

  /** While a fallback is asked, the agents before it are looked at now and then. */
  private awaitReturn(): void {
    this.returning?.cancel();
    this.returning = null;
    if (this.current === 0 || this.closed.signal.aborted) return;
    this.returning = this.clock.setTimer(RETURN_MS, () => void this.tryReturn());
  }

  private async tryReturn(): Promise<void> {
    const preferred = this.settings.addresses.slice(0, this.current);
    for (const [i, address] of preferred.entries()) {
      if (!(await this.hasLeader(address))) continue;
      if (i < this.current) this.current = i;
      break;
    }
    this.awaitReturn();
  }

  /** An agent that knows a leader is fit for questions. This answer has no index. */
  private async hasLeader(address: string): Promise<boolean> {
    const question = {
      path: '/v1/status/leader',
      deadlineMs: PROBE_MS_MAX,
      signal: this.closed.signal,
    };
    try {
      const { body } = await this.exchange(address, question);
      return typeof body?.value === 'string' && body.value !== '';
    } catch {
      return false;
    }
  }

  /** Open queries still carry the old token: whoever waits in one is told to ask again. */
  private lookAtToken(before: string): void {
    this.tokenLook = this.clock.setTimer(TOKEN_LOOK_MS, () => void this.lookNow(before));
  }

  private async beginTokenLook(): Promise<void> {
    const token = await this.readToken();
    if (!this.closed.signal.aborted) this.lookAtToken(token);
  }

  private async lookNow(before: string): Promise<void> {
    const now = await this.readToken();
    if (this.closed.signal.aborted) return;
    if (now !== before) for (const tell of [...this.onTokenChange]) tell();
    this.lookAtToken(now);
  }

  private async readToken(): Promise<string> {
    try {
      return await this.token.read();
    } catch {
      return '';
    }
  }
}

function headersOf(token: string, httpAuth: string): Record<string, string> {
  return {
    accept: 'application/json',
    ...(token === '' ? {} : { 'x-consul-token': token }),
    ...(httpAuth === ''
      ? {}
      : { authorization: `Basic ${Buffer.from(httpAuth).toString('base64')}` }),
  };
}

function whyOf(error: unknown): string {
  // A name with several addresses gives an error of errors, whose own message is empty.
  if (error instanceof AggregateError) return error.errors.map(messageOf).join('; ');
  return messageOf(error) || codeOf(error);
}
