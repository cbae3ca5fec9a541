// One run of the control plane: a simulated Consul, servers, operators, workers and processes, to
// which the steps of a plan happen. After the last fault everything is quiet, and the table must
// come to equal the truth within the stated bounds.

import { isDeepStrictEqual } from 'node:util';
import { loadSettings } from '../../src/config/load.ts';
import { KvWatch } from '../../src/discovery/consul/kv-watch.ts';
import { LockWatch } from '../../src/discovery/consul/lock-watch.ts';
import { ConsulProvider } from '../../src/discovery/consul/provider.ts';
import type { Probe } from '../../src/health/checker.ts';
import type { CheckType } from '../../src/model/service.ts';
import type { Settings } from '../../src/model/settings.ts';
import { Kernel } from '../kernel/kernel.ts';
import { systemError } from '../kernel/system-error.ts';
import type { Trace } from '../kernel/trace.ts';
import { differences, type Expected, expectedTable, shownTable, type Word } from './expected.ts';
import { Judge } from './judge.ts';
import { operate } from './operator.ts';
import { FAULTS_END_MS, planOf, type ServerTrouble, type Step, sentenceOf } from './plan.ts';
import { Ports, wrongListeners } from './ports.ts';
import { SimConfig } from './sim-config.ts';
import { SimConsul } from './sim-consul.ts';
import { SimDisk } from './sim-disk.ts';
import { SimProcess, type SimRegistries } from './sim-process.ts';
import type { SimThread } from './sim-thread.ts';
import * as truth from './truth.ts';
import { type Instance, keyOf, NODES } from './truth.ts';
import * as universe from './universe.ts';

const { AGENTS, HOST_NAME, OVERLAYS, OVERLAY_KEY, REGISTERED, STATE_FILE } = universe;

/** How often the table is compared when all is quiet. */
const LOOK_MS = 500;
/** Retry-After of an agent that limits, s, at the most. */
const RETRY_AFTER_MAX = 20;
/** What the table has had for so long stands in the state file. */
const WRITTEN_MS = 5000;
/** Configurations of the last so long are regarded: a reload takes its time. */
const RELOAD_MS = 15_000;
/** Beyond so many events a run goes round in circles. */
const EVENTS_MAX = 300_000;
const SETTLE_MS = 200_000;
/** More than a run ever uses. */
const SLOTS_LOOKED_AT = 200;
/** A worker that has missed twenty pings, a second apart, is ended. */
const HUNG_MS_MAX = 30_000;
/** A process that could not start is started again after so long. */
const START_AGAIN_MS = 1000;

export interface ControlResult {
  readonly events: number;
  readonly questions: number;
  readonly steps: number;
  /** How long the table took to equal the truth once the faults had stopped, ms. */
  readonly settledMs: number;
  readonly faults: readonly string[];
}

/** Without a stack: it would be another one where the run is started in another way. */
const BUG = Object.assign(new Error('a bug'), { stack: 'a bug' });

interface Server {
  how: ServerTrouble | null;
  /** Since when it answers well. */
  wellSinceMs: number;
}

/** Runs the plan of a seed, or these steps of it. */
export async function runControlWorld(
  seed: number,
  { trace, steps }: { trace?: Trace; steps?: readonly Step[] } = {},
): Promise<ControlResult> {
  const kernel = new Kernel(seed, trace);
  return new ControlWorld(kernel, steps ?? planOf(kernel)).run();
}

export class ControlWorld {
  private readonly kernel: Kernel;
  private readonly steps: readonly Step[];
  private readonly shape: universe.Shape;
  private readonly consul: SimConsul;
  private readonly disk: SimDisk;
  private readonly judge: Judge;
  private readonly ports: Ports;
  private readonly config: SimConfig;
  private readonly directMax: number;
  /** Who ought to be registered, by `node/id`. */
  private readonly should = new Map<string, Instance>();
  private readonly maintained = new Set<string>();
  private readonly servers: Server[] = REGISTERED.map(() => ({ how: null, wellSinceMs: -1e9 }));
  private readonly places = new Map<string, number>();
  private readonly words = new Map<string, Word>();
  private nameAddresses: readonly string[] = ['10.5.0.1'];
  private isNameGone = false;
  private nameChangedMs = Number.NEGATIVE_INFINITY;
  private process: SimProcess | null = null;
  private processCount = 0;
  private configs: { settings: Settings; untilMs: number }[] = [];
  /** The end of a quiet run: no process is started any more. */
  private isOver = false;
  /** Endpoints that the last process knew when it died, for a warm start. */
  private expectedWarm: { key: string; service: string; question: string }[] = [];
  /** A state file that must not be read. */
  private spoilt: object | null = null;
  /** The registry whose table the state file has. */
  private warmConsul = '';
  private reloadedMs = Number.NEGATIVE_INFINITY;

