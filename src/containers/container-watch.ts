// Follows the containers of an engine. An event says which container to look at, and looking says
// what it is, so nothing depends on having seen every event. At each connection the events are asked
// for from a time before; then all containers are listed and looked at, and what was known is brought
// up to that. An engine that is away changes nothing.
import { Backoff } from '../base/backoff.ts';
import type { Clock, Timer } from '../base/clock.ts';
import { messageOf } from '../base/coded-error.ts';
import { PacedWork } from '../base/paced-work.ts';
import { pause } from '../base/pause.ts';
import type { Random } from '../base/prng.ts';
import { BOUNDS } from '../model/bounds.ts';
import type { Container, ListedContainer } from './container.ts';
import { type EngineClient, EngineError } from './engine-client.ts';
import type { EngineEvent } from './event.ts';
import { LookQueue } from './look-queue.ts';

/** Containers that are looked at at a time. */
const LOOKS_MAX = 8;
/**
 * Looks at one container by its events: a start, its health and an end are a few, and one that comes and
 * goes all the time is looked at every other second.
 */
const PACE = { burst: 8, ratePerSecond: 0.5 };
/** What an event that was missed would have said is found out after so long. */
const RELIST_MS = 60_000;
const RETRY = { baseMs: 100, capMs: 5000 };
/** A container that was told to stop and goes on, past its own time for that, is used again. */
const STOPPING_MS = 300_000;
const DRIVERS_MAX = 1000;
const [SIGINT, SIGKILL, SIGTERM] = [2, 9, 15];

export interface KnownContainer {
  readonly container: Container;
  /** The engine's own description. */
  readonly json: unknown;
  /** Why it is about to end: `signal 15`; '' where it is not. */
  readonly stopping: string;
}

export interface ContainerChange {
  /** Ids of the containers that are new, other than before, or gone. */
  readonly changed: ReadonlySet<string>;
  /** Of them those that are gone, with their exit codes; null where that is not known. */
  readonly ended: ReadonlyMap<string, number | null>;
  /** Human-readable. */
  readonly cause: string;
  /** clock.nowMs() when the first of them became known. */
  readonly receivedMs: number;
}

export interface ContainerWatchOptions {
  readonly client: EngineClient;
  readonly clock: Clock;
  readonly random: Random;
  readonly onChange: (change: ContainerChange) => void;
  /** All containers have been looked at: at the start, and each time the engine is back. */
  readonly onSynced: () => void;
  /** All containers were listed, or an event came. */
  readonly onAnswer?: () => void;
  readonly onError: (error: EngineError) => void;
}

interface Why {
  readonly cause: string;
  readonly receivedMs: number;
}

interface Known {
  container: Container;
  json: unknown;
  stopping: string;
  timer: Timer | null;
}

interface Pending extends Why {
  readonly changed: Set<string>;
  readonly ended: Map<string, number | null>;
}

/** What belongs to one connection to the engine. */
interface Session {
  readonly signal: AbortSignal;
  readonly queue: LookQueue<Why>;
  /** By which events come to be looked after. */
  readonly paced: PacedWork<Why>;
  /** Signals to containers that are being looked at for the first time. */
  readonly kills: Map<string, EngineEvent>;
  /** When containers were started that have ended, by id. */
  readonly deaths: Map<string, bigint>;
}

export class ContainerWatch {
  private readonly options: ContainerWatchOptions;
  private readonly stopped = new AbortController();
  private readonly backoff: Backoff;
  private readonly known = new Map<string, Known>();
  /** What the list said last, by id. */
  private summaries = new Map<string, string>();
  /** Drivers of networks, by id. */
  private readonly drivers = new Map<string, string>();
  private pending: Pending | null = null;
  private isFlushing = false;
  /** Everything is known as it is now; false while the engine is away. */
  isSynced = false;

  constructor(options: ContainerWatchOptions) {
    this.options = options;
    this.backoff = new Backoff({ ...RETRY, random: options.random });
  }

  start(): void {
    void this.run();
  }

  stop(): void {
    this.stopped.abort();
    for (const { timer } of this.known.values()) timer?.cancel();
  }

