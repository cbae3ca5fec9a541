// The processes of a run, one after the other: their starts, stops and deaths, and what happens to their
// workers.
import type { ServiceView, TableEvent } from '../../src/control/view.ts';
import { KvWatch } from '../../src/discovery/consul/kv-watch.ts';
import { LockWatch } from '../../src/discovery/consul/lock-watch.ts';
import { ConsulProvider } from '../../src/discovery/consul/provider.ts';
import type { Kernel } from '../kernel/kernel.ts';
import type { Configurations } from './configurations.ts';
import type { Judge } from './judge.ts';
import type { Step } from './plan.ts';
import type { Ports } from './ports.ts';
import type { Registered } from './registered.ts';
import { BUG, type Run } from './run.ts';
import type { SimConfig } from './sim-config.ts';
import type { SimConsul } from './sim-consul.ts';
import type { SimDisk } from './sim-disk.ts';
import { SimProcess, type SimRegistries } from './sim-process.ts';
import type { SimThread } from './sim-thread.ts';
import type { WarmStarts } from './warm.ts';

/** A worker that has missed twenty pings, a second apart, is ended. */
const HUNG_MS_MAX = 30_000;
/** A process that could not start is started again after so long. */
const START_AGAIN_MS = 1000;

export interface ProcessesOptions {
  readonly kernel: Kernel;
  readonly consul: SimConsul;
  readonly disk: SimDisk;
  readonly config: SimConfig;
  readonly ports: Ports;
  readonly judge: Judge;
  readonly registered: Registered;
  readonly configurations: Configurations;
  readonly warmStarts: WarmStarts;
  readonly course: Run;
  /** Services followed each by a query of its own. */
  readonly directMax: number;
  /** Another process begins. */
  readonly onBegin: () => void;
  readonly onEvent: (event: TableEvent) => void;
}

interface Delay {
  readonly kind: 'worker-dies' | 'worker-slow' | 'worker-hangs';
  readonly worker: number;
  readonly forMs: number;
}

export class Processes {
  /** The one that runs; null between two. */
  current: SimProcess | null = null;
  private readonly options: ProcessesOptions;
  private count = 0;
  /** The service that was found last to have an endpoint at a place. */
  private readonly lastOf = new Map<string, string>();
  /** The end of a quiet run: no process is started any more. */
  private isOver = false;

  constructor(options: ProcessesOptions) {
    this.options = options;
  }

  private readonly registries: SimRegistries = {
    doors: (isDead) => {
      const open = this.options.consul.opener(isDead);
      return { loadConsul: () => Promise.resolve({ ConsulProvider, KvWatch, LockWatch, open }) };
    },
    cut: () => {
      for (const one of [...this.options.consul.open]) one.cut(new Error('gone'));
    },
  };

  start(): void {
    if (this.isOver) return;
    const { judge, ports, config, configurations, warmStarts, onBegin, onEvent } = this.options;
    this.count += 1;
    onBegin();
    judge.begin();
    ports.begin();
    config.finish();
    const process = this.makeProcess();
    this.current = process;
    const { isSpoilt } = warmStarts;
    warmStarts.begin(process);
    configurations.begin();
    process.upriver.controller.events.subscribe((event) => {
      if (this.current !== process) return;
      judge.onEvent(event);
      onEvent(event);
    });
    process.start();
    this.awaitStarted(process, isSpoilt);
  }

  private makeProcess(): SimProcess {
    const { registries } = this;
    const { kernel, disk, registered, ports, config, judge, directMax } = this.options;
    return new SimProcess(
      {
        ...{ kernel, registries, disk, config, directMax },
        probe: registered.probe,
        resolve: () => registered.resolve(),
        probePort: ports.probe,
        watcher: judge,
        onError: (text) => judge.fault(text),
        onFailed: () => this.startAgain(),
        // Two may be read in one moment: each is applied.
        onSettings: (process) => {
          if (this.current === process) this.options.configurations.note();
        },
      },
      this.count,
    );
  }

