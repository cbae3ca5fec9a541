// Sends changes to the workers: what changed within one turn of the event loop becomes one delta.
// A single change goes at once; under a storm, changes gather while earlier deltas are on their
// way, and a service that changed ten times is sent once, as it is when it is sent.
// Invariant: what was marked as changed is in a delta sent later, even after a send that failed.
import { isDeepStrictEqual } from 'node:util';
import type { ListenError } from '../model/listener.ts';
import type { ListenerSnapshot, ServiceSnapshot, SnapshotDelta } from '../model/snapshot.ts';
import type { Convergence } from './view.ts';

/** Deltas on their way; more wait and are merged. */
const IN_FLIGHT_MAX = 2;
const BOUNDS_SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5];

export interface PublisherOptions {
  readonly nowMs: () => number;
  /** The service as it is now; null when it is gone. */
  readonly snapshotOf: (name: string) => ServiceSnapshot | null;
  /** The listeners as they should be now; asked for after `changeListeners`. */
  readonly planListeners: () => readonly ListenerSnapshot[];
  readonly send: (delta: SnapshotDelta) => Promise<readonly ListenError[]>;
  /** This version is live in every worker. */
  readonly onApplied: (version: number, listenErrors: readonly ListenError[]) => void;
  /** A delta could not be sent; it goes again with the next change. */
  readonly onError: (error: unknown) => void;
}

export class Publisher {
  private readonly options: PublisherOptions;
  /** Services that the workers know, or are about to. */
  private readonly live = new Set<string>();
  private listeners: readonly ListenerSnapshot[] = [];
  private changed = new Set<string>();
  private haveListenersChanged = false;
  /** Set while it is not known what the workers have. */
  private mustSendListeners = false;
  /** Clock.nowMs() of the registry answers that wait to be live. */
  private received: number[] = [];
  private inFlight = 0;
  private isScheduled = false;
  private currentVersion = 0;
  private readonly counts = new Array<number>(BOUNDS_SECONDS.length + 1).fill(0);
  private sumSeconds = 0;

  constructor(options: PublisherOptions) {
    this.options = options;
  }

  /** The version that the changes made now will be part of, at the earliest. */
  get nextVersion(): number {
    return this.currentVersion + 1;
  }

  /** The version of the delta that was sent last; 0 before the first. */
  get version(): number {
    return this.currentVersion;
  }

  /** From the event of a registry to the version live in all workers, in seconds, by bucket. */
  get convergence(): Convergence {
    return { bounds: BOUNDS_SECONDS, counts: this.counts, sumSeconds: this.sumSeconds };
  }

  /** The service is new, changed or gone. */
  change(name: string): void {
    this.changed.add(name);
    this.schedule();
  }

  /** Some listener may be new, changed or gone. */
  changeListeners(): void {
    this.haveListenersChanged = true;
    this.schedule();
  }

  /** An answer of a registry, received at `nowMs`, made a change that is not live yet. */
  receivedAt(nowMs: number): void {
    this.received.push(nowMs);
  }

  /** Everything, for a worker that starts. */
  full(): SnapshotDelta {
    const upsert = [...this.live].flatMap((name) => this.options.snapshotOf(name) ?? []);
    return { version: this.currentVersion, upsert, remove: [], listeners: this.listeners };
  }

  private schedule(): void {
    if (this.isScheduled) return;
    this.isScheduled = true;
    void Promise.resolve().then(() => {
      this.isScheduled = false;
      this.flush();
    });
  }

  private flush(): void {
    const hasChanges = this.changed.size > 0 || this.haveListenersChanged;
    if (this.inFlight >= IN_FLIGHT_MAX || !hasChanges) return;
    const delta = this.makeDelta();
    const { received } = this;
    this.received = [];
    if (delta === null) return;
    this.currentVersion = delta.version;
    this.inFlight += 1;
    const { send, onApplied, onError, nowMs } = this.options;
    send(delta).then(
      (listenErrors) => {
        this.inFlight -= 1;
        for (const receivedMs of received) this.count((nowMs() - receivedMs) / 1000);
        onApplied(delta.version, listenErrors);
        this.flush();
      },
      (error: unknown) => {
        this.inFlight -= 1;
        this.takeBack(delta, received);
        onError(error);
      },
    );
  }

  /** The next delta, or null where all that changed is as it was. */
  private makeDelta(): SnapshotDelta | null {
    // First: what is listened on says to which endpoints nothing may be sent.
    const listeners = this.haveListenersChanged ? this.nextListeners() : null;
    this.haveListenersChanged = false;
    const upsert: ServiceSnapshot[] = [];
    const remove: string[] = [];
    for (const name of this.changed) {
      const snapshot = this.options.snapshotOf(name);
      if (snapshot !== null) {
        upsert.push(snapshot);
        this.live.add(name);
      } else if (this.live.delete(name)) {
        remove.push(name);
      }
    }
    this.changed = new Set();
    if (upsert.length === 0 && remove.length === 0 && listeners === null) return null;
    return { version: this.currentVersion + 1, upsert, remove, listeners };
  }

  /** All listeners, or null where they are what was sent last. */
  private nextListeners(): readonly ListenerSnapshot[] | null {
    const next = this.options.planListeners();
    if (!this.mustSendListeners && isDeepStrictEqual(next, this.listeners)) return null;
    this.mustSendListeners = false;
    this.listeners = next;
    return next;
  }

  private takeBack(delta: SnapshotDelta, received: readonly number[]): void {
    for (const { service } of delta.upsert) this.changed.add(service.name);
    for (const name of delta.remove) {
      this.live.add(name);
      this.changed.add(name);
    }
    if (delta.listeners !== null) {
      this.haveListenersChanged = true;
      this.mustSendListeners = true;
    }
    this.received.push(...received);
  }

  private count(seconds: number): void {
    const at = BOUNDS_SECONDS.findIndex((bound) => seconds <= bound);
    this.counts[at < 0 ? BOUNDS_SECONDS.length : at]! += 1;
    this.sumSeconds += seconds;
  }
}