  /** Those that run or are paused. */
  get containers(): Iterable<KnownContainer> {
    return this.known.values();
  }

  /** Null where it does not run, or was not looked at yet. */
  get(id: string): KnownContainer | null {
    return this.known.get(id) ?? null;
  }

  /** `bridge`, `overlay`, ... of a network by its id; '' where it is not known. */
  driverOf(networkId: string): string {
    return this.drivers.get(networkId) ?? '';
  }

  private async run(): Promise<void> {
    const { onError, clock } = this.options;
    const { signal } = this.stopped;
    while (!signal.aborted) {
      const error = await this.follow();
      if (signal.aborted) return;
      this.isSynced = false;
      onError(error instanceof EngineError ? error : new EngineError('failed', messageOf(error)));
      await pause(clock, this.backoff.nextMs(), signal);
    }
  }

  /** One connection to the engine. Resolves with why it ended. */
  private async follow(): Promise<unknown> {
    const aborter = new AbortController();
    const end = (): void => aborter.abort();
    this.stopped.signal.addEventListener('abort', end, { once: true });
    const { promise: failed, resolve: fail } = Promise.withResolvers<unknown>();
    const queue = new LookQueue<Why>({
      width: LOOKS_MAX,
      waitingMax: BOUNDS.containerLooks.max,
      look: (id, why) => this.lookAt(session, id, why),
      onError: fail,
    });
    const paced = new PacedWork<Why>({
      clock: this.options.clock,
      ...PACE,
      run: (id, why) => {
        queue.mark(id, why);
        return 1;
      },
      join: (first) => first,
    });
    const { signal } = aborter;
    const session: Session = { signal, queue, paced, kills: new Map(), deaths: new Map() };
    aborter.signal.addEventListener('abort', () => fail(new EngineError('stopped', 'stopped')));
    try {
      const since = await this.options.client.begin(session.signal);
      this.readEvents(session, since).catch(fail);
      this.keepListed(session).catch(fail);
      return await failed;
    } catch (error) {
      return error;
    } finally {
      this.stopped.signal.removeEventListener('abort', end);
      paced.close();
      queue.close();
      aborter.abort();
    }
  }

  private async readEvents(session: Session, since: number): Promise<void> {
    for await (const event of this.options.client.events(since, session.signal)) {
      if (session.signal.aborted) return;
      this.onEvent(session, event);
      this.options.onAnswer?.();
    }
  }

  private async keepListed(session: Session): Promise<void> {
    const { clock, client, onSynced, onAnswer } = this.options;
    const { signal } = session;
    while (!signal.aborted) {
      this.takeList(session, await client.list(signal));
      await session.queue.settled();
      onAnswer?.();
      if (!this.isSynced) {
        this.isSynced = true;
        this.flush();
        onSynced();
      }
      this.backoff.reset();
      await pause(clock, RELIST_MS, signal);
    }
  }

  private takeList({ queue }: Session, listed: readonly ListedContainer[]): void {
    const why = { cause: 'listed', receivedMs: this.options.clock.nowMs() };
    const summaries = new Map(listed.map(({ id, summary }) => [id, summary]));
    for (const [id, summary] of summaries) {
      // After a connection broke all are looked at: ports and addresses may be others.
      const isOther = this.summaries.get(id) !== summary || !this.known.has(id);
      if (!this.isSynced || isOther) queue.mark(id, why);
    }
    for (const id of this.known.keys()) if (!summaries.has(id)) queue.mark(id, why);
    this.summaries = summaries;
  }

  private onEvent({ queue, paced, kills, deaths }: Session, event: EngineEvent): void {
    const { id, kind } = event;
    const known = this.known.get(id);
    const receivedMs = this.options.clock.nowMs();
    // Events are asked for from a time before: this one may be of an earlier life.
    if (known !== undefined && isBefore(event, known.container)) return;
    if (kind === 'kill') {
      if (known !== undefined) this.kill(known, event, receivedMs);
      else if (queue.isBusyWith(id) || paced.isWaiting(id)) kills.set(id, event);
      return;
    }
    const cause = kind === 'die' ? `die, exit code ${event.exitCode}` : event.action;
    if (kind === 'die') {
      if (known !== undefined) deaths.set(id, known.container.startedNs);
      this.remove(id, event.exitCode, { cause, receivedMs });
    }
    // Who keeps something of a container that has ended learns that it is gone for good.
    if (known === undefined && isRemoval(event)) return this.note(id, { cause, receivedMs });
    paced.ask(id, { cause, receivedMs });
  }

