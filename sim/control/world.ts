// One run of the control plane: a simulated Consul, servers, operators, workers and processes, to
// which the steps of a plan happen. After the last fault everything is quiet, and the table must
// come to equal the truth within the stated bounds.
import { Kernel } from '../kernel/kernel.ts';
import type { Trace } from '../kernel/trace.ts';
import { RETRY_AFTER_MAX, troubleAgent } from './agent-troubles.ts';
import { Configurations } from './configurations.ts';
import { Ending } from './ending.ts';
import { GuidedJudge } from './guided/guided-judge.ts';
import { Leaders } from './guided/leaders.ts';
import { guidedShapeOf } from './guided/shape.ts';
import * as trust from './guided/trust.ts';
import { Judge } from './judge.ts';
import { OpeningJudge } from './opening-judge.ts';
import { operate, WEIGHT } from './operator.ts';
import { FAULTS_END_MS, planOf, type Step, sentenceOf } from './plan.ts';
import { Ports } from './ports.ts';
import { Processes } from './processes.ts';
import { Registered } from './registered.ts';
import { Run, type RunResult } from './run.ts';
import { SimConfig } from './sim-config.ts';
import { SimConsul } from './sim-consul.ts';
import { SimDisk } from './sim-disk.ts';
import type { SimProcess } from './sim-process.ts';
import * as truth from './truth.ts';
import { keyOf } from './truth.ts';
import * as universe from './universe.ts';
import { WarmStarts } from './warm.ts';
import { WordJudge } from './word-judge.ts';

const { AGENTS, OVERLAYS, OVERLAY_KEY, PLAIN_COUNT, REGISTERED } = universe;

/** What there is of it in a world that has it. */
interface Guided {
  readonly leaders: Leaders;
  readonly judge: GuidedJudge;
}

/** How often the table is compared when all is quiet. */
const LOOK_MS = 500;
const EVENTS_MAX = 300_000;

export interface ControlOptions {
  readonly trace?: Trace;
  /** Instead of the plan of the seed. */
  readonly steps?: readonly Step[];
  /** False: without what `guided` has, whatever the seed draws; true unless it is said. */
  readonly isGuided?: boolean;
}

/** Runs the plan of a seed, or these steps of it. */
export async function runControlWorld(
  seed: number,
  { trace, steps, isGuided = true }: ControlOptions = {},
): Promise<RunResult> {
  const kernel = new Kernel(seed, trace);
  return new ControlWorld(kernel, { steps: steps ?? planOf(kernel, isGuided), isGuided }).run();
}

export class ControlWorld {
  private readonly kernel: Kernel;
  private readonly steps: readonly Step[];
  private readonly shape: universe.Shape;
  private readonly guided: Guided | null;
  private readonly words: WordJudge;
  private readonly openings: OpeningJudge;
  private readonly consul: SimConsul;
  private readonly disk: SimDisk;
  private readonly judge: Judge;
  private readonly ports: Ports;
  private readonly config: SimConfig;
  private readonly registered: Registered;
  private readonly configurations: Configurations;
  private readonly ending: Ending;
  private readonly course: Run;
  private readonly processes: Processes;

  constructor(kernel: Kernel, { steps, isGuided }: { steps: readonly Step[]; isGuided: boolean }) {
    this.kernel = kernel;
    this.steps = steps;
    const chance = kernel.chance('shape');
    this.shape = {
      waitS: chance.pick([5, 10, 60]),
      holdS: chance.pick([30, 30, 40]),
      isGuarded: !chance.happens(0.1),
      maxRemoved: chance.pick([50, 50, 20]),
      isStale: chance.happens(0.8),
      guided: isGuided ? guidedShapeOf(kernel) : null,
    };
    const directMax = chance.pick([96, 96, 2, 0]);
    const consul = new SimConsul(kernel, AGENTS);
    this.consul = consul;
    const disk = new SimDisk(kernel);
    this.disk = disk;
    const ports = new Ports(kernel);
    this.ports = ports;
    const config = new SimConfig(kernel, universe.configText(0, this.shape));
    this.config = config;
    const judge = this.makeJudge();
    this.judge = judge;
    const course = new Run(kernel, EVENTS_MAX, (text) => judge.fault(text));
    this.course = course;
    const registered = new Registered({
      ...{ kernel, consul },
      onTruth: (key, instance, isAccepted) => judge.setTruth(key, instance, isAccepted),
      onProbe: (place, signal) => {
        this.processes.checkProbe(place, signal);
        this.guided?.judge.onProbe(place);
      },
      onOutcome: (place, outcome) => this.guided?.judge.onOutcome(place, outcome),
      onEmptied: (afterMs) => this.guided?.leaders.emptied(afterMs),
    });
    this.registered = registered;
    const process = (): SimProcess | null => this.processes?.current ?? null;
    const fault = (text: string): void => judge.fault(text);
    const isDenied = (address: string): boolean =>
      this.configurations.some((settings) => trust.isDenied(address, settings));
    const words = new WordJudge({ fault, isDenied });
    this.words = words;
    this.openings = new OpeningJudge({
      ...{ fault, nowMs: () => kernel.nowMs, areWorkersLate: () => ports.areWorkersLate },
      isWarm: () => process()?.isWarm === true,
    });
    const configurations = new Configurations({
      ...{ kernel, judge, registered, process, words: words.words },
    });
    this.configurations = configurations;
    this.guided = this.makeGuided();
    const { isGuarded, waitS } = this.shape;
    const warm = { kernel, consul, disk, judge, registered, configurations, isGuarded };
    const warmStarts = new WarmStarts(warm);
    this.processes = new Processes({
      ...{ ...warm, config, ports, warmStarts, course, directMax },
      onBegin: () => {
        words.begin();
        this.openings.begin();
        this.guided?.judge.begin();
      },
      onEvent: (event) => this.guided?.judge.onEvent(event),
    });
    const ageMsMax = waitS * 1000 * (17 / 16) + 5000;
    const unguided = (current: SimProcess): string => this.unguided(current);
    this.ending = new Ending({ judge, consul, config, configurations, ageMsMax, unguided });
    consul.onFault = (text) => judge.fault(text);
    consul.onDelivered = (delivered) => {
      configurations.note();
      judge.onDelivered(delivered);
    };
  }

