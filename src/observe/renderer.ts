// Pages that cost time to make: one at a time, in turns, one for everyone who waits for it, and no more
// of them than a share of the thread. A request gets a page that was begun after it came, so what he
// has changed himself is in it.
import type { Clock } from '../base/clock.ts';
import { REST_MS, type Steps, Turns } from '../base/turns.ts';
import { type Parts, PartsWriter } from './parts.ts';

/** Of the main thread's time. */
const SHARE_MAX = 0.25;
/** Below this, packing costs more than it saves. */
const GZIP_BYTES_MIN = 16 * 1024;

export interface Body {
  readonly type: string;
  /** Steps are done in turns. */
  readonly text: string | Steps;
}

/** A body that is ready to be sent to any number of clients. */
export class Rendering {
  readonly type: string;
  readonly parts: Parts;
  private packing: Promise<Parts> | null = null;

  constructor(type: string, parts: Parts) {
    this.type = type;
    this.parts = parts;
  }

  get isLarge(): boolean {
    return this.parts.length >= GZIP_BYTES_MIN;
  }

  /** The body as gzip, made once. */
  packed(): Promise<Parts> {
    this.packing ??= this.parts.packed();
    return this.packing;
  }
}

export class Renderer {
  private readonly clock: Clock;
  /** Asked for and not begun yet. */
  private readonly next = new Map<string, Promise<Rendering>>();
  private last: Promise<unknown> = Promise.resolve();
  /** The next one may begin then; ms. */
  private freeMs = 0;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  /** The page of this key, made by `make`. Rejects when `make` does. */
  take(key: string, make: () => Body | Promise<Body>): Promise<Rendering> {
    const known = this.next.get(key);
    if (known !== undefined) return known;
    const made = this.last.then(async () => {
      await this.pause();
      this.next.delete(key);
      const turns = new Turns(this.clock, REST_MS);
      try {
        const { type, text } = await make();
        const writer = new PartsWriter();
        if (typeof text === 'string') writer.add(text);
        else await turns.run(text, (piece) => writer.add(piece));
        return new Rendering(type, writer.done());
      } finally {
        this.freeMs = this.clock.nowMs() + turns.spentMs * (1 / SHARE_MAX - 1);
      }
    });
    this.next.set(key, made);
    this.last = made.catch(() => {});
    return made;
  }

  private async pause(): Promise<void> {
    const waitMs = this.freeMs - this.clock.nowMs();
    if (waitMs < 1) return;
    await new Promise<void>((resolve) => this.clock.setTimer(waitMs, resolve));
  }
}