  constructor(kernel: Kernel, steps: readonly Step[]) {
    this.kernel = kernel;
    this.steps = steps;
    const chance = kernel.chance('shape');
    this.shape = {
      waitS: chance.pick([5, 10, 60]),
      holdS: chance.pick([30, 30, 40]),
      isGuarded: !chance.happens(0.1),
      maxRemoved: chance.pick([50, 50, 20]),
      isStale: chance.happens(0.8),
    };
    this.directMax = chance.pick([96, 96, 2, 0]);
    this.consul = new SimConsul(kernel, AGENTS);
    this.disk = new SimDisk(kernel);
    this.ports = new Ports(kernel);
    this.config = new SimConfig(kernel, universe.configText(0, this.shape));
    this.judge = new Judge({
      nowMs: () => kernel.nowMs,
      holdMs: this.shape.holdS * 1000,
      isGuarded: this.shape.isGuarded,
      isWanted: (service, id) => this.isWanted(service, id),
      threads: () => this.process?.threads.filter(({ isAlive }) => isAlive) ?? [],
      wellMs: (service, id) => this.wellMs(service, id),
      questionOf: (service) => this.questionOf(service),
      isConfigured: (service) =>
        this.process?.settings.services.some(({ name }) => name === service) === true,
      listen: (listeners) => this.ports.listen(listeners),
      afterwards: (run) => {
        const { process } = this;
        kernel.after(0, () => {
          if (this.process === process) run();
        });
      },
      isShown: (service, id) =>
        this.process?.upriver.controller
          .service(service)
          ?.endpoints.some((one) => one.id === id) === true,
    });
    this.consul.onFault = (text) => this.judge.fault(text);
    this.consul.onDelivered = (delivered) => {
      this.noteConfig();
      this.judge.onDelivered(delivered);
    };
  }

  async run(): Promise<ControlResult> {
    const { kernel, judge } = this;
    for (const [which] of REGISTERED.entries()) {
      if (kernel.chance(`first ${which}`).happens(0.7)) this.register(which, 1);
    }
    this.startProcess();
    for (const step of this.steps) kernel.at(step.atMs, () => this.take(step));
    let settledMs = -1;
    try {
      await this.pass(FAULTS_END_MS);
      this.endFaults();
      settledMs = await this.settle();
      await this.finish();
    } catch (error) {
      judge.fault(`thrown: ${error instanceof Error ? error.stack : String(error)}`);
    }
    const { eventCount: events } = kernel;
    const { questions } = this.consul;
    return { events, questions, steps: this.steps.length, settledMs, faults: judge.faults };
  }

  private async pass(untilMs: number): Promise<void> {
    const { kernel } = this;
    await kernel.run(untilMs, () => kernel.eventCount > EVENTS_MAX);
    if (kernel.eventCount > EVENTS_MAX) throw new Error(`more than ${EVENTS_MAX} events`);
  }

  // Processes

  private readonly registries: SimRegistries = {
    doors: (isDead) => {
      const open = this.consul.opener(isDead);
      return { loadConsul: () => Promise.resolve({ ConsulProvider, KvWatch, LockWatch, open }) };
    },
    cut: () => {
      for (const one of [...this.consul.open]) one.cut(new Error('gone'));
    },
  };

  private startProcess(): void {
    if (this.isOver) return;
    this.processCount += 1;
    this.words.clear();
    this.judge.begin();
    this.ports.begin();
    this.config.finish();
    const process = new SimProcess(
      {
        kernel: this.kernel,
        registries: this.registries,
        disk: this.disk,
        probe: this.probe,
        resolve: () => this.resolve(),
        probePort: this.ports.probe,
        config: this.config,
        watcher: this.judge,
        directMax: this.directMax,
        onError: (text) => this.judge.fault(text),
        onFailed: () => this.failProcess(),
        // Two may be read in one moment: each is applied.
        onSettings: (process) => {
          if (this.process === process) this.noteConfig();
        },
      },
      this.processCount,
    );
    this.process = process;
    const isSpoilt = this.spoilt !== null && this.disk.files.get(STATE_FILE) === this.spoilt;
    // A registry that answers without them is believed by a process that is new.
    const { instances } = this.consul.state;
    const unknown = [...this.should].filter(([key]) => !instances.has(key));
    const lacking = new Set(unknown.map(([, { service }]) => service));
    this.expectedWarm = this.expectedWarm.filter(({ key }) => {
      const one = this.should.get(key);
      return one !== undefined && instances.has(key) && !lacking.has(one.service);
    });
    if (this.consul.agents.some((agent) => this.consul.lagOf(agent) > 0)) this.expectedWarm = [];
    // The state file of another registry is not read.
    if (JSON.stringify(process.settings.registries.consul) !== this.warmConsul)
      this.expectedWarm = [];
    this.configs = [];
    this.noteConfig();
    process.upriver.controller.events.subscribe((event) => {
      if (this.process === process) this.judge.onEvent(event);
    });
    process.start();
    this.awaitStarted(process, isSpoilt);
  }

