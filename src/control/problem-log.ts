// What is wrong with services, said in the log once, when it begins, and once when all of it is
// over. What anyone may register must not fill the log: beyond its bound nothing is said, and the
// page, the API and the metrics still tell.

import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import { TokenBucket } from '../base/token-bucket.ts';

const BURST = 200;
const PER_SECOND = 10;

export class ProblemLog {
  private readonly log: Logger;
  private readonly clock: Clock;
  private readonly bucket: TokenBucket;
  private readonly known = new Map<string, readonly string[]>();
  private suppressed = 0;

  constructor({ clock, log }: { clock: Clock; log: Logger }) {
    this.clock = clock;
    this.log = log;
    this.bucket = new TokenBucket({
      burst: BURST,
      ratePerSecond: PER_SECOND,
      nowMs: clock.nowMs(),
    });
  }

  /** What is wrong with this service now. */
  review(service: string, problems: readonly string[]): void {
    const before = this.known.get(service) ?? [];
    if (problems.length === 0) {
      if (this.known.delete(service))
        this.say('info', service, 'its settings have no problem any more');
      return;
    }
    this.known.set(service, problems);
    for (const problem of problems) {
      if (!before.includes(problem)) this.say('warn', service, problem);
    }
  }

  /** The service is gone. */
  forget(service: string): void {
    this.known.delete(service);
  }

  private say(level: 'info' | 'warn', service: string, text: string): void {
    if (this.bucket.take(this.clock.nowMs()) > 0) {
      this.suppressed += 1;
      return;
    }
    const { suppressed } = this;
    this.suppressed = 0;
    this.log[level]({ service, ...(suppressed === 0 ? {} : { suppressed }) }, text);
  }
}
