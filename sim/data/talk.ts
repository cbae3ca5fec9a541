// One side of a conversation without messages: a TCP session or a tunnel. It sends its bytes, ends its
// direction, and compares what it gets with what the other side sends.
import type { Chance } from '../kernel/chance.ts';
import type { Kernel } from '../kernel/kernel.ts';

/** A connection, or a stream of one. */
export interface TalkEnd {
  readonly isClosed: boolean;
  /** Everything that was written has gone to the network. */
  readonly isFlushed: boolean;
  write(bytes: Buffer): void;
  end(): void;
}

export interface TalkOptions {
  readonly kernel: Kernel;
  readonly end: TalkEnd;
  readonly chance: Chance;
  readonly out: Buffer;
  /** What the other side sends, as far as it is known yet. */
  readonly expected: () => Buffer | null;
  /** Bytes that are not what they should be. */
  readonly onWrong: (text: string) => void;
  /** The other side may end before it has sent everything: it is not an orderly one. */
  readonly mayBeShort: () => boolean;
  /** How long it rests between its first bytes and the others, ms; 0: not at all. */
  readonly restMs?: number;
  /** It ends after the other side alone, however long that takes. */
  readonly rests?: boolean;
  /** This direction has ended. */
  readonly onEnded?: () => void;
  /** When the other side ended its direction, as far as that is to be held against the product; -1. */
  readonly peerEndedMs?: () => number;
  /** Both directions have ended, each in order. */
  readonly onDone: () => void;
}

/** A side that waits for the other's end gives up waiting after so long a silence. */
const WAIT_MS = 300;

export class Talk {
  /** Bytes that came. */
  got = 0;
  hasPeerEnded = false;
  hasEnded = false;
  /** Everything was handed to the network. */
  isSent = false;
  private readonly options: TalkOptions;
  private isDone = false;
  private readonly waits: boolean;
  /** When something came last. */
  lastMs: number;
  private at = 0;

  constructor(options: TalkOptions) {
    this.options = options;
    this.waits = options.chance.happens(0.4);
    this.lastMs = options.kernel.nowMs;
  }

  /** Begins to send. */
  start(): void {
    const { kernel, chance } = this.options;
    kernel.after(chance.happens(0.5) ? 0 : chance.between(0, 40), () => this.sendSome());
  }

  private sendSome(): void {
    const { kernel, end, chance, out, restMs = 0 } = this.options;
    if (end.isClosed || this.hasEnded) return;
    const left = out.length - this.at;
    const count = chance.happens(0.5) ? left : Math.min(left, chance.size(1, 20_000));
    if (count > 0) end.write(out.subarray(this.at, this.at + count));
    this.at += count;
    if (count === this.at && count > 0 && restMs > 0) {
      kernel.after(restMs, () => this.sendSome());
      return;
    }
    if (this.at < out.length) {
      kernel.after(chance.happens(0.7) ? 0 : chance.between(0, 30), () => this.sendSome());
      return;
    }
    this.isSent = true;
    if (this.options.rests && !this.hasPeerEnded) return;
    if (!this.waits || this.hasPeerEnded) this.endNow();
    else this.waitForPeer();
  }

  private waitForPeer(): void {
    const { kernel, end } = this.options;
    if (end.isClosed || this.hasEnded) return;
    const leftMs = this.lastMs + WAIT_MS - kernel.nowMs;
    if (leftMs <= 0) {
      this.checkPeerEnd();
      this.endNow();
    } else kernel.after(leftMs, () => this.waitForPeer());
  }

  /** Everything came, and then nothing for a while: an end that was sent has come as well. */
  private checkPeerEnd(): void {
    const { expected, kernel, onWrong, peerEndedMs } = this.options;
    const endedMs = peerEndedMs?.() ?? -1;
    const isWhole = this.got === expected()?.length;
    if (this.hasPeerEnded || !isWhole || endedMs < 0 || kernel.nowMs - endedMs < WAIT_MS) return;
    onWrong(`the other side's end, sent at ${endedMs.toFixed(1)} ms, has not come`);
  }

  private endNow(): void {
    if (this.hasEnded) return;
    this.hasEnded = true;
    this.options.onEnded?.();
    this.options.end.end();
    if (this.hasPeerEnded) this.finish();
  }

  /** Both have ended; what was written last may still have to be sent. */
  private finish(): void {
    const { kernel, end } = this.options;
    if (end.isClosed || this.isDone) return;
    this.isDone = end.isFlushed;
    if (this.isDone) this.options.onDone();
    else kernel.after(10, () => this.finish());
  }

  onBytes(bytes: Buffer): void {
    const expected = this.options.expected();
    const { got } = this;
    this.got += bytes.length;
    this.lastMs = this.options.kernel.nowMs;
    if (expected === null) return;
    const part = expected.subarray(got, got + bytes.length);
    if (!bytes.equals(part)) this.options.onWrong(`bytes ${got} to ${this.got} differ`);
  }

  onEnd(): void {
    this.hasPeerEnded = true;
    const expected = this.options.expected();
    if (expected !== null && this.got < expected.length && !this.options.mayBeShort()) {
      this.options.onWrong(`ended in order after ${this.got} of ${expected.length} bytes`);
    }
    if (this.isSent) this.endNow();
    if (this.hasEnded) this.finish();
  }
}
