// Sends changes to the workers: what changed within one turn of the event loop becomes one delta.
// A single change goes at once; under a storm, changes gather while earlier deltas are on their
// way, and a service that changed ten times is sent once.
import type { ListenerSnapshot, ServiceSnapshot, SnapshotDelta } from '../model/snapshot.ts';
import type { ListenError } from '../worker/messages.ts';
import type { Convergence } from './view.ts';

/** Deltas on their way; more wait and are merged. */
const IN_FLIGHT_MAX = 2;
const BOUNDS_SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5];

export interface PublisherOptions {
  readonly nowMs: () => number;
  readonly send: (delta: SnapshotDelta) => Promise<readonly ListenError[]>;
  /** This version is live in every worker. */
  readonly onApplied: (version: number, listenErrors: readonly ListenError[]) => void;
}

export class Publisher {
  private readonly options: PublisherOptions;
  private readonly live = new Map<string, ServiceSnapshot>();
  private listeners: readonly ListenerSnapshot[] = [];
  private changed = new Set<string>();
  private haveListenersChanged = false;
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

  /** The version that the changes made now will be part of, at the latest. */
  get nextVersion(): number {
    return this.currentVersion + 1;
  }

  get version(): number {
    return this.currentVersion;
  }

  get convergence(): Convergence {
    return { bounds: BOUNDS_SECONDS, counts: this.counts, sumSeconds: this.sumSeconds };
  }

  /** The service is new or changed. */
  set(snapshot: ServiceSnapshot): void {
    this.live.set(snapshot.service.name, snapshot);
    this.change(snapshot.service.name);
  }

  remove(name: string): void {
    if (this.live.delete(name)) this.change(name);
  }

  setListeners(listeners: readonly ListenerSnapshot[]): void {
    if (JSON.stringify(listeners) === JSON.stringify(this.listeners)) return;
    this.listeners = listeners;
    this.haveListenersChanged = true;
    this.schedule();
  }

  /** An answer of a registry, received at `nowMs`, led to a change that is not live yet. */
  receivedAt(nowMs: number): void {
    this.received.push(nowMs);
  }

  /** Everything, for a worker that starts. */
  full(): SnapshotDelta {
    const upsert = [...this.live.values()];
    return { version: this.currentVersion, upsert, remove: [], listeners: this.listeners };
  }

  private change(name: string): void {
    this.changed.add(name);
    this.schedule();
  }

  private schedule(): void {
    if (this.isScheduled) return;
    this.isScheduled = true;
    queueMicrotask(() => {
      this.isScheduled = false;
      this.flush();
    });
  }

  private flush(): void {
    const hasChanges = this.changed.size > 0 || this.haveListenersChanged;
    if (this.inFlight >= IN_FLIGHT_MAX || !hasChanges) return;
    this.currentVersion += 1;
    const delta = this.makeDelta();
    const { received } = this;
    this.received = [];
    this.inFlight += 1;
    void this.options.send(delta).then((listenErrors) => {
      this.inFlight -= 1;
      for (const receivedMs of received) this.count((this.options.nowMs() - receivedMs) / 1000);
      this.options.onApplied(delta.version, listenErrors);
      this.flush();
    });
  }

  private makeDelta(): SnapshotDelta {
    const upsert: ServiceSnapshot[] = [];
    const remove: string[] = [];
    for (const name of this.changed) {
      const snapshot = this.live.get(name);
      if (snapshot === undefined) remove.push(name);
      else upsert.push(snapshot);
    }
    const listeners = this.haveListenersChanged ? this.listeners : null;
    this.changed = new Set();
    this.haveListenersChanged = false;
    return { version: this.currentVersion, upsert, remove, listeners };
  }

  private count(seconds: number): void {
    const at = BOUNDS_SECONDS.findIndex((bound) => seconds <= bound);
    this.counts[at < 0 ? BOUNDS_SECONDS.length : at]! += 1;
    this.sumSeconds += seconds;
  }
}