  /** When it is ready, what the process before it had must be there. */
  private awaitStarted(process: SimProcess, isSpoilt: boolean): void {
    const { kernel, warmStarts } = this.options;
    if (this.current !== process) return;
    if (process.isStarted) warmStarts.judgeStarted(process, isSpoilt);
    else kernel.after(10, () => this.awaitStarted(process, isSpoilt));
  }

  kill(step: Extract<Step, { kind: 'crash' }>): void {
    const { kernel, disk, warmStarts } = this.options;
    const process = this.current;
    if (process === null) return;
    warmStarts.note(process, step);
    process.die();
    this.current = null;
    if (step.isPowerLost) disk.losePower();
    warmStarts.spoil(step.file);
    kernel.after(step.downMs, () => this.start());
  }

  /** It could not start, for a reason. */
  private startAgain(): void {
    this.current?.die();
    this.current = null;
    this.options.kernel.after(START_AGAIN_MS, () => this.start());
  }

  restart(downMs: number): void {
    const { kernel, course, warmStarts } = this.options;
    const process = this.current;
    if (process === null) return;
    this.current = null;
    warmStarts.forget();
    course.stop(process, () => kernel.after(downMs, () => this.start()));
  }

  /** No other one is started; resolves when the last has stopped, and nothing of it is left. */
  finish(): Promise<void> {
    const { consul, course } = this.options;
    const process = this.current;
    this.isOver = true;
    this.current = null;
    return course.finish(process, () => consul.open.size);
  }

  // Workers

  endThread(worker: number): void {
    const process = this.current;
    const thread = process?.threads[worker];
    if (process === null || thread?.isAlive !== true) return;
    // A process whose worker can't begin ends, and whoever runs it starts another.
    process.mayFail ||= !process.isStarted;
    thread.die(1, BUG);
  }

  delayThread({ kind, worker, forMs }: Delay, untilMs: number): void {
    const thread = this.current?.threads[worker];
    const isSlow = kind === 'worker-slow';
    if (thread === undefined && !isSlow) return;
    this.options.ports.workerIsLate(forMs);
    if (thread === undefined) return;
    if (isSlow) {
      thread.slowUntilMs = untilMs;
      return;
    }
    // A shorter one does not end it: it hangs all the while until it is judged.
    thread.hungUntilMs = Math.max(thread.hungUntilMs, untilMs);
    if (forMs > HUNG_MS_MAX) this.awaitEnd(thread);
  }

  /** Nobody waits for it for longer. */
  private awaitEnd(thread: SimThread): void {
    const { kernel, judge } = this.options;
    const process = this.current;
    kernel.after(HUNG_MS_MAX, () => {
      const isHung = thread.isAlive && thread.hungUntilMs > kernel.nowMs;
      if (this.current !== process || !isHung) return;
      const seconds = HUNG_MS_MAX / 1000;
      judge.fault(`worker ${thread.index} has not answered for ${seconds} s, and lives`);
    });
  }

  endFaults(): void {
    for (const thread of this.current?.threads ?? []) {
      thread.hungUntilMs = 0;
      thread.slowUntilMs = 0;
    }
    this.quiet();
  }

  quiet(): void {
    for (const thread of this.current?.threads ?? []) thread.isQuiet = true;
  }

  /** Some service has it; the one that had it last is asked first: views of all cost much. */
  private hasPlace({ upriver: { controller } }: SimProcess, place: string): boolean {
    const isIn = (view: ServiceView | null): boolean =>
      view?.endpoints.some(({ address, port }) => `${address}:${port}` === place) === true;
    if (isIn(controller.service(this.lastOf.get(place) ?? ''))) return true;
    const found = controller.services().find(isIn);
    if (found !== undefined) this.lastOf.set(place, found.service.name);
    return found !== undefined;
  }

  /** Nobody is checked who is not in the table. */
  checkProbe(place: string, signal: AbortSignal): void {
    const { kernel, judge } = this.options;
    const process = this.current;
    kernel.after(0, () => {
      if (signal.aborted || process === null || this.current !== process) return;
      if (!this.hasPlace(process, place)) {
        judge.fault(`${place} is checked, and is not in the table`);
      }
    });
  }
}