  /** When it is ready, what the process before it had must be there. */
  private awaitStarted(process: SimProcess, isSpoilt: boolean): void {
    if (this.process !== process) return;
    if (!process.isStarted) {
      this.kernel.after(10, () => this.awaitStarted(process, isSpoilt));
      return;
    }
    if (isSpoilt && process.isWarm) this.judge.fault('a spoilt state file is served from');
    const shown = shownTable(process.upriver.controller);
    for (const { key, service, question } of this.expectedWarm) {
      // With another source it is another service.
      if (this.questionOf(service) !== question) continue;
      // Without the guard nothing is held while a name is looked up.
      if (service === 'names' && !this.shape.isGuarded) continue;
      const isThere = [...(shown.get(service)?.keys() ?? [])].some((id) => id.startsWith(key));
      const isSure = this.judge.sinceMs.has(key) && !this.judge.wasLeftOut(key);
      if (isThere || !isSure || !this.isWanted(service, key)) continue;
      // Nor is there a service without the one who describes it: first answers are believed.
      if (this.judge.lacksDescription(service)) continue;
      this.judge.fault(`${key} of ${service} is not there after a start with a state file`);
    }
    this.expectedWarm = [];
  }

  private killProcess(step: Extract<Step, { kind: 'crash' }>): void {
    const { process, disk, kernel } = this;
    if (process === null) return;
    this.noteWarm(process, step);
    process.die();
    this.process = null;
    if (step.isPowerLost) disk.losePower();
    this.spoil(step.file);
    kernel.after(step.downMs, () => this.startProcess());
  }

  /** It could not start, for a reason. */
  private failProcess(): void {
    this.process?.die();
    this.process = null;
    this.kernel.after(START_AGAIN_MS, () => this.startProcess());
  }

  /** What must be served after the next start: what was known for a while. */
  private noteWarm(process: SimProcess, { file }: { file: string }): void {
    this.expectedWarm = [];
    const { nowMs } = this.kernel;
    if (file !== 'as it was' || this.disk.fullUntilMs > nowMs - 3000) return;
    // The file is written anew a moment later.
    if (nowMs - process.startedMs < WRITTEN_MS) return;
    // A reload takes its time: until then what is served is of the sources before it.
    this.noteConfig();
    if (this.configs.length > 1 || nowMs - this.reloadedMs < RELOAD_MS) return;
    this.warmConsul = JSON.stringify(process.settings.registries.consul);
    for (const [service, endpoints] of shownTable(process.upriver.controller)) {
      for (const id of endpoints.keys()) {
        const [key = ''] = id.split('@');
        const sinceMs = this.judge.sinceMs.get(key) ?? Number.POSITIVE_INFINITY;
        const isOld = nowMs - sinceMs > 10_000 && this.judge.shownFor(service, id) > WRITTEN_MS;
        const question = this.questionOf(service);
        if (isOld) this.expectedWarm.push({ key, service, question });
      }
    }
  }

  private spoil(fate: string): void {
    const content = this.disk.files.get(STATE_FILE);
    if (content === undefined) return;
    if (fate === 'away') this.disk.files.delete(STATE_FILE);
    const { text } = content;
    if (fate === 'torn') content.text = text.slice(0, text.length * 0.7);
    if (fate === 'cut at a line') {
      const lineEnd = text.lastIndexOf('\n', Math.max(0, text.length - 3));
      content.text = text.slice(0, lineEnd + 1);
    }
    if (fate !== 'as it was') this.spoilt = content;
    if (fate === 'of another version') {
      content.text = content.text.replace('"version":', '"version":9');
    }
    if (fate === 'of another registry') {
      content.text = content.text.replace('"consul":"', '"consul":"f');
    }
  }

