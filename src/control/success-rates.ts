// Looks at the ledger at the end of each window of a service that compares its endpoints, and says
// which of them did markedly worse than the others. Who is ejected for it is not decided here.
import type { Clock, Timer } from '../base/clock.ts';
import { type Answers, type Outlier, outliers } from '../health/success-rate.ts';
import { EndpointColumn, type EndpointCounter } from '../ledger/layout.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { ServiceRecord } from './service-record.ts';

/** How often it is looked whether a window is over, ms. */
const TICK_MS = 1000;
const GOOD: readonly EndpointCounter[] = ['responses2xx', 'responses3xx', 'responses4xx'];
const BAD: readonly EndpointCounter[] = ['responses5xx', 'connectFailures', 'resets', 'timeouts'];

export interface SuccessRatesOptions {
  readonly clock: Clock;
  readonly ledger: Ledger;
  readonly services: () => Iterable<ServiceRecord>;
  readonly onOutlier: (outlier: Outlier) => void;
}

interface Window {
  readonly fromMs: number;
  /** The totals at its start, by slot. */
  readonly totals: ReadonlyMap<number, Answers>;
}

export class SuccessRates {
  private readonly options: SuccessRatesOptions;
  private readonly windows = new Map<ServiceRecord, Window>();
  private timer: Timer | null = null;

  constructor(options: SuccessRatesOptions) {
    this.options = options;
  }

  /** A service is there, or has another policy. */
  review(service: ServiceRecord): void {
    if (service.service.passive.successRate !== null) this.timer ??= this.schedule();
  }

  close(): void {
    this.timer?.cancel();
  }

  private schedule(): Timer {
    return this.options.clock.setTimer(TICK_MS, () => {
      this.tick();
      this.timer = this.windows.size > 0 ? this.schedule() : null;
    });
  }

  private tick(): void {
    const compared = new Set<ServiceRecord>();
    for (const service of this.options.services()) {
      if (service.service.passive.successRate === null) continue;
      compared.add(service);
      this.look(service);
    }
    for (const service of this.windows.keys()) {
      if (!compared.has(service)) this.windows.delete(service);
    }
  }

  private look(service: ServiceRecord): void {
    const policy = service.service.passive.successRate!;
    const nowMs = this.options.clock.nowMs();
    const window = this.windows.get(service);
    if (window !== undefined && nowMs - window.fromMs < policy.windowMs) return;
    const totals = new Map<number, Answers>();
    for (const { slot } of service.endpoints.values()) totals.set(slot, this.totalOf(slot));
    this.windows.set(service, { fromMs: nowMs, totals });
    if (window === undefined) return;
    const since = [...totals.values()].flatMap((total) => {
      // What came within the window has no whole one to be judged by.
      const before = window.totals.get(total.slot);
      if (before === undefined) return [];
      const { slot, good, bad } = total;
      return [{ slot, good: good - before.good, bad: bad - before.bad }];
    });
    for (const outlier of outliers(policy, since)) this.options.onOutlier(outlier);
  }

  private totalOf(slot: number): Answers {
    const { ledger } = this.options;
    const sum = (keys: readonly EndpointCounter[]): number =>
      keys.reduce((total, key) => total + ledger.endpointTotal(slot, EndpointColumn[key]), 0);
    return { slot, good: sum(GOOD), bad: sum(BAD) };
  }
}
