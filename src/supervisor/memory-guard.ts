// Watches how much memory the process has taken of what it may have: a balancer that is killed for
// its memory loses everything, one that refuses some requests loses those. Between the two bounds it
// stays as it is, so that it does not come and go with every buffer.
import { totalmem } from 'node:os';
import type { Clock, Timer } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';

/** Memory is short from this share of what there may be ... */
const SHORT_SHARE = 0.9;
/** ... until it is below this one. */
const ENOUGH_SHARE = 0.8;
const LOOK_MS = 500;

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
  private readonly resident: () => number;
  private timer: Timer | null = null;
  private isShort = false;

  constructor(options: MemoryGuardOptions) {
    this.options = options;
    this.resident = options.resident;
  }

  start(): void {
    this.timer = this.options.clock.setTimer(LOOK_MS, () => {
      this.look();
      this.start();
    });
  }

  stop(): void {
    this.timer?.cancel();
  }

  get status(): MemoryStatus {
    return { isShort: this.isShort, resident: this.resident(), max: this.max };
  }

  private get max(): number {
    return this.options.max() || systemMax();
  }

  private look(): void {
    const { max } = this;
    const resident = this.resident();
    const isShort = resident > max * (this.isShort ? ENOUGH_SHARE : SHORT_SHARE);
    if (isShort === this.isShort) return;
    this.isShort = isShort;
    const { log, onChange } = this.options;
    if (isShort) log.error({ resident, max }, 'memory is short: idle connections go, load is shed');
    else log.info({ resident, max }, 'memory is enough again');
    onChange(isShort);
  }
}

/** What the container, or else the machine, has; a container without a limit tells a huge number. */
function systemMax(): number {
  const constrained = process.constrainedMemory();
  return constrained > 0 ? Math.min(constrained, totalmem()) : totalmem();
}