  /** Null where the world has nothing of it. */
  private makeGuided(): Guided | null {
    const { kernel, consul, configurations, registered, judge } = this;
    const { guided } = this.shape;
    if (guided === null) return null;
    const leaders = new Leaders({ kernel, consul, registered, by: guided.primaryBy });
    const fault = (text: string): void => judge.fault(text);
    const process = (): SimProcess | null => this.processes?.current ?? null;
    return {
      leaders,
      judge: new GuidedJudge({ kernel, fault, leaders, configurations, process }),
    };
  }

  /** What is wrong at the end with what guides traffic, or ''. */
  private unguided(process: SimProcess): string {
    const { guided, registered, configurations } = this;
    if (guided === null) return '';
    const expected = configurations.expectedBy(process.settings);
    const { listeners } = process.upriver.controller.full();
    const listen = expected.has('rogue') ? registered.rogueListen : null;
    return (
      guided.judge.wrongPriority(process, expected.get('tier') ?? new Map()) ||
      guided.judge.wrongListeners(listeners ?? [], process.settings, listen)
    );
  }

  private makeJudge(): Judge {
    const { kernel } = this;
    return new Judge({
      nowMs: () => kernel.nowMs,
      holdMs: this.shape.holdS * 1000,
      isGuarded: this.shape.isGuarded,
      isWanted: (service, id) => this.configurations.isWanted(service, id),
      threads: () => this.processes.current?.threads.filter(({ isAlive }) => isAlive) ?? [],
      wellMs: (_service, id) => this.registered.wellMs(id),
      questionOf: (service) => this.configurations.questionOf(service),
      isConfigured: (service) =>
        this.processes.current?.settings.services.some(({ name }) => name === service) === true,
      listen: (listeners) => this.ports.listen(listeners),
      onApplied: (thread, delta) => {
        this.words.check(thread);
        this.openings.onApplied(thread);
        this.guided?.judge.onApplied(thread, delta);
      },
      onWork: (thread, service, address) => this.guided?.judge.onWork(thread, service, address),
      afterwards: (run) => {
        const process = this.processes.current;
        kernel.after(0, () => {
          if (this.processes.current === process) run();
        });
      },
      isEmpty: (service) =>
        this.processes.current?.upriver.controller.service(service)?.endpoints.length === 0,
      isShown: (service, id) =>
        this.processes.current?.upriver.controller
          .service(service)
          ?.endpoints.some((one) => one.id === id) === true,
    });
  }

  async run(): Promise<RunResult> {
    const { kernel, judge, course } = this;
    const count = this.guided === null ? PLAIN_COUNT : REGISTERED.length;
    for (let which = 0; which < count; which += 1) {
      if (kernel.chance(`first ${which}`).happens(0.7)) this.registered.register(which, 1);
    }
    this.processes.start();
    const take = (step: Step): void => this.take(step);
    const settledMs = await course.play(this.steps, take, async () => {
      await course.pass(FAULTS_END_MS);
      this.endFaults();
      const tookMs = await this.settle();
      this.guided?.judge.end();
      await this.processes.finish();
      return tookMs;
    });
    const { eventCount: events } = kernel;
    const { questions } = this.consul;
    return { events, questions, steps: this.steps.length, settledMs, faults: judge.faults };
  }

  // Steps

  private take(step: Step): void {
    const { kernel } = this;
    if (kernel.trace.isOn) kernel.trace.add(kernel.nowMs, `STEP ${sentenceOf(step)}`);
    this.configurations.note();
    this.ending.checkAge(this.processes.current);
    this.act(step);
  }

