import type { Clock } from '../../src/base/clock.ts';
import type { ConsulRequest, ConsulResponse } from '../../src/discovery/consul/transport.ts';

/** An agent in memory, in which nothing changes by itself: answers what it has, or fails. */
export class QuietAgent {
  /** Paths without a query -> the body; without one it answers 500. */
  readonly bodies = new Map<string, unknown>();
  isDown = false;
  /** Without, questions that only the leader may answer get 500. */
  hasLeader = true;
  /** Questions whose path, with its query, begins so are answered when `release` is called; '' holds none. */
  holding = '';
  /** Of all answers. */
  index = 5;
  /** Paths with their queries, in order. */
  readonly asked: string[] = [];
  private readonly clock: Clock;
  /** Ends a question, and its path. */
  private readonly open = new Map<(error: Error) => void, string>();
  private readonly waiting = new Set<() => void>();
  private readonly held: (() => void)[] = [];

  constructor(clock: Clock) {
    this.clock = clock;
  }

  get({ path, signal }: ConsulRequest): Promise<ConsulResponse> {
    const { pathname, searchParams } = new URL(path, 'http://agent');
    this.asked.push(path);
    if (this.isDown) return Promise.reject(new Error('connect ECONNREFUSED'));
    const waitMs = Number.parseInt(searchParams.get('wait') ?? '0', 10);
    return new Promise((resolve, reject) => {
      this.open.set(reject, pathname);
      signal.addEventListener('abort', () => reject(new Error('aborted')));
      const answer = (): void => {
        const isHeld = this.holding !== '' && path.startsWith(this.holding);
        if (isHeld) this.held.push(answer);
        else resolve(this.answer(pathname, searchParams.has('stale')));
      };
      if (waitMs > 0) this.waiting.add(answer);
      this.clock.setTimer(waitMs, answer);
    });
  }

  /** Something changes: those who wait are answered. */
  change(): void {
    this.index += 1;
    for (const answer of this.waiting) answer();
    this.waiting.clear();
  }

  release(): void {
    this.holding = '';
    for (const answer of this.held.splice(0)) answer();
  }

  /** All connections break, or those alone on which this path is asked. */
  cut(only = ''): void {
    for (const [reject, path] of this.open) {
      if (only !== '' && path !== only) continue;
      reject(new Error('other side closed'));
      this.open.delete(reject);
    }
  }

  private answer(path: string, isStale: boolean): ConsulResponse {
    const body = this.hasLeader || isStale ? this.bodies.get(path) : undefined;
    const bytes = Buffer.from(JSON.stringify(body ?? 'rpc error'));
    return {
      status: body === undefined ? 500 : 200,
      headers: { 'x-consul-index': `${this.index}`, 'x-consul-knownleader': 'true' },
      body: (async function* () {
        yield bytes;
      })(),
    };
  }
}
