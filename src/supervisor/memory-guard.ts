// Watches how much memory the process has taken of what it may have: a balancer that is killed for
// its memory loses everything, one that refuses some requests loses those. This one logs it, shows it
// and lets the main thread shed what it holds; workers look for themselves (worker/entry.ts).
import type { Clock, Timer } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import { MEMORY_LOOK_MS, MemoryLevel, memoryMax } from '../base/memory-level.ts';

export interface MemoryGuardOptions {
  readonly clock: Clock;
  readonly log: Logger;
  /** Bytes that the process may take (`memory.max`); 0: what container and machine allow. */
  readonly max: () => number;
  /** Bytes that it has taken. */
  readonly resident: () => number;
  readonly onChange: (isShort: boolean) => void;
}

export interface MemoryStatus {
  readonly isShort: boolean;
  /** Bytes. */
  readonly resident: number;
  readonly max: number;
}

export class MemoryGuard {
  private readonly options: MemoryGuardOptions;
  private readonly level: MemoryLevel;
  private timer: Timer | null = null;

  constructor(options: MemoryGuardOptions) {
    this.options = options;
    this.level = new MemoryLevel(options.resident);
  }

  start(): void {
    this.timer = this.options.clock.setTimer(MEMORY_LOOK_MS, () => {
      this.look();
      this.start();
    });
  }

  stop(): void {
    this.timer?.cancel();
  }

  get status(): MemoryStatus {
    const { isShort, resident } = this.level;
    return { isShort, resident: resident(), max: this.max };
  }

  private get max(): number {
    return memoryMax(this.options.max());
  }

  private look(): void {
    const { level, max } = this;
    if (!level.look(max)) return;
    const { isShort } = level;
    const resident = level.resident();
    const { log, onChange } = this.options;
    if (isShort)
      log.error({ resident, max }, 'memory is short: closing idle connections, shedding load');
    else log.info({ resident, max }, 'memory is enough again');
    onChange(isShort);
  }
}