  private act(step: Step): void {
    const { consul, kernel, registered } = this;
    const { nowMs } = kernel;
    switch (step.kind) {
      case 'register':
      case 'deregister':
      case 'move':
      case 'describe':
      case 'status':
      case 'maintenance':
        return registered.take(step);
      case 'node-maintenance':
        return registered.maintainNode(step.node, step.isOn);
      case 'overlay': {
        const text = OVERLAYS[step.variant] ?? null;
        return consul.write(truth.withKey(consul.state, nowMs, { name: OVERLAY_KEY, text }));
      }
      case 'promote':
        return this.guided?.leaders.promote(step);
      case 'abdicate':
        return this.guided?.leaders.abdicate();
      case 'listen':
        return registered.listenAt(step.place);
      case 'roam':
        return registered.roam(step.which, step.network);
      case 'operate':
        return this.operate(step);
      case 'reload':
        return this.reload(step);
      case 'name':
        return registered.changeName(step.isGone);
      case 'port':
        return this.ports.take(step.port, step.forMs);
      case 'disk-full':
        this.disk.fullUntilMs = nowMs + step.forMs;
        return;
      default:
        return this.harm(step, nowMs + ('forMs' in step ? step.forMs : 0));
    }
  }

  private harm(step: Step, untilMs: number): void {
    const { consul, kernel, registered } = this;
    switch (step.kind) {
      case 'agent': {
        const chance = kernel.chance(`trouble ${step.atMs}`);
        return troubleAgent(consul, step, { chance, untilMs });
      }
      case 'cut':
        return consul.cutOpen(consul.agents[step.agent]!, 'read ECONNRESET');
      case 'leaderless':
        for (const agent of consul.agents) consul.begin(agent, { leaderlessUntilMs: untilMs });
        return;
      case 'restart-empty':
        return registered.restartEmpty(step);
      case 'lower-indexes':
        return consul.lowerIndexes();
      case 'ambush':
        consul.ambush = () => {
          if (consul.isNoticed) registered.restartEmpty({ downMs: 0, backMs: step.backMs });
        };
        return;
      case 'server':
        return registered.breakServer(step, untilMs);
      case 'worker-dies':
        return this.processes.endThread(step.worker);
      case 'worker-slow':
      case 'worker-hangs':
        return this.processes.delayThread({ ...step, kind: step.kind }, untilMs);
      case 'crash':
        return this.processes.kill(step);
      case 'restart':
        return this.processes.restart(step.downMs);
    }
  }

  private reload({ atMs, variant }: Extract<Step, { kind: 'reload' }>): void {
    const { kernel, configurations } = this;
    configurations.reloadedMs = kernel.nowMs;
    this.config.write(universe.configText(variant, this.shape));
    // Who sends a signal has written the file by then.
    if (atMs % 3 === 0) kernel.after(40, () => this.processes.current?.config.reload('SIGHUP'));
    configurations.note();
  }

  private operate({ which, word }: Extract<Step, { kind: 'operate' }>): void {
    const { kernel } = this;
    const process = this.processes.current;
    if (process?.isStarted !== true) return;
    const { service } = REGISTERED[which]!;
    const id = keyOf(REGISTERED[which]!);
    const isDenied = (address: string): boolean => trust.isDenied(address, process.settings);
    const { version } = process.upriver.controller;
    operate(
      process,
      { service, id, word, isDenied },
      {
        chance: kernel.chance(`operator ${kernel.nowMs}`),
        fault: (text) => this.judge.fault(text),
        onDone: () => this.words.said(`${service} ${id}`, word, WEIGHT, version),
      },
    );
  }

  // The end

  private endFaults(): void {
    const { kernel, consul } = this;
    if (kernel.trace.isOn) kernel.trace.add(kernel.nowMs, 'QUIET from now on');
    consul.endTroubles();
    consul.ambush = null;
    this.ports.free();
    this.disk.fullUntilMs = 0;
    this.registered.endFaults();
    this.processes.endFaults();
  }

  /** Bound of how long it takes until the table equals the truth, ms: see docs/simulator.md. */
  private get boundMs(): number {
    const { waitS, holdS } = this.shape;
    const silence = waitS * 1000 * (17 / 16) + 5000;
    const pause = 30_000 + RETRY_AFTER_MAX * 1000;
    const doubt = holdS * 1000 + 1000 + 11_000;
    const described = 120_000 + 5000;
    return silence + pause + Math.max(doubt, described) + 10_000;
  }

  /** Resolves with how long it took, ms. */
  private async settle(): Promise<number> {
    const { kernel, judge, boundMs, course, ending } = this;
    const startMs = kernel.nowMs;
    let wrong: string[] = [];
    while (kernel.nowMs < startMs + boundMs) {
      await course.pass(kernel.nowMs + LOOK_MS);
      this.processes.quiet();
      const process = this.processes.current;
      if (process?.isStarted !== true) continue;
      wrong = ending.wrong(process);
      if (wrong.length > 0) continue;
      const tookMs = kernel.nowMs - startMs;
      // It must stay so, as what holds things ends.
      await course.pass(kernel.nowMs + boundMs / 2);
      ending.judgeSettled(this.processes.current!, kernel.nowMs);
      return tookMs;
    }
    judge.fault(`after ${Math.round(boundMs / 1000)} s of quiet: ${wrong.join('; ')}`);
    return boundMs;
  }
}
