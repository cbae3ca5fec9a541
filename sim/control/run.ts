// What runs of the control plane have in common, over whichever registries: their steps, their bounds, and
// how a process stops.
import type { Kernel } from '../kernel/kernel.ts';
import type { SimProcess } from './sim-process.ts';

/** A stop may take so long, and what is left over to end by itself. */
const STOP_MS = 200_000;
/** The bound of the last write may be waited for a moment longer: it holds nothing. */
const LAST_WRITE_MS = 2500;

/** Without a stack: it would be another one where the run is started in another way. */
export const BUG = Object.assign(new Error('a bug'), { stack: 'a bug' });

export interface RunResult {
  readonly events: number;
  readonly questions: number;
  readonly steps: number;
  /** How long the table took to equal the truth once the faults had stopped, ms. */
  readonly settledMs: number;
  readonly faults: readonly string[];
}

export class Run {
  private readonly kernel: Kernel;
  private readonly eventsMax: number;
  readonly fault: (text: string) => void;

  /** `eventsMax`: beyond so many events a run goes round in circles. */
  constructor(kernel: Kernel, eventsMax: number, fault: (text: string) => void) {
    this.kernel = kernel;
    this.eventsMax = eventsMax;
    this.fault = fault;
  }

  /** Takes the steps, each at its time, and then `play`, which resolves with the time to settle, ms. */
  async play<S extends { readonly atMs: number }>(
    steps: readonly S[],
    take: (step: S) => void,
    play: () => Promise<number>,
  ): Promise<number> {
    for (const step of steps) this.kernel.at(step.atMs, () => take(step));
    try {
      return await play();
    } catch (error) {
      this.fault(`thrown: ${error instanceof Error ? error.stack : String(error)}`);
      return -1;
    }
  }

  async pass(untilMs: number): Promise<void> {
    const { kernel, eventsMax } = this;
    await kernel.run(untilMs, () => kernel.eventCount > eventsMax);
    if (kernel.eventCount > eventsMax) throw new Error(`more than ${eventsMax} events`);
  }

  /** Stops a process in order. */
  stop(process: SimProcess, onStopped: () => void): void {
    process.stats.close();
    process.upriver.drain().then(
      () => {
        process.config.close();
        this.checkStopped(process);
        onStopped();
      },
      (error: unknown) => this.fault(`the process can't stop: ${String(error)}`),
    );
  }

  private checkStopped(process: SimProcess): void {
    this.kernel.after(LAST_WRITE_MS, () => {
      const { size } = process.timers;
      if (size > 0) this.fault(`${size} timers are left over`);
      process.die();
    });
    const alive = process.threads.filter(({ isAlive }) => isAlive).length;
    if (alive > 0) this.fault(`${alive} workers outlive the process`);
  }

  /** Stops the last process, if there is one; nothing may be left. `open`: questions that are. */
  async finish(process: SimProcess | null, open: () => number): Promise<void> {
    const { kernel } = this;
    let isStopped = process === null;
    if (process !== null) {
      this.stop(process, () => {
        isStopped = true;
      });
    }
    await kernel.run(kernel.nowMs + STOP_MS, () => isStopped);
    if (!isStopped) this.fault('the process does not stop');
    if (open() > 0) this.fault(`${open()} questions are left open`);
    const end = await kernel.run(kernel.nowMs + STOP_MS);
    if (end !== 'idle') this.fault(`events are left over: ${kernel.pendingCount}`);
  }
}

export function sorted<T>(map: ReadonlyMap<string, T>): [string, T][] {
  return [...map].sort(([a], [b]) => (a < b ? -1 : 1));
}
