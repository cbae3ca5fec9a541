// What is to be looked at, by key: a few at a time, each key by one looker. A key that is marked while
// it is being looked at is looked at once more, and what was seen before that is out of date.
import { CodedError } from '../base/coded-error.ts';

const EXCESS = 'more containers are to be looked at than there may be';

export interface LookQueueOptions<Why> {
  /** At a time. */
  readonly width: number;
  /** How many may wait; without it any number. */
  readonly waitingMax?: number;
  readonly look: (key: string, why: Why) => Promise<void>;
  /** A look failed, or too many wait; nothing more is looked at. */
  readonly onError: (error: unknown) => void;
}

export class LookQueue<Why> {
  private readonly options: LookQueueOptions<Why>;
  private readonly marked = new Map<string, Why>();
  private readonly looking = new Set<string>();
  private waiting: (() => void)[] = [];
  private isClosed = false;

  constructor(options: LookQueueOptions<Why>) {
    this.options = options;
  }

  /** To be looked at, as soon as that may be; the first reason counts. */
  mark(key: string, why: Why): void {
    if (this.isClosed) return;
    if (!this.marked.has(key)) this.marked.set(key, why);
    this.begin();
    const { waitingMax = Number.POSITIVE_INFINITY, onError } = this.options;
    if (this.marked.size > waitingMax) onError(new CodedError('too-many', EXCESS));
  }

  /** Whether it was marked since it began to be looked at, or has not been looked at yet. */
  isMarked(key: string): boolean {
    return this.marked.has(key);
  }

  isBusyWith(key: string): boolean {
    return this.marked.has(key) || this.looking.has(key);
  }

  /** Resolves when nothing is left to be looked at; never when it is closed before. */
  settled(): Promise<void> {
    if (this.isSettled) return Promise.resolve();
    return new Promise((resolve) => this.waiting.push(resolve));
  }

  /** Whoever looks now finds `isClosed`, and changes nothing. */
  close(): void {
    this.isClosed = true;
    this.marked.clear();
    this.waiting = [];
  }

  private get isSettled(): boolean {
    return this.marked.size === 0 && this.looking.size === 0;
  }

  private begin(): void {
    for (const [key, why] of this.marked) {
      if (this.looking.size >= this.options.width) return;
      if (this.looking.has(key)) continue;
      this.marked.delete(key);
      this.looking.add(key);
      void this.lookAt(key, why);
    }
  }

  private async lookAt(key: string, why: Why): Promise<void> {
    const { look, onError } = this.options;
    try {
      await look(key, why);
    } catch (error) {
      if (!this.isClosed) onError(error);
    }
    this.looking.delete(key);
    if (this.isClosed) return;
    this.begin();
    if (!this.isSettled) return;
    const { waiting } = this;
    this.waiting = [];
    for (const resolve of waiting) resolve();
  }
}
