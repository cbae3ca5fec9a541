// Which priority of a service's sources gets the traffic: the lowest number that has an endpoint in
// working order. Going back waits, so that a source that flaps does not take the traffic along each
// time; only one that failed before is waited for. Pure but for what it remembers.
import type { FailoverPolicy } from '../model/service.ts';

/** What the endpoints of one priority come to. */
export interface Strength {
  /** Endpoints that take work. */
  readonly working: number;
  /** Those that would, but for our check or an ejection. */
  readonly spare: number;
}

export interface Review {
  /** The priority that gets the traffic. */
  readonly active: number;
  /** When to look again though nothing happens, ms from now; Infinity: no need. */
  readonly inMs: number;
}

const NONE: Strength = { working: 0, spare: 0 };

export class Failover {
  private active: number | null = null;
  /** An endpoint of the active priority has worked since it is active. */
  private hasWorked = false;
  /** Since when no endpoint of the active priority works; null while one does. */
  private downSinceMs: number | null = null;
  /** Priorities that failed while they had the traffic, and since when they work again. */
  private readonly failed = new Map<number, number | null>();

  /** `tiers`: by priority, of all sources of the service. */
  review(tiers: ReadonlyMap<number, Strength>, policy: FailoverPolicy, nowMs: number): Review {
    const order = [...tiers.keys()].sort((a, b) => a - b);
    this.note(tiers, nowMs);
    const active = this.active !== null && tiers.has(this.active) ? this.active : null;
    const choice = this.choose({ tiers, order, policy, active, nowMs });
    if (choice.active !== active) this.enter(choice.active, active, tiers);
    this.hasWorked ||= (tiers.get(choice.active)?.working ?? 0) > 0;
    return choice;
  }

  /** Since when what failed works again. */
  private note(tiers: ReadonlyMap<number, Strength>, nowMs: number): void {
    for (const [priority, sinceMs] of this.failed) {
      const tier = tiers.get(priority);
      if (tier === undefined) this.failed.delete(priority);
      else if (tier.working === 0) this.failed.set(priority, null);
      else if (sinceMs === null) this.failed.set(priority, nowMs);
    }
  }

  private choose(facts: {
    readonly tiers: ReadonlyMap<number, Strength>;
    readonly order: readonly number[];
    readonly policy: FailoverPolicy;
    readonly active: number | null;
    readonly nowMs: number;
  }): Review {
    const { tiers, order, policy, active, nowMs } = facts;
    const of = (priority: number) => tiers.get(priority) ?? NONE;
    const best = order.find((priority) => of(priority).working > 0);
    const at = (priority: number, inMs = Number.POSITIVE_INFINITY) => ({ active: priority, inMs });
    if (active === null || of(active).working === 0) {
      const stay = active ?? order.find((priority) => of(priority).spare > 0) ?? order[0] ?? 1;
      this.downSinceMs ??= nowMs;
      if (best === undefined) return at(stay);
      // What was never in use has nothing to wait for, nor what is better than what failed.
      if (active === null || best < active) return at(best);
      const leftMs = this.downSinceMs + policy.afterMs - nowMs;
      return leftMs <= 0 ? at(best) : at(active, leftMs);
    }
    this.downSinceMs = null;
    let inMs = Number.POSITIVE_INFINITY;
    for (const priority of order) {
      if (priority >= active) break;
      if (of(priority).working === 0) continue;
      const sinceMs = this.failed.get(priority);
      const leftMs = sinceMs == null ? 0 : sinceMs + policy.returnAfterMs - nowMs;
      // One that is better still may be waited for.
      if (leftMs <= 0) return at(priority, inMs);
      inMs = Math.min(inMs, leftMs);
    }
    return at(active, inMs);
  }

  private enter(next: number, before: number | null, tiers: ReadonlyMap<number, Strength>): void {
    this.active = next;
    this.downSinceMs = null;
    this.failed.delete(next);
    const hasFailed = this.hasWorked && (tiers.get(before ?? next)?.working ?? 0) === 0;
    if (before !== null && hasFailed) this.failed.set(before, null);
    this.hasWorked = false;
  }
}
