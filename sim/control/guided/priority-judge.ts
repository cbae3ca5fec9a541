// Which priority of a service gets the traffic, judged from outside by what endpoints of each priority did
// (docs/sources.md, 'Priorities'): the lowest that works; away from it only when none of it works, for
// `failover.after`; back to one that failed only after `failover.return_after` without a break, unless
// nothing else works; and neither later than that.
import type { ServiceView } from '../../../src/control/view.ts';
import { takesWork } from '../../../src/model/endpoint.ts';

/** What is due has happened so much later: a timer is rounded up, and looks are between events. */
const LATE_MS = 300;
/** Times are compared beyond what a timer is rounded by. */
const EARLY_MS = 2;

interface Tier {
  isWorking: boolean;
  /** Since when it is so, at the latest. */
  sinceMs: number;
  /** It was seen to become so: not before either. */
  isSeen: boolean;
  /** It had the traffic, and lost it because nothing of it worked; null: that is not known. */
  hasFailed: boolean | null;
}

export class PriorityJudge {
  private readonly fault: (text: string) => void;
  private readonly tiers = new Map<number, Tier>();
  private active: number | null = null;
  /** Something of the priority in use has worked since it is in use; null: that is not known. */
  private hasWorked: boolean | null = null;
  private policy = '';

  constructor(fault: (text: string) => void) {
    this.fault = fault;
  }

  /** Another process, or other sources: nothing is known of what was before. */
  begin(): void {
    this.active = null;
    this.tiers.clear();
    this.hasWorked = null;
  }

  /** Looks at the service, after each event that concerns it and now and then. */
  look(view: ServiceView | null, nowMs: number): void {
    const { from = [], failover = null } = view?.service ?? {};
    const policy = JSON.stringify([from, failover]);
    if (view === null || policy !== this.policy) this.begin();
    this.policy = policy;
    if (view === null) return;
    this.note(view, nowMs);
    const { name } = view.service;
    const { priority: active } = view;
    const wrong = active === this.active ? this.staying(view, nowMs) : this.moving(view, nowMs);
    if (wrong !== '') this.fault(`priority ${active} of ${name} gets the traffic: ${wrong}`);
    if (active !== this.active) this.enter(active);
    if (this.tiers.get(active)?.isWorking === true) this.hasWorked = true;
  }

  private note({ service, endpoints }: ServiceView, nowMs: number): void {
    const listed = service.from.map(({ priority }) => priority);
    for (const priority of new Set(listed)) {
      const isWorking = endpoints.some((one) => one.priority === priority && takesWork(one));
      const known = this.tiers.get(priority);
      if (known?.isWorking === isWorking) continue;
      const { hasFailed = null } = known ?? {};
      const isSeen = known !== undefined;
      this.tiers.set(priority, { isWorking, sinceMs: nowMs, isSeen, hasFailed });
    }
  }

  /** What is wrong with that it has not changed; or ''. */
  private staying({ service, priority: active }: ServiceView, nowMs: number): string {
    const { afterMs, returnAfterMs } = service.failover;
    const { isWorking = false, sinceMs = nowMs } = this.tiers.get(active) ?? {};
    const works = [...this.tiers].filter(([, tier]) => tier.isWorking);
    if (!isWorking) {
      const isLate = nowMs - sinceMs > afterMs + LATE_MS;
      const other = works.find(([, tier]) => nowMs - tier.sinceMs > LATE_MS)?.[0];
      return isLate && other !== undefined ? `nothing of it works, and ${other} does` : '';
    }
    for (const [priority, tier] of works) {
      const waitMs = tier.hasFailed === false ? 0 : returnAfterMs;
      if (priority >= active || nowMs - tier.sinceMs <= waitMs + LATE_MS) continue;
      return `${priority} has worked for ${Math.round(nowMs - tier.sinceMs)} ms`;
    }
    return '';
  }

  /** What is wrong with that it has changed; or ''. */
  private moving({ service, priority: active }: ServiceView, nowMs: number): string {
    const { active: before } = this;
    const { afterMs, returnAfterMs } = service.failover;
    const tier = this.tiers.get(active);
    if (before === null) return '';
    const old = this.tiers.get(before);
    if (tier?.isWorking !== true) return `nothing of it works; before it was ${before}`;
    const better = [...this.tiers].find(([one, { isWorking }]) => isWorking && one < active);
    if (active > before) {
      if (old?.isWorking === true) return `${before} works`;
      if (better !== undefined) return `${better[0]} works, which is better`;
      const downMs = nowMs - (old?.sinceMs ?? nowMs);
      const isSeen = old?.isSeen === true;
      if (isSeen && downMs < afterMs - EARLY_MS)
        return `${before} has been down for ${downMs} ms alone`;
      return '';
    }
    const forMs = nowMs - tier.sinceMs;
    const isBound = old?.isWorking === true && tier.hasFailed === true;
    const isEarly = isBound && forMs < returnAfterMs - EARLY_MS;
    return isEarly ? `it failed, and works again for ${Math.round(forMs)} ms alone` : '';
  }

  private enter(active: number): void {
    const { active: before, hasWorked } = this;
    const old = before === null ? undefined : this.tiers.get(before);
    if (old !== undefined && !old.isWorking && hasWorked !== false) old.hasFailed = hasWorked;
    this.active = active;
    // At the first look it is not known what it did before.
    this.hasWorked = before === null ? null : false;
    const tier = this.tiers.get(active);
    if (tier !== undefined && before !== null) tier.hasFailed = false;
  }
}
