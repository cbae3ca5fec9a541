// The oracle over the service that fails over from one registry to another: looked at after each event that
// concerns it, and now and then.
import type { TableEvent } from '../../src/control/view.ts';
import { PriorityJudge } from '../control/guided/priority-judge.ts';
import type { SimProcess } from '../control/sim-process.ts';
import type { Kernel } from '../kernel/kernel.ts';

/** Its sources have priorities. */
export const FALLING = 'fall';
const LOOK_MS = 1000;

export interface PrioritiesOptions {
  readonly kernel: Kernel;
  readonly fault: (text: string) => void;
  readonly process: () => SimProcess | null;
}

export class Priorities {
  private readonly options: PrioritiesOptions;
  private readonly judge: PriorityJudge;
  private isDue = false;
  private isOver = false;

  constructor(options: PrioritiesOptions) {
    this.options = options;
    this.judge = new PriorityJudge(options.fault);
    this.tick();
  }

  /** Another process. */
  begin(): void {
    this.judge.begin();
  }

  /** The run is over: nothing may be left of it. */
  end(): void {
    this.isOver = true;
  }

  onEvent({ service }: TableEvent): void {
    if (service !== FALLING || this.isDue) return;
    this.isDue = true;
    // Once what happens now is over.
    this.options.kernel.after(0, () => {
      this.isDue = false;
      this.look();
    });
  }

  private tick(): void {
    this.options.kernel.after(LOOK_MS, () => {
      if (this.isOver) return;
      this.look();
      this.tick();
    });
  }

  private look(): void {
    const { kernel, process } = this.options;
    const { controller } = process()?.upriver ?? {};
    if (controller !== undefined) this.judge.look(controller.service(FALLING), kernel.nowMs);
  }
}