  private stopProcess(onStopped: () => void): void {
    const { process } = this;
    if (process === null) return;
    this.process = null;
    this.expectedWarm = [];
    process.stats.close();
    process.upriver.drain().then(
      () => {
        process.config.close();
        this.checkStopped(process);
        onStopped();
      },
      (error: unknown) => this.judge.fault(`the process can't stop: ${String(error)}`),
    );
  }

  private checkStopped(process: SimProcess): void {
    // The bound of the last write may be waited for a moment longer: it holds nothing.
    this.kernel.after(2500, () => {
      if (process.timers.size > 0) this.judge.fault(`${process.timers.size} timers are left over`);
      process.die();
    });
    const alive = process.threads.filter(({ isAlive }) => isAlive).length;
    if (alive > 0) this.judge.fault(`${alive} workers outlive the process`);
  }

  private noteConfig(): void {
    const { process, kernel } = this;
    if (process === null) return;
    const { settings } = process;
    const last = this.configs.at(-1)?.settings;
    if (settings !== last) this.judge.follow(questionsOf(settings));
    const isOther = last !== undefined && !isDeepStrictEqual(settings.registries, last.registries);
    if (isOther) this.judge.startOver();
    for (const one of this.configs) {
      if (one.settings === settings) one.untilMs = Number.POSITIVE_INFINITY;
      else one.untilMs = Math.min(one.untilMs, kernel.nowMs + RELOAD_MS);
    }
    this.configs = this.configs.filter(({ untilMs }) => untilMs > kernel.nowMs);
    const at = this.configs.findIndex((one) => one.settings === settings);
    const [known] = at < 0 ? [] : this.configs.splice(at, 1);
    this.configs.push(known ?? { settings, untilMs: Number.POSITIVE_INFINITY });
  }

  // The truth

  private isWanted(service: string, id: string): boolean {
    // What a process knew of a name it forgets at its end; old addresses go after a while.
    const nameMs = this.kernel.nowMs - this.nameChangedMs;
    if (service === 'names' && (this.isNameGone || nameMs < 60_000)) return false;
    if (
      this.process !== null &&
      !this.configs.some((one) => one.settings === this.process?.settings)
    ) {
      this.noteConfig();
    }
    return this.configs.every(({ settings, untilMs }) => {
      if (untilMs <= this.kernel.nowMs) return true;
      const endpoints = this.expectedBy(settings).get(service);
      const isIt = (one: string): boolean => one === id || one.startsWith(`${id}@`);
      return endpoints !== undefined && [...endpoints.keys()].some(isIt);
    });
  }

  private questionOf(service: string): string {
    const { services = [] } = this.process?.settings ?? {};
    const from = services.find(({ name }) => name === service)?.from[0]?.source;
    return from === undefined ? `|${service}` : `${from.tag}|${from.service}`;
  }

  private expectedBy(settings: Settings): Expected {
    return expectedTable({
      settings,
      instances: [...this.should.values()],
      maintained: this.maintained,
      words: this.words,
      isServing: (place, type) => this.isServing(place, type),
      nameAddresses: this.nameAddresses,
    });
  }

  private isServing(place: string, type: CheckType): boolean {
    const { how } = this.servers[this.places.get(place) ?? -1] ?? { how: 'refuses' as const };
    return how === null || (how === 'answers 500' && type === 'tcp');
  }

  private wellMs(_service: string, id: string): number {
    const one = this.should.get(id);
    if (one === undefined) return 0;
    const server = this.servers[this.places.get(universe.placeOf(one)) ?? -1];
    return server === undefined || server.how !== null ? 0 : this.kernel.nowMs - server.wellSinceMs;
  }

  private setShould(key: string, instance: Instance | null): void {
    if (instance === null) this.should.delete(key);
    else this.should.set(key, instance);
    this.tellTruth(key);
  }

  private tellTruth(key: string): void {
    const one = this.should.get(key) ?? null;
    const isBarred =
      one === null ||
      one.status === 'critical' ||
      one.isInMaintenance ||
      this.maintained.has(one.node);
    this.judge.setTruth(key, one, !isBarred);
  }

  private register(which: number, weight: number): void {
    const base = REGISTERED[which]!;
    const key = keyOf(base);
    const instance = { ...(this.should.get(key) ?? base), weight };
    this.putInstance(which, instance);
  }

