// What goes wrong with the registries of a run, and its end.
import type { Kernel } from '../kernel/kernel.ts';
import type { AllRegistries } from './all-registries.ts';
import type { RegistriesJudge } from './judge.ts';
import { type RegistryName, SERVERS } from './members.ts';
import type { ServerTrouble, Step } from './plan.ts';
import type { Registered } from './registered.ts';
import { TTL_MS } from './registrars.ts';
import type { WayTrouble } from './way.ts';
import type { ZookeeperAction } from './zookeeper-plan.ts';

/** Two denials of DNS within so long are in a row: both must be believed. */
const DENIALS_MS = 45_000;
/** A server that is slow, or behind, is so by this much. */
const SLOW_MS = 4000;
/** Within so long after a trouble of the engine all containers have been looked at again. */
const RELOOKED_MS = 20_000;

export interface TroublesOptions {
  readonly kernel: Kernel;
  readonly registries: AllRegistries;
  readonly registered: Registered;
  readonly judge: RegistriesJudge;
}

export class Troubles {
  private readonly options: TroublesOptions;
  private deniedMs: number[] = [];
  /** The engine answers late until then. */
  private engineUntilMs = 0;

  constructor(options: TroublesOptions) {
    this.options = options;
  }

  /** DNS may have denied a name in a way that must be believed. */
  get isDenied(): boolean {
    return this.deniedMs.length > 1;
  }

  /** What runs may be unknown yet though it has been there for a while: the engine is unwell, or was just now. */
  get isEngineLate(): boolean {
    return this.options.kernel.nowMs < this.engineUntilMs + RELOOKED_MS;
  }

  begin(step: Step): void {
    const { kernel, registries } = this.options;
    const { etcd, engine, dns } = registries;
    const untilMs = kernel.nowMs + ('forMs' in step ? step.forMs : 0);
    const isOfEngine =
      'registry' in step ? step.registry === 'docker' : step.kind === 'engine-restart';
    if (isOfEngine) this.engineUntilMs = Math.max(this.engineUntilMs, untilMs);
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
        if (step.how === 'denies once') this.deniedMs.push(kernel.nowMs);
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

  end(): void {
    const { kernel, registries } = this.options;
    registries.endTroubles();
    this.deniedMs = this.deniedMs.filter((ms) => ms > kernel.nowMs - DENIALS_MS);
  }

  private harmZookeeper(action: ZookeeperAction, untilMs: number): void {
    const { registries, registered, judge } = this.options;
    const { zookeeper } = registries;
    switch (action.kind) {
      case 'cut-off': {
        const member = registered.should[action.which];
        if (member != null) registered.zookeeper.cutOff(member, action.forMs);
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
        registered.zookeeper.lost();
        judge.lost('zookeeper');
        return;
    }
  }

  /** All servers are away: those of etcd have no leader meanwhile. */
  private takeAway(registry: RegistryName, forMs: number): void {
    const { kernel, registries } = this.options;
    const { etcd, engine, dns } = registries;
    const untilMs = kernel.nowMs + forMs;
    if (registry === 'docker') return engine.restart(forMs);
    if (registry === 'dns') {
      for (const server of SERVERS.dns) dns.begin(server, 'refuses', untilMs);
      return;
    }
    etcd.loseLeader(forMs, TTL_MS);
    for (const server of SERVERS.etcd) etcd.way.begin(server, { downUntilMs: untilMs });
  }
}

function troubleOf(trouble: ServerTrouble, untilMs: number): Partial<WayTrouble> {
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
