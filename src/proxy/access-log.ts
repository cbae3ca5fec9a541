// Lines of the access log, gathered per worker and handed to the main thread in batches: one
// writer owns the output, and a request costs no message of its own.
import { TimerEntry, type TimerOwner, type TimerWheel } from '../base/timer-wheel.ts';

const FLUSH_MS = 200;
const FLUSH_CHARS = 32 * 1024;

/** What one exchange leaves behind. Times in ms; a phase that was not reached is -1. */
export interface AccessRecord {
  readonly client: string;
  readonly listener: string;
  readonly service: string;
  readonly endpoint: string;
  readonly method: string;
  readonly target: string;
  readonly host: string;
  /** '' where http.request_id is off, and for TCP. */
  readonly requestId: string;
  readonly status: number;
  /** Code of model/reason.ts, or ''. */
  readonly reason: string;
  readonly attempts: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  /** The complete request head to the end of the response. */
  readonly totalMs: number;
}

export class AccessLog implements TimerOwner {
  private lines = '';
  private readonly wheel: TimerWheel;
  private readonly wallMs: () => number;
  private readonly send: (lines: string) => void;
  private readonly timer = new TimerEntry(this);

  constructor(options: {
    wheel: TimerWheel;
    /** ms since the epoch. */
    wallMs: () => number;
    send: (lines: string) => void;
  }) {
    this.wheel = options.wheel;
    this.wallMs = options.wallMs;
    this.send = options.send;
  }

  add(record: AccessRecord): void {
    const { totalMs } = record;
    const time = new Date(this.wallMs()).toISOString();
    const rounded = Math.round(totalMs * 1000) / 1000;
    const line = JSON.stringify({ time, ...record, totalMs: rounded });
    if (this.lines === '') this.wheel.schedule(this.timer, FLUSH_MS);
    this.lines += `${line}\n`;
    if (this.lines.length > FLUSH_CHARS) this.flush();
  }

  flush(): void {
    if (this.lines === '') return;
    const { lines } = this;
    this.lines = '';
    this.wheel.cancel(this.timer);
    this.send(lines);
  }

  onTimer(): void {
    this.flush();
  }
}
