// The processes of a run of several registries, one after the other, and what their tables show.
import { BUG, type Run } from '../control/run.ts';
import type { SimConfig } from '../control/sim-config.ts';
import { SimDisk } from '../control/sim-disk.ts';
import { SimProcess } from '../control/sim-process.ts';
import type { SimThread } from '../control/sim-thread.ts';
import type { Kernel } from '../kernel/kernel.ts';
import type { AllRegistries } from './all-registries.ts';
import type { RegistriesJudge } from './judge.ts';
import { placeOf } from './members.ts';
import type { Step } from './plan.ts';
import type { Priorities } from './priorities.ts';

/** A process that could not start is started again after so long. */
const START_AGAIN_MS = 1000;

export interface ProcessesOptions {
  readonly kernel: Kernel;
  readonly registries: AllRegistries;
  readonly config: SimConfig;
  readonly judge: RegistriesJudge;
  readonly course: Run;
  readonly priorities: Priorities;
}

export class Processes {
  /** The one that runs; null between two. */
  current: SimProcess | null = null;
  private readonly options: ProcessesOptions;
  private readonly disk: SimDisk;
  private count = 0;
  /** The end of a quiet run: no process is started any more. */
  private isOver = false;
  /** Where the table had an endpoint last, by `service endpoint`. */
  private readonly places = new Map<string, string>();

  constructor(options: ProcessesOptions) {
    this.options = options;
    this.disk = new SimDisk(options.kernel);
  }

  start(): void {
    if (this.isOver) return;
    const { kernel, config, judge, priorities } = this.options;
    this.count += 1;
    config.finish();
    this.places.clear();
    const process = this.make();
    this.current = process;
    priorities.begin();
    process.upriver.controller.events.subscribe((event) => {
      if (this.current !== process) return;
      judge.onEvent(event);
      priorities.onEvent(event);
      kernel.after(0, () => this.notePlaces());
    });
    process.start();
  }

  private make(): SimProcess {
    const { kernel, registries, config, judge } = this.options;
    return new SimProcess(
      {
        ...{ kernel, config, disk: this.disk, registries: registries.ways },
        probe: () => Promise.resolve({ isGood: true, text: 'answered' }),
        resolve: () => Promise.reject(new Error('there is no name to be resolved')),
        probePort: () => Promise.resolve(''),
        watcher: judge,
        directMax: 0,
        onSettings: () => {},
        onError: (text) => judge.fault(text),
        onFailed: () => {
          this.current?.die();
          this.current = null;
          kernel.after(START_AGAIN_MS, () => this.start());
        },
      },
      this.count,
    );
  }

  end({ kind, downMs }: Extract<Step, { kind: 'crash' | 'restart' }>): void {
    const { kernel, course } = this.options;
    const process = this.current;
    if (process === null) return;
    this.current = null;
    const startAgain = (): void => void kernel.after(downMs, () => this.start());
    if (kind === 'restart') return course.stop(process, startAgain);
    process.die();
    startAgain();
  }

  endThread(worker: number): void {
    const process = this.current;
    if (process === null) return;
    process.mayFail ||= !process.isStarted;
    process.threads[worker]?.die(1, BUG);
  }

  /** Requests fail no more. */
  quiet(): void {
    for (const thread of this.current?.threads ?? []) thread.isQuiet = true;
  }

  /** No other one is started; resolves when the last has stopped, and nothing of it is left. */
  finish(): Promise<void> {
    const { course, registries, priorities } = this.options;
    priorities.end();
    const process = this.current;
    this.isOver = true;
    this.current = null;
    return course.finish(process, () => registries.openCount);
  }

  // What is shown

  /** The table: service -> place -> state. */
  shown(): Map<string, Map<string, string>> {
    const services = this.current?.upriver.controller.services() ?? [];
    return new Map(
      services.map(({ service, endpoints }) => [
        service.name,
        new Map(endpoints.map((one) => [placeOf(one), one.state as string])),
      ]),
    );
  }

  /** The places of a service. */
  placesOf(service: string): ReadonlySet<string> {
    const view = this.current?.upriver.controller.service(service);
    return new Set((view?.endpoints ?? []).map(placeOf));
  }

  /** Where the table of the one that runs had the endpoint last; null: nowhere. */
  lastPlaceOf(service: string, endpoint: string): string | null {
    return this.places.get(`${service} ${endpoint}`) ?? null;
  }

  /** The workers that live. */
  threads(): readonly SimThread[] {
    return this.current?.threads.filter(({ isAlive }) => isAlive) ?? [];
  }

  /** Runs it once this event is over, unless the process has ended. */
  afterwards(run: () => void): void {
    const process = this.current;
    this.options.kernel.after(0, () => {
      if (this.current === process) run();
    });
  }

  private notePlaces(): void {
    for (const { service, endpoints } of this.current?.upriver.controller.services() ?? []) {
      for (const one of endpoints) this.places.set(`${service.name} ${one.id}`, placeOf(one));
    }
  }
}
