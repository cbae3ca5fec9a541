// One worker thread as the supervisor sees it: what was sent to it, and what it has answered.
//   starting -> live -> gone
// Invariant: `applying` holds exactly the deltas that were sent and not yet acknowledged, in order;
// the worker applies them one after the other, so acknowledgements come in the same order.
import { assert } from '../base/assert.ts';
import type { ChallengeTable } from '../model/acme.ts';
import { DeltaPacker } from '../model/delta-packing.ts';
import type { ListenError } from '../model/listener.ts';
import type { SnapshotDelta } from '../model/snapshot.ts';
import type { FromWorker, ToWorker, WorkerInit } from '../worker/messages.ts';
import type { StartThread, Thread } from './thread-door.ts';

/** What a thread tells its supervisor. */
export interface ThreadOwner {
  /** It can take deltas. */
  onReady(thread: WorkerThread): void;
  /** A message that is not about the thread itself: a record, a failing endpoint. */
  onMessage(thread: WorkerThread, message: FromWorker): void;
  /** It has ended; once, and last. `error` is what it threw, or null. */
  onGone(thread: WorkerThread, end: { exitCode: number; error: Error | null }): void;
}

interface SentDelta {
  readonly version: number;
  readonly done: () => void;
}

export class WorkerThread {
  readonly index: number;
  /** Resolves when the thread has ended, in whatever way. */
  readonly gone: Promise<void>;
  state: 'starting' | 'live' | 'gone' = 'starting';
  /** Listeners that this worker wants and could not open, as of its last word. */
  listenErrors: readonly ListenError[] = [];
  /** Pings in a row that were due while an earlier one had no answer. */
  missedPings = 0;
  private readonly thread: Thread;
  private readonly owner: ThreadOwner;
  private readonly packer = new DeltaPacker();
  private applying: SentDelta[] = [];
  private challengeId = 0;
  /** Sent and not yet acknowledged. */
  private readonly challenging = new Map<number, () => void>();
  private pingId = 0;
  private pongId = 0;
  private onDrained: ((cut: number) => void) | null = null;
  private error: Error | null = null;

  constructor(start: StartThread, init: WorkerInit, owner: ThreadOwner) {
    this.index = init.index;
    this.owner = owner;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.gone = promise;
    this.thread = start(init, {
      onMessage: (message) => this.onMessage(message),
      onError: (error) => {
        this.error = error;
      },
      onExit: (exitCode) => {
        this.onExit(exitCode);
        resolve();
      },
    });
  }

  /** Sends a delta; resolves when it is live there, or when the thread has ended. */
  apply(delta: SnapshotDelta): Promise<void> {
    if (this.state === 'gone') return Promise.resolve();
    return new Promise((done) => {
      this.applying.push({ version: delta.version, done });
      this.post({ type: 'apply', delta: this.packer.pack(delta) });
    });
  }

  setTls(tls: Omit<Extract<ToWorker, { type: 'tls' }>, 'type'>): void {
    if (this.state === 'live') this.post({ type: 'tls', ...tls });
  }

  /** Resolves when it answers these challenges and no others, or when the thread has ended. */
  setChallenges(table: ChallengeTable): Promise<void> {
    // One that starts gets them when it is ready.
    if (this.state !== 'live') return Promise.resolve();
    return new Promise((done) => {
      this.challengeId += 1;
      this.challenging.set(this.challengeId, done);
      this.post({ type: 'challenges', id: this.challengeId, table });
    });
  }

  setMemoryMax(maxBytes: number): void {
    if (this.state === 'live') this.post({ type: 'memory-max', maxBytes });
  }

  /** Asks for a sign of life; counts where the last one has not come. */
  ping(): void {
    if (this.state !== 'live') return;
    if (this.pongId !== this.pingId) {
      this.missedPings += 1;
      return;
    }
    this.pingId += 1;
    this.post({ type: 'ping', id: this.pingId });
  }

  /** Drains; resolves with the number of connections that were cut, 0 if the thread ends first. */
  drain(graceMs: number): Promise<number> {
    if (this.state !== 'live') return Promise.resolve(0);
    return new Promise((resolve) => {
      this.onDrained = resolve;
      this.post({ type: 'drain', graceMs });
    });
  }

  /** Asks it to end now. */
  stop(): void {
    if (this.state !== 'gone') this.post({ type: 'stop' });
  }

  /** Ends it from outside: for a thread that answers no more. */
  terminate(): void {
    this.thread.terminate();
  }

  private post(message: ToWorker): void {
    this.thread.post(message);
  }

  private onMessage(message: FromWorker): void {
    switch (message.type) {
      case 'ready':
        this.state = 'live';
        this.owner.onReady(this);
        return;
      case 'applied':
        this.onApplied(message.version, message.listenErrors);
        return;
      case 'pong':
        this.pongId = message.id;
        this.missedPings = 0;
        return;
      case 'challenged':
        this.challenging.get(message.id)?.();
        this.challenging.delete(message.id);
        return;
      case 'drained':
        this.onDrained?.(message.cut);
        this.onDrained = null;
        return;
      case 'listeners':
        this.listenErrors = message.listenErrors;
        this.owner.onMessage(this, message);
        return;
      default:
        this.owner.onMessage(this, message);
    }
  }

  private onApplied(version: number, listenErrors: readonly ListenError[]): void {
    const sent = this.applying.shift();
    assert(sent?.version === version, 'a worker acknowledges deltas in the order they were sent');
    this.listenErrors = listenErrors;
    sent.done();
  }

  private onExit(exitCode: number): void {
    this.state = 'gone';
    this.listenErrors = [];
    const { applying } = this;
    this.applying = [];
    for (const sent of applying) sent.done();
    for (const done of this.challenging.values()) done();
    this.challenging.clear();
    this.onDrained?.(0);
    this.onDrained = null;
    this.owner.onGone(this, { exitCode, error: this.error });
  }
}
