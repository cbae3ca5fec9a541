// Asks Consul agents over HTTP: one connection pool, a list of agents in fail-over order, a token
// that is read again when its file changes. Every way an answer can be no answer (no 200, no index,
// no JSON, cut off, too late) is a CodedError; the callers only see good answers.
import { readFileSync, statSync } from 'node:fs';
import { Agent, request } from 'undici';
import type { Clock } from '../../base/clock.ts';
import { CodedError, codeOf, messageOf } from '../../base/coded-error.ts';
import type { ConsulSettings } from '../../model/settings.ts';

/** After so long on a fallback agent, the first one is tried again. */
const RETURN_MS = 30_000;
/** Connections to one agent over plain HTTP, below its default limit of 200 per client. */
const CONNECTIONS_MAX = 160;

export interface Answer {
  readonly index: bigint;
  readonly body: unknown;
  /** Why what it leaves out may be there all the same, or ''. */
  readonly doubt: string;
}

/** Thrown with the wait that the agent asked for, ms (0: none). */
export class ConsulError extends CodedError {
  readonly retryAfterMs: number;

  constructor(code: string, message: string, retryAfterMs = 0) {
    super(code, message);
    this.retryAfterMs = retryAfterMs;
  }
}

export class ConsulClient {
  private readonly settings: ConsulSettings;
  private readonly clock: Clock;
  private readonly dispatchers = new Map<string, Agent>();
  private current = 0;
  private movedMs = 0;
  private tokenOfFile = { changedMs: -1, text: '' };

  constructor(settings: ConsulSettings, clock: Clock) {
    this.settings = settings;
    this.clock = clock;
  }

  /** The agent that is asked now. */
  get address(): string {
    return this.settings.addresses[this.current] ?? '';
  }

  /** Whether many requests share one connection: HTTP/2, which Consul speaks over TLS. */
  get isMultiplexed(): boolean {
    return this.address.startsWith('https:');
  }

  /** The agent asked now does not answer: the next one is asked from now on. */
  failOver(): void {
    this.current = (this.current + 1) % this.settings.addresses.length;
    this.movedMs = this.clock.nowMs();
  }

  /**
   * GET `path` with `query`. `deadlineMs` bounds the whole exchange; `signal` ends it early.
   * Throws ConsulError.
   */
  async get(
    path: string,
    query: Readonly<Record<string, string>>,
    options: {
      readonly deadlineMs: number;
      readonly signal: AbortSignal;
      readonly mayBeMissing?: boolean;
    },
  ): Promise<Answer> {
    this.returnToFirst();
    const { status, headers, text } = await this.ask(path, query, options);
    if (status === 404 && options.mayBeMissing) {
      return { index: indexOf(headers['x-consul-index']), body: null, doubt: doubtOf(headers) };
    }
    if (status !== 200) {
      // Never an index of an answer that is not 200: Consul's errors carry index 1.
      const retryAfterMs = Number(headers['retry-after'] ?? 0) * 1000 || 0;
      throw new ConsulError(
        `http-${status}`,
        `answered ${status}: ${firstLine(text)}`,
        retryAfterMs,
      );
    }
    const index = indexOf(headers['x-consul-index']);
    return { index, body: parse(text), doubt: doubtOf(headers) };
  }

  async close(): Promise<void> {
    await Promise.all([...this.dispatchers.values()].map((one) => one.destroy()));
  }

  private returnToFirst(): void {
    if (this.current === 0 || this.clock.nowMs() - this.movedMs < RETURN_MS) return;
    this.current = 0;
    this.movedMs = this.clock.nowMs();
  }

  private async ask(
    path: string,
    query: Readonly<Record<string, string>>,
    options: { deadlineMs: number; signal: AbortSignal },
  ) {
    const { address } = this;
    const isSocket = address.startsWith('unix:');
    const url = new URL(path, isSocket ? 'http://localhost' : address);
    for (const [name, value] of Object.entries({ ...this.standing(), ...query })) {
      url.searchParams.set(name, value);
    }
    const deadline = AbortSignal.timeout(options.deadlineMs);
    try {
      const response = await request(url, {
        dispatcher: this.dispatcherFor(address),
        headers: this.headers(),
        signal: AbortSignal.any([options.signal, deadline]),
        headersTimeout: 0,
        bodyTimeout: 0,
      });
      const text = await response.body.text();
      return { status: response.statusCode, headers: response.headers, text };
    } catch (error) {
      if (deadline.aborted)
        throw new ConsulError('timeout', `no answer within ${options.deadlineMs} ms`);
      throw new ConsulError(codeOf(error) || 'failed', messageOf(error) || codeOf(error));
    }
  }

