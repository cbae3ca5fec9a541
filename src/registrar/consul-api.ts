// Calls to one Consul agent: those that register, and those of its key-value store.

import { type BodyLimit, readWhole } from '../base/body.ts';
import { CodedError, messageOf } from '../base/coded-error.ts';
import { parseBounded } from '../base/json-body.ts';
import { formsOfBasic, hideOwn } from '../base/own-secrets.ts';
import { encodeSegment } from '../base/path-text.ts';
import { BOUNDS, excessOf } from '../model/bounds.ts';
import type { PoolChannel, PoolRequest } from '../reach/http-pools.ts';

const ANSWER_MS_MAX = 10_000;
/** Of all services of an agent, with their checks. */
const VALUES_MAX = 600_000;
const ANSWER: BodyLimit = {
  max: BOUNDS.registryAnswer.max,
  excess: () => new CodedError('too-large', excessOf(BOUNDS.registryAnswer)),
};

export interface ConsulAccess {
  /** The way to the agent, as it is now. */
  readonly channel: () => PoolChannel | Promise<PoolChannel>;
  readonly close: () => Promise<void>;
  /** For messages. */
  readonly address: string;
  /** The ACL token as it is now; '' for none. */
  readonly token: () => string | Promise<string>;
  /** user:password for HTTP basic authentication; '' for none. */
  readonly httpAuth: string;
  readonly namespace: string;
  readonly setTimer: (ms: number, run: () => void) => { cancel(): void };
}

/** What the agent answered instead. */
export class ConsulRefusal extends CodedError {
  readonly status: number;

  constructor(message: string, status: number) {
    super(`status-${status}`, message);
    this.status = status;
  }
}

export type ConsulCall = Pick<PoolRequest, 'method' | 'path' | 'body' | 'signal'>;

export class ConsulApi {
  private readonly access: ConsulAccess;

  constructor(access: ConsulAccess) {
    this.access = access;
  }

  get address(): string {
    return this.access.address;
  }

  /** Resolves where the agent knows a leader, else rejects with ConsulRefusal. */
  async ping(signal: AbortSignal): Promise<void> {
    const leader = await this.json('/v1/status/leader', signal);
    if (typeof leader !== 'string' || leader === '') {
      throw new ConsulRefusal(`${this.address}: Consul has no leader`, 500);
    }
  }

  /**
   * GET; what was answered as JSON, null for an empty body. `also` are statuses that are as good as 200. Rejects as
   * `call`, and with ConsulRefusal where the answer is no JSON.
   */
  async json(path: string, signal: AbortSignal, also: readonly number[] = []): Promise<unknown> {
    const text = await this.call({ method: 'GET', path, signal }, also);
    try {
      return text === '' ? null : parseBounded(Buffer.from(text), VALUES_MAX);
    } catch (error) {
      throw new ConsulRefusal(`${this.address}: ${path} ${messageOf(error)}`, 200);
    }
  }

  /**
   * Resolves with the answer. Rejects with ConsulRefusal for another status than 200 and `also`, with CodedError
   * `timeout`, and with the error of the connection.
   */
  async call(call: ConsulCall, also: readonly number[] = []): Promise<string> {
    const { status, text, secrets } = await this.exchange(call);
    if (status === 200 || also.includes(status)) return text;
    // What it refuses it may quote.
    const why = hideOwn(text.trim().split('\n')[0]!.slice(0, 300), secrets);
    const { method, path } = call;
    throw new ConsulRefusal(
      `${this.address}: ${method} ${path} answered ${status}: ${why}`,
      status,
    );
  }

  close(): Promise<void> {
    return this.access.close();
  }

  private async exchange({ method, path, body, signal }: ConsulCall) {
    const aborter = new AbortController();
    const abort = (): void => aborter.abort();
    let isLate = false;
    const deadline = this.access.setTimer(ANSWER_MS_MAX, () => {
      isLate = true;
      abort();
    });
    signal.addEventListener('abort', abort, { once: true });
    try {
      signal.throwIfAborted();
      const { httpAuth, token } = this.access;
      const basic = Buffer.from(httpAuth).toString('base64');
      const secret = await token();
      const headers = {
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(secret === '' ? {} : { 'x-consul-token': secret }),
        ...(httpAuth === '' ? {} : { authorization: `Basic ${basic}` }),
      };
      const sent = { method, path: this.pathOf(path), headers };
      const channel = await this.access.channel();
      const response = await channel.request({
        ...sent,
        signal: aborter.signal,
        ...(body === undefined ? {} : { body }),
      });
      const text = (await readWhole(response.body, ANSWER)).toString();
      return { status: response.status, text, secrets: [secret, ...formsOfBasic(httpAuth)] };
    } catch (error) {
      if (!isLate) throw error;
      throw new CodedError('timeout', `${this.address}: no answer within ${ANSWER_MS_MAX} ms`);
    } finally {
      deadline.cancel();
      signal.removeEventListener('abort', abort);
    }
  }

  private pathOf(path: string): string {
    const { namespace } = this.access;
    if (namespace === '') return path;
    return `${path}${path.includes('?') ? '&' : '?'}ns=${encodeSegment(namespace)}`;
  }
}