  private kill(known: Known, event: EngineEvent, receivedMs: number): void {
    const { clock } = this.options;
    const { id, stopSignal, stopTimeout } = known.container;
    const isStop = [stopSignal, SIGTERM, SIGKILL, SIGINT].includes(event.signal);
    if (!isStop || known.stopping !== '') return;
    known.stopping = `signal ${event.signal}`;
    known.timer = clock.setTimer(STOPPING_MS + stopTimeout * 1000, () => {
      known.stopping = '';
      this.note(id, { cause: 'runs on after a signal to stop', receivedMs: clock.nowMs() });
    });
    this.note(id, { cause: `kill, ${known.stopping}`, receivedMs });
  }

  private async lookAt(session: Session, id: string, why: Why): Promise<void> {
    const { queue, paced, kills, deaths, signal } = session;
    const { client } = this.options;
    const found = await client.inspect(id, signal);
    if (found !== null) await this.learnDrivers(found.container, signal);
    // Something has happened to it since it was asked for: what was answered may be out of date.
    if (signal.aborted || queue.isMarked(id) || paced.isWaiting(id)) return;
    if (found === null || found.container.phase === 'gone') {
      deaths.delete(id);
      kills.delete(id);
      this.remove(id, found?.container.exitCode ?? null, why);
      return;
    }
    // It has ended, and the engine's description is not there yet.
    if (deaths.get(id) === found.container.startedNs) return;
    deaths.delete(id);
    const kill = kills.get(id);
    kills.delete(id);
    this.put(found.container, found.json, why);
    if (kill !== undefined && !isBefore(kill, found.container)) {
      this.kill(this.known.get(id)!, kill, why.receivedMs);
    }
  }

  private async learnDrivers({ networks }: Container, signal: AbortSignal): Promise<void> {
    for (const { id, name } of networks) {
      if (id === '' || name === 'bridge' || name === 'host' || this.drivers.has(id)) continue;
      if (this.drivers.size >= DRIVERS_MAX) this.drivers.clear();
      this.drivers.set(id, await this.options.client.networkDriver(id, signal));
    }
  }

  private put(container: Container, json: unknown, why: Why): void {
    const { id } = container;
    const before = this.known.get(id);
    if (before === undefined) {
      this.known.set(id, { container, json, stopping: '', timer: null });
    } else {
      // It was started again: the signal was for its life before.
      if (before.container.startedNs !== container.startedNs) {
        before.timer?.cancel();
        before.stopping = '';
      }
      before.container = container;
      before.json = json;
    }
    this.note(id, why);
  }

  private remove(id: string, exitCode: number | null, why: Why): void {
    const known = this.known.get(id);
    if (known === undefined) return;
    known.timer?.cancel();
    this.known.delete(id);
    this.note(id, why);
    this.pending?.ended.set(id, exitCode);
  }

  /** Something is other than before: told at the end of this turn, or when all is known. */
  private note(id: string, why: Why): void {
    this.pending ??= { ...why, changed: new Set(), ended: new Map() };
    this.pending.changed.add(id);
    if (this.isFlushing || !this.isSynced) return;
    this.isFlushing = true;
    this.options.clock.nextTurn(() => {
      this.isFlushing = false;
      if (this.isSynced) this.flush();
    });
  }

  private flush(): void {
    const { pending } = this;
    this.pending = null;
    if (pending !== null && !this.stopped.signal.aborted) this.options.onChange(pending);
  }
}

function isRemoval({ action }: EngineEvent): boolean {
  return action === 'destroy' || action === 'remove';
}

function isBefore({ atNs }: EngineEvent, { startedNs }: Container): boolean {
  return atNs !== 0n && atNs < startedNs;
}
