// Lines on their way into a file, a pipe or a terminal: written in order, by the thread pool, so that
// a slow disk blocks no caller. What can't be written is kept up to a limit and tried again with
// the next line; beyond it lines are lost, and counted. A full disk stops no request and no shutdown.
import { write, writeSync } from 'node:fs';
import { codeOf, messageOf } from '../base/coded-error.ts';

/** Kept while they can't be written, characters. */
const PENDING_MAX = 1024 * 1024;
/** Lines written at the end wait so long for a reader that is behind, ms. */
const FLUSH_MS_MAX = 200;
const BUSY_MS = 5;

export interface LineFileOptions {
  readonly fd: number;
  /** Writing has begun to fail; once until it works again. */
  readonly onError: (why: string) => void;
  /** It works again, or has caught up, and so many lines were lost meanwhile. */
  readonly onRecovered: (lost: number) => void;
}

export class LineFile {
  private readonly options: LineFileOptions;
  private pending = '';
  private isWriting = false;
  /** Taken from `pending`, and waiting until a full pipe is read from. */
  private stuck: { readonly bytes: Buffer; readonly timer: NodeJS.Timeout } | null = null;
  private hasFailed = false;
  private lost = 0;

  constructor(options: LineFileOptions) {
    this.options = options;
  }

  /** Takes whole lines, each with its newline. */
  write(lines: string): void {
    if (this.pending.length + lines.length > PENDING_MAX) this.lost += countOf(lines);
    else this.pending += lines;
    if (!this.isWriting) this.next();
  }

  /** Writes what is pending now, as far as that is possible; for the end of the process. */
  flush(): void {
    const until = performance.now() + FLUSH_MS_MAX;
    clearTimeout(this.stuck?.timer);
    let bytes = Buffer.concat([this.stuck?.bytes ?? Buffer.alloc(0), Buffer.from(this.pending)]);
    this.stuck = null;
    this.pending = '';
    while (bytes.length > 0) {
      try {
        bytes = bytes.subarray(writeSync(this.options.fd, bytes));
      } catch (error) {
        // A pipe that is full may be read from in a moment; anything else stays as it is.
        if (codeOf(error) !== 'EAGAIN' || performance.now() > until) return;
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, BUSY_MS);
      }
    }
  }

  private next(): void {
    if (this.pending === '') return;
    const lines = this.pending;
    this.pending = '';
    this.isWriting = true;
    // As a string, for it is encoded outside the heap: megabytes of buffers a second would be garbage.
    write(this.options.fd, lines, null, 'utf8', (error, count) => {
      if (error === null && count === Buffer.byteLength(lines)) this.written();
      else this.onPut(error, count, Buffer.from(lines));
    });
  }

  private put(bytes: Buffer): void {
    write(this.options.fd, bytes, (error, count) => this.onPut(error, count, bytes));
  }

  private onPut(error: NodeJS.ErrnoException | null, count: number, bytes: Buffer): void {
    if (error !== null && error.code !== 'EAGAIN') this.failed(bytes, messageOf(error));
    else if (error !== null) this.putLater(bytes);
    else if (count < bytes.length) this.put(bytes.subarray(count));
    else this.written();
  }

  private putLater(bytes: Buffer): void {
    const timer = setTimeout(() => {
      this.stuck = null;
      this.put(bytes);
    }, BUSY_MS);
    this.stuck = { bytes, timer };
  }

  private written(): void {
    this.isWriting = false;
    // Lines are lost as well where writing is only too slow.
    if (this.hasFailed || this.lost > 0) {
      const { lost } = this;
      this.hasFailed = false;
      this.lost = 0;
      this.options.onRecovered(lost);
    }
    this.next();
  }

  /** Keeps what was not written for the next try, which comes with the next line. */
  private failed(bytes: Buffer, why: string): void {
    this.isWriting = false;
    const lines = bytes.toString();
    if (lines.length + this.pending.length <= PENDING_MAX) this.pending = lines + this.pending;
    else this.lost += countOf(lines);
    if (!this.hasFailed) this.options.onError(why);
    this.hasFailed = true;
  }
}

function countOf(lines: string): number {
  return lines.split('\n').length - 1;
}
