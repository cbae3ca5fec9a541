// The oracle of how a process starts: it shares its ports with the one before it, so it may not listen for a service
// while it knows of none of its endpoints whether it works.
import { takesWork } from '../../src/model/endpoint.ts';
import type { ServiceSnapshot } from '../../src/model/snapshot.ts';
import { type SimThread, whoOf } from './sim-thread.ts';

/** A check that hangs is waited for so long at the least: there may be a state file. Less what messages take. */
const WAIT_MS = 900;

export interface OpeningJudgeOptions {
  readonly nowMs: () => number;
  readonly fault: (text: string) => void;
  /** Workers are late: what they apply was decided long before. */
  readonly areWorkersLate: () => boolean;
  /** It goes on from a state file, which says what checks had come to. */
  readonly isWarm: () => boolean;
}

export class OpeningJudge {
  private readonly options: OpeningJudgeOptions;
  /** When a worker of this process had its first table; null before. */
  private firstMs: number | null = null;
  /** By service: endpoints that waited for their first check then. */
  private unchecked = new Map<string, ReadonlySet<string>>();
  private readonly open = new Set<string>();

  constructor(options: OpeningJudgeOptions) {
    this.options = options;
  }

  /** Another process begins. */
  begin(): void {
    this.firstMs = null;
    this.unchecked.clear();
    this.open.clear();
  }

  /** The worker has another table. */
  onApplied({ services, listeners }: SimThread): void {
    const { nowMs, areWorkersLate, isWarm } = this.options;
    if (this.firstMs === null) {
      this.firstMs = nowMs();
      const isJudged = !areWorkersLate() && !isWarm();
      const all = isJudged ? [...services.values()] : [];
      this.unchecked = new Map(all.map((one) => [one.service.name, new Set(waitingOf(one))]));
    }
    const isLate = nowMs() - this.firstMs >= WAIT_MS || areWorkersLate();
    for (const { key, service } of listeners) {
      if (this.open.has(key)) continue;
      this.open.add(key);
      const snapshot = services.get(service);
      if (!isLate && snapshot !== undefined) this.judge(key, snapshot);
    }
  }

  private judge(key: string, snapshot: ServiceSnapshot): void {
    const { name } = snapshot.service;
    const waiting = waitingOf(snapshot).filter((who) => this.unchecked.get(name)?.has(who));
    const works = snapshot.endpoints.some((one) => one !== undefined && takesWork(one));
    if (waiting.length === 0 || works) return;
    this.options.fault(`${key} opens before the first check of ${waiting[0]}`);
  }
}

function waitingOf({ service, endpoints }: ServiceSnapshot): string[] {
  const waiting = endpoints.filter((one) => one?.reason === 'waits for its first check');
  return waiting.map((one) => whoOf(service.name, one));
}