  /** Parameters of every query. */
  private standing(): Record<string, string> {
    const { datacenter, namespace, partition, stale } = this.settings;
    return {
      ...(datacenter === '' ? {} : { dc: datacenter }),
      ...(namespace === '' ? {} : { ns: namespace }),
      ...(partition === '' ? {} : { partition }),
      ...(stale ? { stale: '' } : {}),
    };
  }

  private headers(): Record<string, string> {
    const token = this.token();
    const { httpAuth } = this.settings;
    const basic = Buffer.from(httpAuth).toString('base64');
    return {
      accept: 'application/json',
      ...(token === '' ? {} : { 'x-consul-token': token }),
      ...(httpAuth === '' ? {} : { authorization: `Basic ${basic}` }),
    };
  }

  /** The token; a file is read again when it has changed. */
  private token(): string {
    const { token, tokenFile } = this.settings;
    if (tokenFile === '') return token;
    try {
      const changedMs = statSync(tokenFile).mtimeMs;
      if (changedMs !== this.tokenOfFile.changedMs) {
        this.tokenOfFile = { changedMs, text: readFileSync(tokenFile, 'utf8').trim() };
      }
      return this.tokenOfFile.text;
    } catch (error) {
      throw new ConsulError('token-file', `token_file ${tokenFile}: ${messageOf(error)}`);
    }
  }

  private dispatcherFor(address: string): Agent {
    let agent = this.dispatchers.get(address);
    if (agent === undefined) {
      agent = this.makeDispatcher(address);
      this.dispatchers.set(address, agent);
    }
    return agent;
  }

  private makeDispatcher(address: string): Agent {
    const { tls } = this.settings;
    const read = (file: string) => (file === '' ? {} : readFileSync(file));
    const isTls = address.startsWith('https:');
    const tlsOptions = {
      rejectUnauthorized: tls.verify,
      ...(tls.caFile === '' ? {} : { ca: read(tls.caFile) as Buffer }),
      ...(tls.certFile === '' ? {} : { cert: read(tls.certFile) as Buffer }),
      ...(tls.keyFile === '' ? {} : { key: read(tls.keyFile) as Buffer }),
      ...(tls.serverName === '' ? {} : { servername: tls.serverName }),
    };
    const socket = address.startsWith('unix:') ? { socketPath: new URL(address).pathname } : {};
    return new Agent({
      connect: { timeout: 5000, ...(isTls ? tlsOptions : {}), ...socket },
      allowH2: isTls,
      ...(isTls ? { connections: 4, maxConcurrentStreams: 250 } : { connections: CONNECTIONS_MAX }),
      pipelining: 1,
    });
  }
}

/** The index of a good answer: at least 1 (Consul API, "Blocking Queries"). */
function indexOf(header: string | string[] | undefined): bigint {
  const text = typeof header === 'string' ? header : '';
  if (!/^\d{1,20}$/.test(text))
    throw new ConsulError('no-index', 'answered without X-Consul-Index');
  const index = BigInt(text);
  if (index < 1n) throw new ConsulError('index-zero', 'answered with X-Consul-Index 0');
  return index;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new ConsulError('not-json', `answered what is not JSON: ${firstLine(text)}`);
  }
}

function doubtOf(headers: Readonly<Record<string, string | string[] | undefined>>): string {
  if (headers['x-consul-knownleader'] === 'false') return 'no known leader';
  if (headers['x-consul-results-filtered-by-acls'] === 'true') return 'filtered by ACLs';
  return '';
}

function firstLine(text: string): string {
  return (text.split('\n')[0] ?? '').slice(0, 200);
}
