// Connections that wait for their listener's thread, which has other things to do: it accepts them one
// after the other in one event, as the product does (accept-waiting.ts).
import type { Kernel } from '../kernel/kernel.ts';

export class Backlog {
  private readonly kernel: Kernel;
  private readonly turnMs: number;
  private waiting: (() => void)[] = [];

  /** `turnMs`: how long the thread leaves them; 0: each is accepted when it comes. */
  constructor(kernel: Kernel, turnMs: number) {
    this.kernel = kernel;
    this.turnMs = turnMs;
  }

  add(accept: () => void): void {
    if (this.turnMs === 0) return accept();
    if (this.waiting.push(accept) === 1) this.kernel.after(this.turnMs, () => this.take());
  }

  /** The thread accepts them now. */
  take(): void {
    const { waiting } = this;
    this.waiting = [];
    for (const accept of waiting) accept();
  }
}
