// One run of several registries: etcd by either API, an engine's containers, DNS and ZooKeeper, whose services
// one process serves, some of them from two registries at a time. After the last fault all is quiet, and the
// table must come to equal what is registered.
import { Run, type RunResult } from '../control/run.ts';
import { Kernel } from '../kernel/kernel.ts';
import type { Trace } from '../kernel/trace.ts';
import { AllRegistries } from './all-registries.ts';
import { Configurations } from './configurations.ts';
import { Ending } from './ending.ts';
import { RegistriesJudge } from './judge.ts';
import { isReplaced, MEMBERS, type Shape } from './members.ts';
import { FAULTS_END_MS, planOf, type Step, sentenceOf } from './plan.ts';
import { Priorities } from './priorities.ts';
import { Processes } from './processes.ts';
import { Registered } from './registered.ts';
import { drawReplacing } from './replacing.ts';
import { Troubles } from './troubles.ts';

const LOOK_MS = 500;
/** Bound of how long it takes until the table equals what is registered: docs/simulator.md. */
const SETTLE_MS = 180_000;
const EVENTS_MAX = 400_000;

/** Runs the plan of a seed, or these steps of it. */
export async function runRegistriesWorld(
  seed: number,
  { trace, steps }: { trace?: Trace; steps?: readonly Step[] } = {},
): Promise<RunResult> {
  const kernel = new Kernel(seed, trace);
  return new RegistriesWorld(kernel, steps ?? planOf(kernel)).run();
}

class RegistriesWorld {
  private readonly kernel: Kernel;
  private readonly shape: Shape;
  private readonly steps: readonly Step[];
  private readonly registries: AllRegistries;
  private readonly registered: Registered;
  private readonly troubles: Troubles;
  private readonly configurations: Configurations;
  private readonly processes: Processes;
  private readonly ending: Ending;
  private readonly judge: RegistriesJudge;
  private readonly course: Run;

  constructor(kernel: Kernel, steps: readonly Step[]) {
    this.kernel = kernel;
    this.steps = steps;
    const chance = kernel.chance('shape');
    const falling = kernel.chance('failover');
    const shape: Shape = {
      api: chance.pick(['v2', 'v3']),
      isAuto: chance.happens(0.3),
      holdS: chance.pick([30, 40]),
      isReplacing: drawReplacing(kernel),
      failover: { afterS: falling.pick([0, 0, 2, 8]), returnS: falling.pick([1, 10, 30]) },
    };
    this.shape = shape;
    const registries = new AllRegistries(kernel, shape.api);
    registries.dns.isSparse = shape.isReplacing && kernel.chance('sparse zone').happens(0.5);
    this.registries = registries;
    const judge = this.makeJudge(shape);
    this.judge = judge;
    const course = new Run(kernel, EVENTS_MAX, (text) => judge.fault(text));
    this.course = course;
    const registered = new Registered({ kernel, registries, judge });
    this.registered = registered;
    registries.etcd.onChange = () => judge.note();
    registries.zookeeper.ensemble.onCommit = () => judge.note();
    this.troubles = new Troubles({ kernel, registries, registered, judge });
    const configurations = new Configurations(kernel, shape);
    this.configurations = configurations;
    const { config } = configurations;
    const fault = (text: string): void => judge.fault(text);
    const process = () => this.processes.current;
    const priorities = new Priorities({ kernel, fault, process });
    const processes = new Processes({ kernel, registries, config, judge, course, priorities });
    this.processes = processes;
    this.ending = new Ending({ judge, registered, configurations, processes });
  }

  private makeJudge({ holdS }: Shape): RegistriesJudge {
    const { kernel } = this;
    return new RegistriesJudge({
      nowMs: () => kernel.nowMs,
      holdMs: holdS * 1000,
      isListed: (which) => {
        const member = this.registered.should[which];
        return member != null && this.registered.isListed(member);
      },
      wanted: (which) => this.registered.should[which] ?? null,
      followed: (service) => this.configurations.followedOfLate(service),
      shown: (service) => this.processes.placesOf(service),
      placeOf: (service, endpoint) => this.processes.lastPlaceOf(service, endpoint),
      threads: () => this.processes.threads(),
      afterwards: (run) => this.processes.afterwards(run),
      wasDenied: (registry) => registry === 'dns' && this.troubles.isDenied,
      isLate: (registry) => registry === 'docker' && this.troubles.isEngineLate,
    });
  }

  async run(): Promise<RunResult> {
    const { judge, course, processes, registered } = this;
    for (const which of MEMBERS.keys()) {
      if (this.isThereFirst(which)) registered.register(which, MEMBERS[which]!);
    }
    processes.start();
    const take = (step: Step): void => this.take(step);
    const settledMs = await course.play(this.steps, take, async () => {
      await course.pass(FAULTS_END_MS);
      this.endFaults();
      const tookMs = await this.settle();
      registered.close();
      await processes.finish();
      return tookMs;
    });
    const { eventCount: events } = this.kernel;
    const { questions } = this.registries;
    return { events, questions, steps: this.steps.length, settledMs, faults: judge.faults };
  }

  private isThereFirst(which: number): boolean {
    if (isReplaced(MEMBERS[which]!)) return this.shape.isReplacing;
    return this.kernel.chance(`first ${which}`).happens(0.7);
  }

  // Steps

  private take(step: Step): void {
    const { kernel } = this;
    if (kernel.trace.isOn) kernel.trace.add(kernel.nowMs, `STEP ${sentenceOf(step)}`);
    this.act(step);
    this.judge.note();
  }

  private act(step: Step): void {
    const { processes, registries, configurations } = this;
    const { etcd } = registries;
    switch (step.kind) {
      case 'register':
      case 'deregister':
      case 'move':
      case 'stop':
      case 'pause':
      case 'replace':
        return this.registered.take(step);
      case 'compact':
        return etcd.store.compact();
      case 'begin-anew':
        etcd.store.beginAnew();
        return etcd.way.cut('', 'other side closed');
      case 'noise':
        for (let i = 0; i < step.count; i += 1) etcd.store.put(`/other/${i}`, `${i}`, null);
        return;
      case 'reload':
        return configurations.reload(step.variant, () =>
          processes.current?.config.reload('SIGHUP'),
        );
      case 'worker-dies':
        return processes.endThread(step.worker);
      case 'crash':
      case 'restart':
        return processes.end(step);
      default:
        return this.troubles.begin(step);
    }
  }

  // The end

  private endFaults(): void {
    const { kernel } = this;
    if (kernel.trace.isOn) kernel.trace.add(kernel.nowMs, 'QUIET from now on');
    this.troubles.end();
    this.processes.quiet();
  }

  /** Resolves with how long it took, ms. */
  private async settle(): Promise<number> {
    const { kernel, judge, course, processes, ending } = this;
    const startMs = kernel.nowMs;
    let wrong: string[] = [];
    while (kernel.nowMs < startMs + SETTLE_MS) {
      await course.pass(kernel.nowMs + LOOK_MS);
      processes.quiet();
      if (processes.current?.isStarted !== true) continue;
      wrong = ending.wrong();
      if (wrong.length > 0) continue;
      const tookMs = kernel.nowMs - startMs;
      // Once it equals what is registered it must stay so, as what holds things ends.
      await course.pass(kernel.nowMs + SETTLE_MS / 2);
      ending.judgeSettled(processes.current!);
      return tookMs;
    }
    judge.fault(`after ${SETTLE_MS / 1000} s of quiet: ${wrong.join('; ')}`);
    return SETTLE_MS;
  }
}
