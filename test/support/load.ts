// Constant load on a proxy, with every failure kept: the witness of "no request was lost".
import { Agent, request } from 'node:http';
import { codeOf } from '../../src/base/coded-error.ts';

const IN_BODY = 'in the body: ';

export interface LoadOptions {
  readonly url: string;
  /** Requests that are started per second, whatever the answers do. */
  readonly perSecond: number;
  readonly method?: string;
  readonly body?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** A request without an answer for so long has failed, ms. */
  readonly timeoutMs: number;
  /** False opens a connection per request. */
  readonly keepAlive?: boolean;
  /**
   * A GET on a kept connection that closes without an answer is sent again on a new one, as clients do
   * (RFC 9112 section 9.3.1): it met the end of an idle connection, which no server can prevent.
   */
  readonly repeatsStale?: boolean;
}

export interface Failure {
  /** ms since the load began. */
  readonly atMs: number;
  /** When it was sent first, ms since the epoch, as logs have it. */
  readonly sentMs: number;
  /** `503 no-endpoint`, `ECONNRESET`, `timeout`. */
  readonly why: string;
  /** Since the request was sent first, ms. */
  readonly tookMs: number;
  /** Whether its connection had served another request before. */
  readonly isReused: boolean;
}

export interface LoadResult {
  readonly ok: number;
  readonly failures: readonly Failure[];
  /** Answers by the endpoint that gave them. */
  readonly byEndpoint: ReadonlyMap<string, number>;
  readonly latenciesMs: readonly number[];
  /** Requests that met the end of an idle connection, and were sent again. */
  readonly repeated: number;
}

export interface Load {
  /** Answers so far. */
  readonly ok: number;
  readonly failures: readonly Failure[];
  /** Answers so far, by the endpoint that gave them. */
  readonly byEndpoint: ReadonlyMap<string, number>;
  /** Resolves when `count` more requests have been answered or failed. */
  next(count: number): Promise<void>;
  /** Starts no more, waits for what is in flight. */
  stop(): Promise<LoadResult>;
}

/**
 * What failed but for answers that had begun when their server was killed: none has the rest of those. `cut`: how many
 * the balancer counts as such (`response-cut`); where there are more, all are returned.
 */
export function lostIn(failures: readonly Failure[], cut: number): readonly Failure[] {
  const isBegun = ({ why }: Failure): boolean => why.startsWith(IN_BODY);
  return failures.filter(isBegun).length > cut ? failures : failures.filter((one) => !isBegun(one));
}

export function startLoad(options: LoadOptions): Load {
  const agent = new Agent({ keepAlive: options.keepAlive ?? true, maxSockets: 512 });
  const startMs = performance.now();
  const failures: Failure[] = [];
  const latenciesMs: number[] = [];
  const byEndpoint = new Map<string, number>();
  let ok = 0;
  let started = 0;
  let repeated = 0;
  let ended = 0;
  let isStopped = false;
  let waiters: { at: number; resolve: () => void }[] = [];

  const endOne = (beganMs: number, why: string, isReused: boolean): void => {
    const nowMs = performance.now();
    ended += 1;
    latenciesMs.push(nowMs - beganMs);
    const [atMs, tookMs] = [Math.round(nowMs - startMs), Math.round(nowMs - beganMs)];
    if (why === '') ok += 1;
    else failures.push({ atMs, sentMs: Date.now() - tookMs, why, tookMs, isReused });
    for (const waiter of waiters.filter((one) => one.at <= ended)) waiter.resolve();
    waiters = waiters.filter((one) => one.at > ended);
  };
  const send = (): void => {
    started += 1;
    attempt(performance.now(), agent);
  };
  const attempt = (beganMs: number, by: Agent | false): void => {
    let isOver = false;
    let isAnswered = false;
    const over = (why: string): void => {
      if (!isOver) endOne(beganMs, why, sent.reusedSocket);
      isOver = true;
    };
    const { url, timeoutMs, method = 'GET', headers = {} } = options;
    const sent = request(url, { agent: by, method, headers, timeout: timeoutMs }, (response) => {
      isAnswered = true;
      response.on('error', (error) => over(`${IN_BODY}${error.message}`));
      response.on('end', () => {
        const status = response.statusCode ?? 0;
        const endpoint = String(response.headers['x-endpoint'] ?? '');
        const why = response.headers['x-upriver-reason'] ?? '';
        if (status < 400) byEndpoint.set(endpoint, (byEndpoint.get(endpoint) ?? 0) + 1);
        over(status < 400 ? '' : `${status} ${why}`);
      });
      response.resume();
    });
    sent.on('timeout', () => sent.destroy(new Error('timeout')));
    sent.on('error', (error) => {
      const isStale = sent.reusedSocket && !isAnswered && codeOf(error) === 'ECONNRESET';
      if (isOver || !isStale || options.repeatsStale !== true) return over(error.message);
      isOver = true;
      repeated += 1;
      attempt(beganMs, false);
    });
    sent.end(options.body);
  };
  // Catches up when the timer comes late, so that the rate holds over time.
  const timer = setInterval(() => {
    const due = Math.floor(((performance.now() - startMs) / 1000) * options.perSecond);
    // Behind the reading of sockets: where this process stood still, connections that were closed
    // meanwhile are known to be, and are not used.
    setImmediate(() => {
      while (!isStopped && started < due) send();
    });
  }, 2);

  const next = (count: number): Promise<void> =>
    new Promise((resolve) => waiters.push({ at: ended + count, resolve }));
  return {
    get ok() {
      return ok;
    },
    failures,
    byEndpoint,
    next,
    async stop() {
      clearInterval(timer);
      isStopped = true;
      if (started > ended) await next(started - ended);
      agent.destroy();
      return { ok, failures, byEndpoint, latenciesMs, repeated };
    },
  };
}
