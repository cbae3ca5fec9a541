// The worker threads: starts them, hands every delta to all, replaces one that died, and drains
// them. Knows nothing of what a snapshot says. Numbers don't pass here (they go by the ledger).
// Invariant: a live worker has been sent the full table, or every delta since it was live.
import { Backoff } from '../base/backoff.ts';
import type { Clock, Timer } from '../base/clock.ts';
import { CodedError } from '../base/coded-error.ts';
import type { Logger, LogLevel } from '../base/log.ts';
import type { Random } from '../base/prng.ts';
import type { Ledger, LedgerBuffers } from '../ledger/ledger.ts';
import type { ChallengeTable } from '../model/acme.ts';
import type { ListenError } from '../model/listener.ts';
import type { SnapshotDelta } from '../model/snapshot.ts';
import type { StreakReport } from '../model/streak.ts';
import type { TlsMaterial, UpstreamMaterial } from '../model/tls.ts';
import type { FromWorker } from '../worker/messages.ts';
import type { StartThread } from './thread-door.ts';
import { type ThreadOwner, WorkerThread } from './worker-thread.ts';

const PING_MS = 1000;
/** Pings without an answer after which a worker counts as not live. */
const MISSED_MAX = 3;
/** ... and after which it is ended and replaced: it will not come back by itself. */
const MISSED_FATAL = 20;
/** How long a worker must have lived for its death to count as the first one again. */
const STEADY_MS = 30_000;
/** How long after the grace a worker may take to say that it has drained. */
const DRAIN_SLACK_MS = 2000;
const STOP_MS = 1000;

export interface SupervisorOptions {
  /** Worker threads, at least 1. */
  readonly count: number;
  readonly ledger: Ledger;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** Takes complete lines of the access log; null when it is off. */
  readonly writeAccess: ((lines: string) => void) | null;
  /** The level of the log; 'debug' where it is not given. */
  readonly logLevel?: LogLevel;
  /** What the process may take, bytes; 0: what container and machine allow. */
  readonly memoryMax?: number;
  /** Everything there is to know, for a worker that starts late; null before the first publish. */
  readonly full: () => SnapshotDelta | null;
  /** Passive health: an endpoint failed too often in a row. */
  readonly onStreak: (streak: StreakReport) => void;
  /** Passive health: one real request failed on an endpoint. */
  readonly onSuspect: (slot: number, reason: string) => void;
  /** Which listeners can't be opened has changed, without a delta. */
  readonly onListenErrors?: (errors: readonly ListenError[]) => void;
  readonly startThread: StartThread;
}

/** One place for a worker: the thread in it changes when it dies. */
interface Seat {
  thread: WorkerThread;
  startedMs: number;
  readonly backoff: Backoff;
}

export class Supervisor implements ThreadOwner {
  private readonly options: SupervisorOptions;
  private readonly seats: Seat[] = [];
  private pinging: Timer | null = null;
  private isStopping = false;
  private memoryMaxBytes: number;
  /** Every certificate with its key, for workers that start late. */
  private challenges: ChallengeTable | null = null;
  private tls: { materials: readonly TlsMaterial[]; upstream: readonly UpstreamMaterial[] } | null =
    null;
  /** Set while `start` waits. */
  private starting: { resolve: () => void; reject: (error: Error) => void } | null = null;

  constructor(options: SupervisorOptions) {
    this.options = options;
    this.memoryMaxBytes = options.memoryMax ?? 0;
  }

  /** Starts the workers; resolves when all can take deltas, rejects when one can't even start. */
  start(): Promise<void> {
    const started = new Promise<void>((resolve, reject) => {
      this.starting = { resolve, reject };
    });
    const { count, ledger, clock, random } = this.options;
    for (let index = 0; index < count; index += 1) {
      this.seats.push({
        thread: this.startThread(index, ledger.buffersFor(index)),
        startedMs: clock.nowMs(),
        backoff: new Backoff({ baseMs: 100, capMs: 10_000, random }),
      });
    }
    this.schedulePing();
    return started;
  }

  /**
   * Makes a delta live. Resolves when every live worker has applied it, with the listeners that
   * could not be opened. A worker that is just starting is not waited for: it gets the full table.
   */
  async apply(delta: SnapshotDelta): Promise<{ listenErrors: readonly ListenError[] }> {
    const live = this.seats.filter(({ thread }) => thread.state === 'live');
    await Promise.all(live.map(({ thread }) => thread.apply(delta)));
    return { listenErrors: this.listenErrors };
  }

  /** The certificates of all listeners from now on; listeners that need new ones come after. */
  setTls(materials: readonly TlsMaterial[], upstream: readonly UpstreamMaterial[]): void {
    this.tls = { materials, upstream };
    for (const { thread } of this.seats) thread.setTls(this.tls);
  }

  /** What certificate authorities ask now; resolves when every worker answers that. */
  async setChallenges(table: ChallengeTable): Promise<void> {
    this.challenges = table;
    await Promise.all(this.seats.map(({ thread }) => thread.setChallenges(table)));
  }

  /** What the process may take from now on, bytes: each worker sees for itself when that is near. */
  setMemoryMax(maxBytes: number): void {
    this.memoryMaxBytes = maxBytes;
    for (const { thread } of this.seats) thread.setMemoryMax(maxBytes);
  }

  /** Listeners that some worker could not open, each once. */
  get listenErrors(): readonly ListenError[] {
    const byListener = new Map<string, ListenError>();
    for (const { thread } of this.seats) {
      for (const error of thread.listenErrors) byListener.set(error.listener, error);
    }
    return [...byListener.values()];
  }