  private putInstance(which: number, instance: Instance): void {
    this.places.set(universe.placeOf(instance), which);
    this.servers[which]!.wellSinceMs = Math.max(
      this.servers[which]!.wellSinceMs,
      this.kernel.nowMs,
    );
    this.setShould(keyOf(instance), instance);
    const { consul, kernel } = this;
    if (!this.isAway) consul.write(truth.withInstance(consul.state, kernel.nowMs, instance));
  }

  /** Consul is down: who registers does so when it is back. */
  private isAway = false;

  // Steps

  private take(step: Step): void {
    const { kernel } = this;
    if (kernel.trace.isOn) kernel.trace.add(kernel.nowMs, `STEP ${sentenceOf(step)}`);
    this.noteConfig();
    this.checkAge();
    this.act(step);
  }

  private act(step: Step): void {
    const { consul, kernel, should } = this;
    const { nowMs } = kernel;
    const key = 'which' in step ? keyOf(REGISTERED[step.which]!) : '';
    const known = should.get(key);
    switch (step.kind) {
      case 'register':
        return this.register(step.which, step.weight);
      case 'deregister':
        this.setShould(key, null);
        return consul.write(truth.withoutInstance(consul.state, nowMs, key));
      case 'move':
        if (known !== undefined) this.putInstance(step.which, { ...known, port: known.port + 20 });
        return;
      case 'describe':
        return this.describe(step.which);
      case 'status':
      case 'maintenance': {
        if (known === undefined) return;
        const change =
          step.kind === 'status' ? { status: step.status } : { isInMaintenance: step.isOn };
        this.setShould(key, { ...known, ...change });
        return consul.write(truth.withStatus(consul.state, nowMs, { key, ...change }));
      }
      case 'node-maintenance':
        return this.maintainNode(NODES[step.node]!, step.isOn);
      case 'overlay': {
        const text = OVERLAYS[step.variant] ?? null;
        return consul.write(truth.withKey(consul.state, nowMs, OVERLAY_KEY, text));
      }
      case 'operate':
        return this.operate(step);
      case 'reload':
        this.reloadedMs = nowMs;
        this.config.write(universe.configText(step.variant, this.shape));
        // Who sends a signal has written the file by then.
        if (step.atMs % 3 === 0) {
          kernel.after(40, () => this.process?.config.reload('SIGHUP'));
        }
        return this.noteConfig();
      case 'name':
        this.isNameGone = step.isGone;
        this.nameChangedMs = nowMs;
        if (!step.isGone) this.nameAddresses = [`10.5.0.${1 + (Math.floor(nowMs) % 200)}`];
        return;
      case 'port':
        return this.ports.take(step.port, step.forMs);
      case 'disk-full':
        this.disk.fullUntilMs = nowMs + step.forMs;
        return;
      default:
        return this.harm(step);
    }
  }

  private harm(step: Step): void {
    const { consul, kernel } = this;
    const untilMs = kernel.nowMs + ('forMs' in step ? step.forMs : 0);
    switch (step.kind) {
      case 'agent':
        return this.trouble(step, untilMs);
      case 'cut':
        return consul.cutOpen(consul.agents[step.agent]!, 'read ECONNRESET');
      case 'leaderless':
        for (const agent of consul.agents) consul.begin(agent, { leaderlessUntilMs: untilMs });
        return;
      case 'restart-empty':
        return this.restartEmpty(step);
      case 'lower-indexes':
        return consul.lowerIndexes();
      case 'ambush':
        consul.ambush = () => {
          if (consul.isNoticed) this.restartEmpty({ downMs: 0, backMs: step.backMs });
        };
        return;
      case 'server': {
        const server = this.servers[step.server]!;
        server.how = step.how;
        kernel.at(untilMs, () => this.recover(server, step.how));
        return;
      }
      case 'worker-dies':
        return this.endThread(step.worker);
      case 'worker-slow': {
        const thread = this.process?.threads[step.worker];
        if (thread !== undefined) thread.slowUntilMs = untilMs;
        this.ports.workerIsLate(step.forMs);
        return;
      }
      case 'worker-hangs': {
        const thread = this.process?.threads[step.worker];
        if (thread === undefined) return;
        thread.hungUntilMs = untilMs;
        this.ports.workerIsLate(step.forMs);
        if (step.forMs > HUNG_MS_MAX) this.awaitEnd(thread);
        return;
      }
      case 'crash':
        return this.killProcess(step);
      case 'restart':
        this.stopProcess(() => kernel.after(step.downMs, () => this.startProcess()));
        return;
    }
  }

  private endThread(worker: number): void {
    const { process } = this;
    const thread = process?.threads[worker];
    if (process === null || thread?.isAlive !== true) return;
    // A process whose worker can't begin ends, and whoever runs it starts another.
    process.mayFail ||= !process.isStarted;
    thread.die(1, BUG);
  }

