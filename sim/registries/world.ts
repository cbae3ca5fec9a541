// One run of several registries: etcd by either API, an engine's containers and DNS, whose services one
// process serves, some of them from two registries at a time. After the last fault all is quiet, and the
// table must come to equal what is registered.
import { isDeepStrictEqual } from 'node:util';
import { BUG, Run, type RunResult, sorted } from '../control/run.ts';
import { SimConfig } from '../control/sim-config.ts';
import { SimDisk } from '../control/sim-disk.ts';
import { SimProcess, type SimRegistries } from '../control/sim-process.ts';
import { Kernel } from '../kernel/kernel.ts';
import type { Trace } from '../kernel/trace.ts';
import { RegistriesJudge } from './judge.ts';
import * as universe from './members.ts';
import { MEMBERS, type Member, placeOf, SERVERS } from './members.ts';
import { FAULTS_END_MS, planOf, type Step, sentenceOf } from './plan.ts';
import {
  EngineRegistrar,
  EtcdRegistrar,
  type Registrar,
  TTL_MS,
  ZoneRegistrar,
} from './registrars.ts';
import { SimDns } from './sim-dns.ts';
import { SimEngine } from './sim-engine.ts';
import { SimEtcd } from './sim-etcd.ts';
import { SimZookeeper } from './sim-zookeeper.ts';
import type { WayTrouble } from './way.ts';
import type { ZookeeperAction } from './zookeeper-plan.ts';
import { KIOSK, ZookeeperRegistrar } from './zookeeper-registrar.ts';

