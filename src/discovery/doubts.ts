// When what a registry leaves out may be there all the same. For registries whose lists are what a quorum
// agreed on, so that an answer alone is never in doubt; but what is registered with a time to live,
// or with a session, goes without anybody having taken it out:
//  - while the registry was away no registrar could renew it, and for a while after it is back it has
//    yet to be registered again;
//  - when everything is gone at once, the registrar is gone, and not the services.
// A cluster that is another one, or an older state of the same (restored, or restarted empty), has
// yet to be filled again as well.
import type { Clock, Timer } from '../base/clock.ts';
import type { ServiceSource } from '../model/source.ts';
import type { Known } from './provider.ts';

/** Registrars write again so often: docker-register each 10 s, with a time to live of 15. */
const WINDOW_MS = 30_000;
/** Shorter outages let nothing expire that would have been renewed. */
const OUTAGE_MS_MIN = 3000;

export interface DoubtsOptions {
  readonly clock: Clock;
  /** What is registered: `key`, `znode`. */
  readonly what: string;
  /** A doubt that nothing followed has ended. */
  readonly onEnd: () => void;
  /** What is served of a source before its provider has said anything of it. */
  readonly known?: ((source: ServiceSource) => Known) | undefined;
}

export class Doubts {
  private readonly options: DoubtsOptions;
  /** Until then what goes by itself is in doubt, clock.nowMs(). */
  private untilMs = 0;
  /** When the doubt began that came last, clock.nowMs(). */
  sinceMs = 0;
  private why = '';
  private isBare = false;
  private end: Timer | null = null;
  private inherited: readonly ServiceSource[] = [];

  constructor(options: DoubtsOptions) {
    this.options = options;
  }

  /** The doubt at this moment; '' for none. */
  get now(): string {
    const { clock, what } = this.options;
    if (this.isBare) return `every ${what} is gone: the registrar may be`;
    return clock.nowMs() < this.untilMs ? this.why : '';
  }

  /** Something came before this that makes doubtful what is missing for a while. */
  open(why: string): void {
    this.why = why;
    this.sinceMs = this.options.clock.nowMs();
    this.untilMs = this.sinceMs + WINDOW_MS;
    this.awaitEnd();
  }

  /** These were another provider's: what is held of them, the registry may be yet to name again. */
  inherit(sources: readonly ServiceSource[]): void {
    this.inherited = sources;
    this.openIfHeld(sources);
  }

  /** The first whole answer is here; `configured` is what configuration names. */
  listedFirst(configured: readonly ServiceSource[]): void {
    this.openIfHeld([...configured, ...this.inherited]);
  }

  /** The registry answers again after `outageMs`; true where that opens a doubt. */
  recovered(outageMs: number, why: string): boolean {
    if (outageMs < OUTAGE_MS_MIN) return false;
    this.open(`first answers after an outage: ${why}`);
    return true;
  }

  /** The last one went; `isMeant` where somebody took it out. */
  emptied(isMeant: boolean): void {
    if (isMeant) return;
    this.isBare = true;
    this.sinceMs = this.options.clock.nowMs();
  }

  /** There is one. */
  filled(): void {
    if (!this.isBare) return;
    this.isBare = false;
    this.open(`${this.options.what}s are written again after all were gone`);
  }

  close(): void {
    this.end?.cancel();
  }

  private openIfHeld(sources: readonly ServiceSource[]): void {
    const { known } = this.options;
    const isHeld = sources.some((source) => known?.(source).isHeld === true);
    if (isHeld) this.open('first answer while endpoints are held');
  }

  private awaitEnd(): void {
    const { clock, onEnd } = this.options;
    if (this.end !== null) return;
    this.end = clock.setTimer(this.untilMs - clock.nowMs() + 1, () => {
      this.end = null;
      // What opens another after everything was gone waits for its own end.
      if (this.isBare) return;
      if (this.now !== '') return this.awaitEnd();
      onEnd();
    });
  }
}