  /** Nobody waits for it for longer. */
  private awaitEnd(thread: SimThread): void {
    const { process, kernel } = this;
    kernel.after(HUNG_MS_MAX, () => {
      const isHung = thread.isAlive && thread.hungUntilMs > kernel.nowMs;
      if (this.process !== process || !isHung) return;
      this.judge.fault(
        `worker ${thread.index} has not answered for ${HUNG_MS_MAX / 1000} s, and lives`,
      );
    });
  }

  private recover(server: Server, how: ServerTrouble): void {
    if (server.how !== how) return;
    server.how = null;
    server.wellSinceMs = this.kernel.nowMs;
  }

  private trouble(step: Extract<Step, { kind: 'agent' }>, untilMs: number): void {
    const { consul } = this;
    const agent = consul.agents[step.agent]!;
    const chance = this.kernel.chance(`trouble ${step.atMs}`);
    switch (step.trouble) {
      case 'down':
        return consul.begin(agent, { downUntilMs: untilMs });
      case 'silent':
        return consul.begin(agent, { silentUntilMs: untilMs });
      case 'limited': {
        const retryAfter = chance.int(0, RETRY_AFTER_MAX);
        return consul.begin(agent, { limitedUntilMs: untilMs, retryAfter });
      }
      case 'failing':
        return consul.begin(agent, { failingUntilMs: untilMs });
      case 'partial':
        return consul.begin(agent, { partialUntilMs: untilMs, isDoubtful: false });
      case 'doubtful':
        return consul.begin(agent, { partialUntilMs: untilMs, isDoubtful: true });
      case 'truncating':
        return consul.begin(agent, { truncatingUntilMs: untilMs });
      case 'indexless':
        return consul.begin(agent, { indexlessUntilMs: untilMs });
      case 'slow':
        return consul.begin(agent, { slowUntilMs: untilMs, slowMs: chance.int(10, 4000) });
      case 'lag': {
        const { lagMs = chance.int(100, 15_000) } = step;
        return consul.begin(agent, { lagUntilMs: untilMs, lagMs });
      }
    }
  }

  private restartEmpty({ downMs, backMs }: { downMs: number; backMs: number }): void {
    const { consul, kernel } = this;
    if (kernel.trace.isOn) kernel.trace.add(kernel.nowMs, 'Consul begins anew');
    consul.restartEmpty(downMs);
    this.isAway = true;
    const chance = kernel.chance(`back ${kernel.nowMs}`);
    kernel.after(downMs, () => {
      this.isAway = false;
      for (const node of this.maintained) {
        consul.write(truth.withNodeMaintenance(consul.state, kernel.nowMs, { node, isOn: true }));
      }
      for (const key of [...this.should.keys()]) {
        kernel.after(chance.between(0, backMs), () => {
          const one = this.should.get(key);
          if (one === undefined || this.isAway || consul.state.instances.has(key)) return;
          consul.write(truth.withInstance(consul.state, kernel.nowMs, one));
        });
      }
    });
  }

  private describe(which: number): void {
    const { service } = REGISTERED[which]!;
    for (const [i, one] of REGISTERED.entries()) {
      const known = this.should.get(keyOf(one));
      if (one.service !== service || known === undefined) continue;
      this.putInstance(i, toggled(known, one));
    }
  }

  private maintainNode(node: string, isOn: boolean): void {
    const { consul, kernel } = this;
    if (isOn) this.maintained.add(node);
    else this.maintained.delete(node);
    for (const [key, one] of this.should) if (one.node === node) this.tellTruth(key);
    if (this.isAway) return;
    consul.write(truth.withNodeMaintenance(consul.state, kernel.nowMs, { node, isOn }));
  }

  private operate({ which, word }: Extract<Step, { kind: 'operate' }>): void {
    const { process } = this;
    if (process?.isStarted !== true) return;
    const { service } = REGISTERED[which]!;
    const id = keyOf(REGISTERED[which]!);
    operate(
      process,
      { service, id, word },
      {
        chance: this.kernel.chance(`operator ${this.kernel.nowMs}`),
        fault: (text) => this.judge.fault(text),
        onDone: () => {
          const before = this.words.get(`${service} ${id}`) ?? { state: 'ready', weight: null };
          const after: Word =
            word === 'weight' ? { ...before, weight: 7 } : { ...before, state: word };
          this.words.set(`${service} ${id}`, after);
        },
      },
    );
  }