const LOOK_MS = 500;
/** Bound of how long it takes until the table equals what is registered: docs/simulator.md. */
const SETTLE_MS = 180_000;
/** Configurations of the last so long are regarded: a reload takes its time. */
const RELOAD_MS = 15_000;
const EVENTS_MAX = 400_000;
/** Two denials of DNS within so long are in a row: both must be believed. */
const DENIALS_MS = 45_000;
/** A server that is slow, or behind, is so by this much. */
const SLOW_MS = 4000;

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
  private readonly steps: readonly Step[];
  private readonly etcd: SimEtcd;
  private readonly engine: SimEngine;
  private readonly dns: SimDns;
  private readonly zookeeper: SimZookeeper;
  private readonly zookeeperRegistrar: ZookeeperRegistrar;
  private readonly etcdRegistrar: EtcdRegistrar;
  private readonly registrars: Readonly<Record<universe.RegistryName, Registrar>>;
  private readonly disk: SimDisk;
  private readonly config: SimConfig;
  private readonly shape: universe.Shape;
  private readonly judge: RegistriesJudge;
  private readonly course: Run;
  /** How each ought to be registered, by its number; null: not at all. */
  private readonly should: (Member | null)[] = MEMBERS.map(() => null);
  private process: SimProcess | null = null;
  private processCount = 0;
  private isOver = false;
  private variants: { readonly variant: number; untilMs: number }[] = [
    { variant: 0, untilMs: Number.POSITIVE_INFINITY },
  ];
  private deniedMs: number[] = [];
  /** Where the table had an endpoint last, by `service endpoint`. */
  private readonly places = new Map<string, string>();

  constructor(kernel: Kernel, steps: readonly Step[]) {
    this.kernel = kernel;
    this.steps = steps;
    const chance = kernel.chance('shape');
    this.shape = {
      api: chance.pick(['v2', 'v3']),
      isAuto: chance.happens(0.3),
      holdS: chance.pick([30, 40]),
    };
    this.etcd = new SimEtcd(kernel, universe.ETCD_MEMBERS, this.shape.api);
    this.engine = new SimEngine(kernel);
    this.dns = new SimDns(kernel);
    this.zookeeper = new SimZookeeper(kernel);
    this.judge = this.makeJudge();
    this.course = new Run(kernel, EVENTS_MAX, (text) => this.judge.fault(text));
    this.etcd.onChange = () => this.judge.note();
    this.etcdRegistrar = new EtcdRegistrar(kernel, this.etcd);
    this.zookeeperRegistrar = new ZookeeperRegistrar(kernel, this.zookeeper);
    this.zookeeper.ensemble.onCommit = () => this.judge.note();
    this.registrars = {
      etcd: this.etcdRegistrar,
      docker: new EngineRegistrar(this.engine),
      dns: new ZoneRegistrar(this.dns),
      zookeeper: this.zookeeperRegistrar,
    };
    this.disk = new SimDisk(kernel);
    this.config = new SimConfig(kernel, universe.configText(0, this.shape));
  }

  private makeJudge(): RegistriesJudge {
    const { kernel } = this;
    return new RegistriesJudge({
      nowMs: () => kernel.nowMs,
      holdMs: this.shape.holdS * 1000,
      isListed: (which) => {
        const member = this.should[which];
        return member != null && this.registrars[member.registry].isListed(member);
      },
      wanted: (which) => this.should[which] ?? null,
      followed: (service) => this.followedOfLate(service),
      shown: (service) => new Set(this.shown().get(service)?.keys()),
      placeOf: (service, endpoint) => this.places.get(`${service} ${endpoint}`) ?? null,
      threads: () => this.process?.threads.filter(({ isAlive }) => isAlive) ?? [],
      afterwards: (run) => {
        const { process } = this;
        kernel.after(0, () => {
          if (this.process === process) run();
        });
      },
      wasDenied: (registry) => registry === 'dns' && this.deniedMs.length > 1,
    });
  }

  async run(): Promise<RunResult> {
    const { kernel, judge } = this;
    for (const which of MEMBERS.keys()) {
      if (kernel.chance(`first ${which}`).happens(0.7)) this.register(which, MEMBERS[which]!);
    }
    this.startProcess();
    const take = (step: Step): void => this.take(step);
    const settledMs = await this.course.play(this.steps, take, async () => {
      await this.course.pass(FAULTS_END_MS);
      this.endFaults();
      const tookMs = await this.settle();
      await this.finish();
      return tookMs;
    });
    const { eventCount: events } = kernel;
    const asked = this.etcd.way.questions + this.engine.way.questions + this.dns.questions;
    const questions = asked + this.zookeeper.questions;
    return { events, questions, steps: this.steps.length, settledMs, faults: judge.faults };
  }

  // Processes

  private readonly ways: SimRegistries = {
    doors: (isDead) => ({
      loadEtcd: () => Promise.resolve(this.etcd.parts(isDead)),
      loadDocker: () => Promise.resolve(this.engine.parts(isDead)),
      loadDns: () => Promise.resolve(this.dns.parts(isDead)),
      loadZookeeper: () => Promise.resolve(this.zookeeper.parts(isDead)),
    }),
    cut: () => {
      this.etcd.way.cut('', 'gone');
      this.engine.way.cut('', 'gone');
      this.zookeeper.cutDead();
    },
  };

  private startProcess(): void {
    if (this.isOver) return;
    this.processCount += 1;
    this.config.finish();
    this.places.clear();
    const process = new SimProcess(
      {
        kernel: this.kernel,
        registries: this.ways,
        disk: this.disk,
        probe: () => Promise.resolve({ isGood: true, text: 'answered' }),
        resolve: () => Promise.reject(new Error('there is no name to be resolved')),
        probePort: () => Promise.resolve(''),
        config: this.config,
        watcher: this.judge,
        directMax: 0,
        onSettings: () => {},
        onError: (text) => this.judge.fault(text),
        onFailed: () => {
          this.process?.die();
          this.process = null;
          this.kernel.after(1000, () => this.startProcess());
        },
      },
      this.processCount,
    );
    this.process = process;
    process.upriver.controller.events.subscribe((event) => {
      if (this.process !== process) return;
      this.judge.onEvent(event);
      this.kernel.after(0, () => this.notePlaces());
    });
    process.start();
  }

  private notePlaces(): void {
    for (const { service, endpoints } of this.process?.upriver.controller.services() ?? []) {
      for (const one of endpoints) this.places.set(`${service.name} ${one.id}`, placeOf(one));
    }
  }

  private endProcess({ kind, downMs }: Extract<Step, { kind: 'crash' | 'restart' }>): void {
    const { process, kernel } = this;
    if (process === null) return;
    this.process = null;
    const startAgain = (): void => void kernel.after(downMs, () => this.startProcess());
    if (kind === 'restart') return this.course.stop(process, startAgain);
    process.die();
    startAgain();
  }

  // Steps

  private take(step: Step): void {
    const { kernel } = this;
    if (kernel.trace.isOn) kernel.trace.add(kernel.nowMs, `STEP ${sentenceOf(step)}`);
    this.act(step);
    this.judge.note();
  }

  private act(step: Step): void {
    const { etcd, kernel } = this;
    switch (step.kind) {
      case 'register':
        return this.register(step.which, this.should[step.which] ?? MEMBERS[step.which]!);
      case 'deregister':
        return this.deregister(step.which);
      case 'move':
        return this.move(step.which);
      case 'stop':
        return this.stop(step.which);
      case 'pause':
        return this.pause(step.which, step.isOn);
      case 'compact':
        return etcd.store.compact();
      case 'begin-anew':
        etcd.store.beginAnew();
        return etcd.way.cut('', 'other side closed');
      case 'noise':
        for (let i = 0; i < step.count; i += 1) etcd.store.put(`/other/${i}`, `${i}`, null);
        return;
      case 'reload':
        this.reload(step.variant);
        return;
      case 'worker-dies': {
        const { process } = this;
        if (process === null) return;
        process.mayFail ||= !process.isStarted;
        process.threads[step.worker]?.die(1, BUG);
        return;
      }
      case 'crash':
      case 'restart':
        return this.endProcess(step);
      default:
        return this.harm(step, kernel.nowMs + ('forMs' in step ? step.forMs : 0));
    }
  }

  private harmZookeeper(action: ZookeeperAction, untilMs: number): void {
    const { zookeeper, zookeeperRegistrar, judge } = this;
    switch (action.kind) {
      case 'cut-off': {
        const member = this.should[action.which];
        if (member != null) zookeeperRegistrar.cutOff(member, action.forMs);
        return;
      }
      case 'zookeeper':
        return zookeeper.begin(action.member, action.how, untilMs);
      case 'quorum-lost':
        return zookeeper.loseQuorum(action.forMs);
      case 'connections-break':
        return zookeeper.breakAll(() => true);
      case 'znodes-lost':
        zookeeper.breakAll(() => true);
        zookeeper.ensemble.beginAnew();
        zookeeperRegistrar.lost();
        judge.lost('zookeeper');
        return;
    }
  }

  private harm(step: Step, untilMs: number): void {
    const { etcd, engine, dns } = this;
    switch (step.kind) {
      case 'server': {
        const { registry, server, trouble } = step;
        if (registry === 'dns' || registry === 'zookeeper') return;
        const way = registry === 'etcd' ? etcd.way : engine.way;
        return way.begin(SERVERS[registry][server]!, troubleOf(trouble, untilMs));
      }
      case 'all-servers':
        return this.takeAway(step.registry, step.forMs);
      case 'dns':
        if (step.how === 'denies once') this.deniedMs.push(this.kernel.nowMs);
        return dns.begin(SERVERS.dns[step.server]!, step.how, untilMs);
      case 'cut':
        return (step.registry === 'etcd' ? etcd : engine).way.cut('', 'read ECONNRESET');
      case 'leaderless':
        return etcd.loseLeader(step.forMs, TTL_MS);
      case 'engine-restart':
        return engine.restart(step.forMs);
      case 'cut-off':
      case 'zookeeper':
      case 'quorum-lost':
      case 'connections-break':
      case 'znodes-lost':
        return this.harmZookeeper(step, untilMs);
    }
  }

  /** All servers are away: those of etcd have no leader meanwhile. */
  private takeAway(registry: universe.RegistryName, forMs: number): void {
    const untilMs = this.kernel.nowMs + forMs;
    if (registry === 'docker') return this.engine.restart(forMs);
    if (registry === 'dns') {
      for (const server of SERVERS.dns) this.dns.begin(server, 'refuses', untilMs);
      return;
    }
    this.etcd.loseLeader(forMs, TTL_MS);
    for (const server of SERVERS.etcd) this.etcd.way.begin(server, { downUntilMs: untilMs });
  }

  private register(which: number, member: Member): void {
    const isOther = this.should[which] !== member;
    this.should[which] = member;
    if (isOther) this.judge.forget(which);
    // A container that runs is not started a second time.
    const registrar = this.registrars[member.registry];
    if (member.registry !== 'docker' || !registrar.isListed(member)) {
      // It may be paused, and is another one from now on.
      this.judge.forget(which);
      registrar.put(member);
    }
    this.judge.note();
  }

  private deregister(which: number): void {
    const known = this.should[which];
    if (known == null) return;
    this.should[which] = null;
    this.judge.forget(which);
    this.registrars[known.registry].remove(known);
  }

  private move(which: number): void {
    const known = this.should[which];
    if (known == null) return;
    this.register(which, { ...known, port: known.port + 20 });
  }

  private stop(which: number): void {
    const known = this.should[which];
    if (known?.registry !== 'docker') return;
    this.should[which] = null;
    this.judge.forget(which);
    this.engine.stop(known.name, this.kernel.chance(`stop ${this.kernel.nowMs}`).between(10, 9000));
  }

  private pause(which: number, isOn: boolean): void {
    const known = this.should[which];
    if (known?.registry !== 'docker') return;
    this.judge.forget(which);
    this.engine.pause(known.name, isOn);
  }

  private reload(variant: number): void {
    const { nowMs } = this.kernel;
    for (const one of this.variants) one.untilMs = Math.min(one.untilMs, nowMs + RELOAD_MS);
    this.variants = this.variants.filter(({ untilMs }) => untilMs > nowMs);
    this.variants.push({ variant, untilMs: Number.POSITIVE_INFINITY });
    this.config.write(universe.configText(variant, this.shape));
    this.kernel.after(40, () => this.process?.config.reload('SIGHUP'));
  }

  private followedOfLate(service: string): readonly string[] {
    if (service === 'shop') return ['etcd|shop'];
    if (service === KIOSK) return [`zookeeper|${KIOSK}`];
    const { nowMs } = this.kernel;
    const all = this.variants
      .filter(({ untilMs }) => untilMs > nowMs)
      .map(({ variant }) => universe.followedBy(variant).get(service) ?? []);
    return (all[0] ?? []).filter((source) => all.every((sources) => sources.includes(source)));
  }

  // The end

  private endFaults(): void {
    const { kernel, etcd, engine, dns } = this;
    if (kernel.trace.isOn) kernel.trace.add(kernel.nowMs, 'QUIET from now on');
    etcd.way.endTroubles();
    engine.way.endTroubles();
    dns.endTroubles();
    etcd.findLeader(TTL_MS);
    this.zookeeper.endTroubles();
    this.deniedMs = this.deniedMs.filter((ms) => ms > kernel.nowMs - DENIALS_MS);
    this.quiet();
  }

  private quiet(): void {
    for (const thread of this.process?.threads ?? []) thread.isQuiet = true;
  }

  /** What the table must have: service -> place -> state. */
  private expected(): Map<string, Map<string, string>> {
    const table = new Map<string, Map<string, string>>();
    const { variant } = this.variants.at(-1)!;
    for (const [service, sources] of [...universe.followedBy(variant), ...OWN_SOURCES]) {
      const places = this.should.flatMap((member) => {
        if (member === null || !sources.includes(`${member.registry}|${member.service}`)) return [];
        return this.registrars[member.registry].isListed(member) ? [placeOf(member)] : [];
      });
      if (service === KIOSK && places.length === 0 && !this.mayLinger()) continue;
      table.set(service, new Map(places.map((place) => [place, 'up'])));
    }
    return table;
  }

  /**
   * Nothing is served of a service that nobody describes any more, unless all of ZooKeeper is bare: then its
   * listener answers 503 (docs/zookeeper.md).
   */
  private mayLinger(): boolean {
    const isBare = this.should.every(
      (member) => member?.registry !== 'zookeeper' || !this.zookeeperRegistrar.isListed(member),
    );
    const services = this.process?.upriver.controller.services() ?? [];
    return isBare && services.some(({ service }) => service.name === KIOSK);
  }

  private shown(): Map<string, Map<string, string>> {
    const services = this.process?.upriver.controller.services() ?? [];
    return new Map(
      services.map(({ service, endpoints }) => [
        service.name,
        new Map(endpoints.map((one) => [placeOf(one), one.state as string])),
      ]),
    );
  }

  private wrong(): string[] {
    const [expected, shown] = [this.expected(), this.shown()];
    return [...new Set([...expected.keys(), ...shown.keys()])].flatMap((service) => {
      const [must, is] = [expected.get(service), shown.get(service)];
      if (is === undefined) return [`service ${service} is missing`];
      if (must === undefined) return [`service ${service} is there still`];
      return [...new Set([...must.keys(), ...is.keys()])].flatMap((place) => {
        const [a = 'nothing', b = 'nothing'] = [must.get(place), is.get(place)];
        return a === b ? [] : [`${place} of ${service} is '${b}', and should be '${a}'`];
      });
    });
  }

  /** Resolves with how long it took, ms. */
  private async settle(): Promise<number> {
    const { kernel, judge } = this;
    const startMs = kernel.nowMs;
    let wrong: string[] = [];
    while (kernel.nowMs < startMs + SETTLE_MS) {
      await this.course.pass(kernel.nowMs + LOOK_MS);
      this.quiet();
      if (this.process?.isStarted !== true) continue;
      wrong = this.wrong();
      if (wrong.length > 0) continue;
      const tookMs = kernel.nowMs - startMs;
      await this.staysSettled();
      return tookMs;
    }
    judge.fault(`after ${SETTLE_MS / 1000} s of quiet: ${wrong.join('; ')}`);
    return SETTLE_MS;
  }

  /** Once it equals what is registered it must stay so, as what holds things ends. */
  private async staysSettled(): Promise<void> {
    const { kernel, judge } = this;
    await this.course.pass(kernel.nowMs + SETTLE_MS / 2);
    const wrong = this.wrong();
    if (wrong.length > 0) judge.fault(`settled, and then: ${wrong.join('; ')}`);
    const { upriver, threads } = this.process!;
    const full = upriver.controller.full();
    const services = new Map(full.upsert.map((one) => [one.service.name, one]));
    for (const thread of threads) {
      if (isDeepStrictEqual(sorted(thread.services), sorted(services))) continue;
      judge.fault(`worker ${thread.index} has another table than was published`);
    }
    for (const { name, lastError, isSynced } of upriver.providers.statuses()) {
      if (lastError !== '') judge.fault(`an error of ${name} is shown still: ${lastError}`);
      if (!isSynced) judge.fault(`${name} is not synced at the end`);
    }
    const { ready, reason } = upriver.readiness();
    if (!ready || reason !== '') judge.fault(`not plainly ready at the end: ${reason}`);
  }

  /** Stops the process; nothing may be left. */
  private finish(): Promise<void> {
    const { process, etcd, engine, course } = this;
    this.isOver = true;
    this.etcdRegistrar.close();
    this.zookeeperRegistrar.close();
    this.process = null;
    const { zookeeper } = this;
    const openCount = (): number => etcd.way.open.size + engine.way.open.size + zookeeper.open.size;
    return course.finish(process, openCount);
  }
}

/** Of services that describe themselves. */
const OWN_SOURCES: readonly (readonly [string, readonly string[]])[] = [
  ['shop', ['etcd|shop']],
  [KIOSK, [`zookeeper|${KIOSK}`]],
];

function troubleOf(
  trouble: Extract<Step, { kind: 'server' }>['trouble'],
  untilMs: number,
): Partial<WayTrouble> {
  switch (trouble) {
    case 'down':
      return { downUntilMs: untilMs };
    case 'silent':
      return { silentUntilMs: untilMs };
    case 'slow':
      return { slowUntilMs: untilMs, slowMs: SLOW_MS };
    case 'failing':
      return { failingUntilMs: untilMs };
    case 'behind':
      return { lagUntilMs: untilMs, lagMs: SLOW_MS };
  }
}