  /** Whether every worker is there and answers, and if not, which one. */
  liveness(): { ok: boolean; reason: string } {
    for (const { thread } of this.seats) {
      if (thread.state !== 'live') {
        return { ok: false, reason: `worker ${thread.index} is being started` };
      }
      if (thread.missedPings >= MISSED_MAX) {
        const seconds = Math.round((thread.missedPings * PING_MS) / 1000);
        return { ok: false, reason: `worker ${thread.index} has not answered for ${seconds} s` };
      }
    }
    return { ok: true, reason: '' };
  }

  /**
   * All workers stop accepting and finish what is in flight, up to `graceMs`. Resolves with the
   * number of connections that were cut. Nothing is replaced from now on.
   */
  async drain(graceMs: number): Promise<number> {
    this.isStopping = true;
    const cuts = await Promise.all(
      this.seats.map(({ thread }) => this.within(graceMs + DRAIN_SLACK_MS, thread.drain(graceMs))),
    );
    return cuts.reduce<number>((sum, cut) => sum + (cut ?? 0), 0);
  }

  /** Ends the workers, whatever is in flight; resolves when they are gone. */
  async stop(): Promise<void> {
    this.isStopping = true;
    this.pinging?.cancel();
    for (const { thread } of this.seats) thread.stop();
    await this.within(STOP_MS, Promise.all(this.seats.map(({ thread }) => thread.gone)));
    for (const { thread } of this.seats) if (thread.state !== 'gone') thread.terminate();
    await Promise.all(this.seats.map(({ thread }) => thread.gone));
  }

  // What threads tell

  onReady(thread: WorkerThread): void {
    const full = this.options.full();
    if (this.tls !== null) thread.setTls(this.tls);
    if (this.challenges !== null) void thread.setChallenges(this.challenges);
    if (full !== null) void thread.apply(full).then(() => this.tellListenErrors());
    // It may have changed while the thread started.
    thread.setMemoryMax(this.memoryMaxBytes);
    this.options.log.debug({ worker: thread.index }, 'worker ready');
    if (this.starting === null || !this.seats.every((seat) => seat.thread.state === 'live')) return;
    this.starting.resolve();
    this.starting = null;
  }

  onMessage(thread: WorkerThread, message: FromWorker): void {
    switch (message.type) {
      case 'log':
        this.options.log[message.level](
          { worker: thread.index, ...message.fields },
          message.message,
        );
        return;
      case 'access':
        this.options.writeAccess?.(message.lines);
        return;
      case 'streak':
        this.options.onStreak(message);
        return;
      case 'suspect':
        this.options.onSuspect(message.slot, message.reason);
        return;
      case 'listeners':
        this.tellListenErrors();
        return;
    }
  }

  private tellListenErrors(): void {
    if (!this.isStopping) this.options.onListenErrors?.(this.listenErrors);
  }

  onGone(thread: WorkerThread, end: { exitCode: number; error: Error | null }): void {
    if (this.isStopping) return;
    const { index } = thread;
    const { log, ledger, clock } = this.options;
    const why = end.error?.stack ?? `exit code ${end.exitCode}`;
    if (this.starting !== null) {
      this.isStopping = true;
      this.starting.reject(new CodedError('worker-start', `worker ${index} did not start: ${why}`));
      return;
    }
    const seat = this.seats[index]!;
    if (clock.nowMs() - seat.startedMs > STEADY_MS) seat.backoff.reset();
    const waitMs = Math.round(seat.backoff.nextMs());
    log.error({ worker: index, err: why, waitMs }, 'worker died: starting another');
    // Taken now and not when the next one starts: what was in flight there must not count on.
    const buffers = ledger.buffersFor(index);
    clock.setTimer(waitMs, () => this.replace(seat, buffers));
  }

  private replace(seat: Seat, buffers: LedgerBuffers): void {
    if (this.isStopping) return;
    seat.startedMs = this.options.clock.nowMs();
    seat.thread = this.startThread(seat.thread.index, buffers);
  }

  private startThread(index: number, ledger: LedgerBuffers): WorkerThread {
    const { random, writeAccess, startThread, logLevel = 'debug' } = this.options;
    const seed = Math.floor(random() * 0x1_0000_0000);
    const { memoryMaxBytes } = this;
    const accessLog = writeAccess !== null;
    const init = { index, ledger, seed, accessLog, logLevel, memoryMaxBytes };
    return new WorkerThread(startThread, init, this);
  }

  private schedulePing(): void {
    this.pinging = this.options.clock.setTimer(PING_MS, () => {
      for (const { thread } of this.seats) this.pingOne(thread);
      if (!this.isStopping) this.schedulePing();
    });
  }

  /** Counts ticks and not time, so that a process that was stopped as a whole kills no worker. */
  private pingOne(thread: WorkerThread): void {
    thread.ping();
    if (thread.missedPings !== MISSED_FATAL) return;
    this.options.log.error({ worker: thread.index }, 'worker is unresponsive: terminating it');
    thread.terminate();
  }

  /** What `done` resolves with, or null when that takes longer. */
  private within<T>(ms: number, done: Promise<T>): Promise<T | null> {
    return new Promise((resolve, reject) => {
      const timer = this.options.clock.setTimer(ms, () => resolve(null));
      done.then(resolve, reject).finally(() => timer.cancel());
    });
  }
}