  // What is behind the endpoints

  private readonly probe: Probe = (check, { address, port }, signal) => {
    const place = `${address}:${port}`;
    const { how } = this.servers[this.places.get(place) ?? -1] ?? { how: 'refuses' as const };
    this.checkProbe(place, signal);
    return new Promise((resolve) => {
      const tookMs = how === 'is silent' ? check.timeoutMs : 2;
      const isGood = this.isServing(place, check.type);
      const timer = this.kernel.after(tookMs, () => {
        signal.removeEventListener('abort', abort);
        resolve({ isGood, text: isGood ? 'answered' : `${place} ${how}` });
      });
      const abort = (): void => {
        timer.cancel();
        resolve({ isGood: false, text: 'aborted' });
      };
      signal.addEventListener('abort', abort, { once: true });
    });
  };

  /** Nobody is checked who is not in the table. */
  private checkProbe(place: string, signal: AbortSignal): void {
    const { process } = this;
    this.kernel.after(0, () => {
      if (signal.aborted || process === null || this.process !== process) return;
      const services = process.upriver.controller.services();
      const isThere = services.some(({ endpoints }) =>
        endpoints.some(({ address, port }) => `${address}:${port}` === place),
      );
      if (!isThere) this.judge.fault(`${place} is checked, and is not in the table`);
    });
  }

  private resolve(): Promise<{ addresses: readonly string[]; ttlMs: number }> {
    return new Promise((resolve, reject) => {
      this.kernel.after(3, () => {
        if (this.isNameGone) reject(systemError('ENOTFOUND', `queryA ENOTFOUND ${HOST_NAME}`));
        else resolve({ addresses: this.nameAddresses, ttlMs: 10_000 });
      });
    });
  }

  // The end

  private endFaults(): void {
    const { kernel, consul } = this;
    if (kernel.trace.isOn) kernel.trace.add(kernel.nowMs, 'QUIET from now on');
    consul.endTroubles();
    consul.ambush = null;
    this.ports.free();
    // It is looked up again a while later.
    if (this.isNameGone) this.nameChangedMs = kernel.nowMs;
    this.isNameGone = false;
    this.disk.fullUntilMs = 0;
    for (const server of this.servers) {
      if (server.how !== null) this.recover(server, server.how);
    }
    for (const thread of this.process?.threads ?? []) {
      thread.hungUntilMs = 0;
      thread.slowUntilMs = 0;
    }
    this.quiet();
  }

  private quiet(): void {
    for (const thread of this.process?.threads ?? []) thread.isQuiet = true;
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
    const { kernel, judge, boundMs } = this;
    const startMs = kernel.nowMs;
    let wrong: string[] = [];
    while (kernel.nowMs < startMs + boundMs) {
      await this.pass(kernel.nowMs + LOOK_MS);
      this.quiet();
      const { process } = this;
      if (process?.isStarted !== true) continue;
      wrong = differences(
        this.expectedBy(process.settings),
        shownTable(process.upriver.controller),
      );
      if (wrong.length > 0) continue;
      const tookMs = kernel.nowMs - startMs;
      await this.staysSettled(boundMs);
      return tookMs;
    }
    judge.fault(`after ${Math.round(boundMs / 1000)} s of quiet: ${wrong.join('; ')}`);
    return boundMs;
  }

  /** Once it equals the truth it must stay so, as what holds things ends. */
  private async staysSettled(boundMs: number): Promise<void> {
    const { kernel, judge } = this;
    await this.pass(kernel.nowMs + boundMs / 2);
    const process = this.process!;
    const { controller, providers, supervisor } = process.upriver;
    const shown = shownTable(controller);
    this.checkAge();
    const wrong = differences(this.expectedBy(process.settings), shown);
    if (wrong.length > 0) judge.fault(`settled, and then: ${wrong.join('; ')}`);
    judge.compareEvents(shown);
    this.compareWorkers(process);
    this.compareCounts(process);
    this.compareSettings(process);
    const { listeners } = controller.full();
    const unheard = wrongListeners(listeners ?? [], process.settings, shown.keys());
    if (unheard !== '') judge.fault(unheard);
    const { ok, reason } = supervisor.liveness();
    if (!ok) judge.fault(`not live at the end: ${reason}`);
    for (const { name, lastSyncMs, lastError, isSynced } of providers.statuses()) {
      if (name !== 'consul') continue;
      const ageMs = kernel.nowMs - lastSyncMs;
      const ageMsMax = this.shape.waitS * 1000 * (17 / 16) + 5000;
      if (ageMs > ageMsMax) judge.fault(`the sync age is ${Math.round(ageMs)} ms`);
      if (lastError !== '') judge.fault(`an error is shown still: ${lastError}`);
      if (!isSynced) judge.fault('not synced at the end');
    }
    const { ready, reason: why } = process.upriver.readiness();
    if (!ready || why !== '') judge.fault(`not plainly ready at the end: ${why}`);
  }

