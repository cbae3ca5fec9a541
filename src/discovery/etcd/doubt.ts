// When what etcd leaves out may be there all the same. Its lists are what the quorum agreed on, so
// an answer alone is never in doubt; but keys with a time to live go without anybody having taken
// them out:
//  - while etcd was away no registrar could renew them, and for a while after it is back they have
//    yet to be written again;
//  - when all keys are gone at once, the registrar is gone, and not the services.
// A cluster that is another one, or an older state of the same (restored, or restarted empty), has
// yet to be filled again as well. Pure but for what it remembers.

/** Registrars write their keys again so often: docker-register each 10 s, with a TTL of 15. */
export const WINDOW_MS = 30_000;
/** Shorter outages let no key expire that would have been renewed. */
const OUTAGE_MS_MIN = 3000;

const BARE = 'every key is gone: the registrar may be';

export class Doubts {
  /** Until then what goes by itself is in doubt, clock.nowMs(). */
  private untilMs = 0;
  private why = '';
  private isBare = false;

  /** The doubt at this moment; '' for none. */
  at(nowMs: number): string {
    if (this.isBare) return BARE;
    return nowMs < this.untilMs ? this.why : '';
  }

  /** When the doubt ends by itself; 0 where there is none, or it does not. */
  get endsMs(): number {
    return this.isBare ? 0 : this.untilMs;
  }

  /** Something came before this that makes doubtful what is missing for a while. */
  open(why: string, nowMs: number): void {
    this.why = why;
    this.untilMs = nowMs + WINDOW_MS;
  }

  /** etcd answers again after `outageMs`. */
  recovered(outageMs: number, why: string, nowMs: number): void {
    if (outageMs >= OUTAGE_MS_MIN) this.open(`first answers after an outage: ${why}`, nowMs);
  }

  /** The last key went; `isMeant` where somebody took it out. */
  emptied(isMeant: boolean): void {
    if (!isMeant) this.isBare = true;
  }

  /** There is a key. */
  filled(nowMs: number): void {
    if (!this.isBare) return;
    this.isBare = false;
    this.open('keys are written again after all were gone', nowMs);
  }
}
