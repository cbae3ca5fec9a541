// Which listeners of a process that starts wait for the first checks of the endpoints behind them. Until those are
// over it answers 503, where the process whose place it takes, and with which it shares the port, would have served.
// Without such a process a client is refused meanwhile, which it may repeat whatever its request was.
// Invariant: a listener that was let open once is never taken back.
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import type { ListenerSnapshot } from '../model/snapshot.ts';
import { awaitsCheck } from './reconcile.ts';
import type { ServiceRecord } from './service-record.ts';

export interface OpeningOptions {
  readonly clock: Clock;
  readonly log: Logger;
  readonly serviceOf: (name: string) => ServiceRecord | null;
  /** The endpoint of this id was down before a restart: what its check comes to is not waited for. */
  readonly wasDown: (service: ServiceRecord, id: string) => boolean;
}

export class Opening {
  private readonly options: OpeningOptions;
  /** Null: none waits. */
  private rule: 'upgrade' | 'alone' | null = null;
  private untilMs = 0;
  /** Keys of those that were let open. */
  private open: ReadonlySet<string> = new Set();
  private waiting: readonly ListenerSnapshot[] = [];

  constructor(options: OpeningOptions) {
    this.options = options;
  }

  /**
   * Listeners wait from now on, for `forMs` at the most. Beside another process that serves there (`isUpgrade`), one
   * waits for all services behind it; alone, it opens when one of them can serve.
   */
  begin(isUpgrade: boolean, forMs: number): void {
    this.rule = isUpgrade ? 'upgrade' : 'alone';
    this.untilMs = this.options.clock.nowMs() + forMs;
  }

  /** How many of those that were planned last wait. */
  get count(): number {
    return this.waiting.length;
  }

  /** True where one that waits need not any longer. None does from now on where `all` is set, or the time is up. */
  look(all: boolean): boolean {
    const { clock, log } = this.options;
    const { waiting } = this;
    const isLate = clock.nowMs() >= this.untilMs;
    if (!all && !isLate) return waiting.some((one) => this.mayOpen(one));
    if (isLate && waiting.length > 0) {
      const listeners = waiting.map(({ key }) => key);
      log.warn({ listeners }, 'first checks take too long: opening listeners without them');
    }
    this.rule = null;
    this.waiting = [];
    return waiting.length > 0;
  }

  /** Of the planned listeners, those to open or keep open now. */
  admit(planned: readonly ListenerSnapshot[]): readonly ListenerSnapshot[] {
    if (this.rule === null) return planned;
    const admitted = planned.filter((one) => this.open.has(one.key) || this.mayOpen(one));
    this.open = new Set(admitted.map(({ key }) => key));
    this.waiting = planned.filter(({ key }) => !this.open.has(key));
    return admitted;
  }

  private mayOpen(listener: ListenerSnapshot): boolean {
    const names = servicesBehind(listener);
    const records = names.map((name) => this.options.serviceOf(name));
    if (!records.some((record) => record !== null && this.awaitsChecks(record))) return true;
    return this.rule === 'alone' && records.some((record) => record !== null && canServe(record));
  }

  /** Nothing takes the requests of the service, and a first check may change that. */
  private awaitsChecks(record: ServiceRecord): boolean {
    if (canServe(record)) return false;
    for (const [id, { effective }] of record.endpoints) {
      if (awaitsCheck(effective) && !this.options.wasDown(record, id)) return true;
    }
    return false;
  }
}

/** Names of the services whose endpoints the listener needs; what it redirects needs none. */
function servicesBehind({ policy, service, routes, sniRoutes = [] }: ListenerSnapshot): string[] {
  if (policy.redirectHttps > 0) return [];
  if (service !== '') return [service];
  const asking = routes.filter(({ redirect }) => redirect === null);
  return [...new Set([...asking, ...sniRoutes].map((route) => route.service))];
}

function canServe({ strength }: ServiceRecord): boolean {
  return strength.working > 0;
}