  /** The sync age is that of the last good answer, at any time. */
  private checkAge(): void {
    const statuses = this.process?.upriver.providers.statuses() ?? [];
    for (const { name, lastSyncMs } of statuses) {
      if (name !== 'consul' || lastSyncMs <= this.consul.lastGoodMs + 50) continue;
      this.judge.fault('the sync age is too young');
    }
  }

  /** Each worker has exactly what was published. */
  private compareWorkers({ upriver, threads }: SimProcess): void {
    const full = upriver.controller.full();
    const services = new Map(full.upsert.map((one) => [one.service.name, one]));
    for (const thread of threads) {
      const name = `worker ${thread.index}`;
      if (thread.version !== full.version) {
        this.judge.fault(`${name} is at version ${thread.version} of ${full.version}`);
      }
      if (!isDeepStrictEqual(sorted(thread.services), sorted(services))) {
        this.judge.fault(`${name} has another table than was published`);
      }
      if (!isDeepStrictEqual(thread.listeners, full.listeners)) {
        this.judge.fault(`${name} has other listeners than were published`);
      }
    }
  }

  /** What runs is what the file says, with the overlay; while that is bad, with a good one before. */
  private compareSettings({ settings }: SimProcess): void {
    const file = { path: 'upriver.yaml', text: this.config.whole };
    const load = (text: string | null): Settings | null => {
      const kv = text === null ? null : { key: OVERLAY_KEY, text };
      return loadSettings({ flags: {}, env: {}, file, kv }).settings;
    };
    const overlay = this.consul.state.keys.get(OVERLAY_KEY)?.text ?? null;
    const wanted = load(overlay);
    const may = wanted === null ? OVERLAYS.map(load) : [wanted];
    if (may.some((one) => isDeepStrictEqual(one, settings))) return;
    this.judge.fault('another configuration runs than the file and the overlay say');
  }

  /** What is in flight in the ledger is what the workers have; that of dead ones is taken back. */
  private compareCounts({ upriver, threads }: SimProcess): void {
    for (let slot = 0; slot < SLOTS_LOOKED_AT; slot += 1) {
      const has = threads.reduce((sum, { inFlight }) => sum + (inFlight.get(slot)?.count ?? 0), 0);
      const counted = upriver.ledger.inFlight(slot);
      if (counted === has) continue;
      this.judge.fault(`slot ${slot} counts ${counted} in flight, and workers have ${has}`);
    }
  }

  /** Stops the process; nothing may be left. */
  private async finish(): Promise<void> {
    const { kernel, judge, consul, process } = this;
    this.isOver = true;
    let isStopped = process === null;
    this.stopProcess(() => {
      isStopped = true;
    });
    await kernel.run(kernel.nowMs + SETTLE_MS, () => isStopped);
    if (!isStopped) judge.fault('the process does not stop');
    if (consul.open.size > 0) judge.fault(`${consul.open.size} questions are left open`);
    const end = await kernel.run(kernel.nowMs + SETTLE_MS);
    if (end !== 'idle') judge.fault(`events are left over: ${kernel.pendingCount}`);
  }
}

/** What is asked of Consul for these services, as the judge names it. */
function questionsOf({ services }: Settings): Set<string> {
  const asked = services.flatMap(({ from }) =>
    from.map(({ source: { tag, service } }) => `${tag}|${service}`),
  );
  return new Set(asked).union(new Set(REGISTERED.map(({ service }) => `|${service}`)));
}

function sorted<T>(map: ReadonlyMap<string, T>): [string, T][] {
  return [...map].sort(([a], [b]) => (a < b ? -1 : 1));
}

/** Its description, or for others a weight of its own, taken away or given back. */
function toggled(known: Instance, base: Instance): Instance {
  if (base.service === 'meta') {
    return { ...known, meta: Object.keys(known.meta).length > 0 ? {} : base.meta };
  }
  const own = base.service === 'shop' ? 'upriver.listen=9500' : 'upriver.weight=3';
  const has = known.tags.includes(own);
  const tags = has ? known.tags.filter((tag) => tag !== own) : [...known.tags, own];
  return { ...known, tags };
}
