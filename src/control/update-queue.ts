// Updates on their way from the registries to the table. A small one is applied at once; a large one,
// and what comes behind it, each in a turn of its own, so that the stats port answers in between.
// Invariant: they are applied in the order in which they came.
import type { Clock } from '../base/clock.ts';
import type { Update } from '../discovery/provider.ts';

/** Endpoints of an update that is worth a turn of its own. */
const LARGE = 512;

export interface UpdateQueueOptions {
  readonly clock: Clock;
  readonly apply: (update: Update) => void;
}

export class UpdateQueue {
  private readonly clock: Clock;
  private readonly apply: (update: Update) => void;
  private readonly waiting: Update[] = [];
  private readonly idlers: (() => void)[] = [];
  private isClosed = false;

  constructor({ clock, apply }: UpdateQueueOptions) {
    this.clock = clock;
    this.apply = apply;
  }

  /** Applies it at once where nothing waits and it is small, else in a turn of its own, in order. */
  push(update: Update): void {
    const isLarge = update.kind === 'upsert' && update.service.endpoints.length >= LARGE;
    if (this.waiting.length === 0 && !isLarge) return this.apply(update);
    this.waiting.push(update);
    if (this.waiting.length === 1) this.clock.nextTurn(() => this.applyNext());
  }

  /** Nothing waits to be applied. */
  get isEmpty(): boolean {
    return this.waiting.length === 0;
  }

  /** Resolves when everything that came so far is applied. */
  async drained(): Promise<void> {
    if (this.waiting.length === 0) return;
    await new Promise<void>((resolve) => this.idlers.push(resolve));
  }

  /** Nothing is applied after this. */
  close(): void {
    this.isClosed = true;
    this.waiting.length = 0;
    this.tellIdlers();
  }

  private applyNext(): void {
    const [update] = this.waiting;
    if (update === undefined || this.isClosed) return;
    try {
      this.apply(update);
    } finally {
      this.waiting.shift();
      if (this.waiting.length > 0) this.clock.nextTurn(() => this.applyNext());
      else this.tellIdlers();
    }
  }

  private tellIdlers(): void {
    for (const tell of this.idlers.splice(0)) tell();
  }
}
