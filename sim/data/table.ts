// The control plane's stand-in: the table of services and endpoints, changed as the plan says, and told
// to each worker by deltas that take a moment, as messages do.

import type { EffectiveEndpoint, EndpointState } from '../../src/model/endpoint.ts';
import {
  formatListen,
  type ListenAddress,
  type ListenPolicy,
  PLAIN_LISTEN,
} from '../../src/model/listener.ts';
import type { Route } from '../../src/model/route.ts';
import type { Protocol, Service } from '../../src/model/service.ts';
import type { ListenerSnapshot, ServiceSnapshot, SnapshotDelta } from '../../src/model/snapshot.ts';
import { loopback, makeListener, makeService } from '../../test/support/service.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { unixPathOf } from '../net/sim-network.ts';
import type { WorkerHost } from './host.ts';
import { TRUSTED_NETWORK } from './introductions.ts';
import type { Periods } from './periods.ts';
import {
  type EndpointPlan,
  FIRST_ENDPOINT_PORT,
  ROUTER_NAME,
  ROUTER_PORT,
  type ServicePlan,
  type WorldPlan,
} from './plan.ts';
import { drawPolicy } from './policy.ts';
import type { Out } from './session-oracles.ts';
import { passRoutes } from './tls/pass.ts';
import { type ListenRules, listenTlsOf } from './tls/rules.ts';
import { nameOf } from './tls/upstream-rules.ts';

/** After so long every worker has applied a change, and what it did to a request has shown, ms. */
export const SETTLE_MS = 100;
const MESSAGE_MS_MAX = 15;
const { limits, timeouts } = makeService();
/** A client of the router must not keep it waiting either. */
const ROUTER_POLICY = {
  limits,
  timeouts: { ...timeouts, clientHeaderMs: 3000, idleBodyMs: 4000 },
};

export interface ServiceEntry {
  readonly plan: ServicePlan;
  protocol: Protocol;
  policy: Service;
  /** Every policy that it had. */
  readonly policies: Service[];
  /** What workers were told last: of a service that is gone they are told nothing. */
  policyTold: Service;
  isThere: boolean;
  isListening: boolean;
  isPanicking: boolean;
  /** The name of the primary; '' is none. Of a service that follows it. */
  primary: string;
}

export interface EndpointEntry {
  readonly plan: EndpointPlan;
  state: EndpointState;
  weight: number;
  isThere: boolean;
  slowStartFromMs: number;
}

/** What one worker may be working with: the deltas that it has, and those it is applying. */
interface View {
  lastMs: number;
  readonly told: Told[];
}

/** What a delta says of the endpoints, by slot. */
interface Told {
  readonly usable: ReadonlySet<number>;
  readonly outs: ReadonlyMap<number, Out>;
}

export class Table {
  readonly services = new Map<string, ServiceEntry>();
  readonly endpoints = new Map<string, EndpointEntry>();
  readonly bySlot = new Map<number, EndpointEntry>();
  private readonly byService = new Map<string, EndpointEntry[]>();
  readonly periods: Periods;
  /** Services in which something has changed at any time: asked with each attempt. */
  private readonly altered = new Set<string>();
  /** A worker has this table, and no other is on its way to it. */
  onApplied: ((worker: number, outs: ReadonlyMap<number, Out>) => void) | null = null;
  private readonly kernel: Kernel;
  private readonly hosts: readonly WorkerHost[];
  private readonly views: View[];
  /** Of every listener. */
  private readonly listen: ListenPolicy;
  private readonly secure: ReadonlyMap<string, ListenRules>;
  private version = 0;
  private readonly without = new Map<string, { toMs: number }>();
  private readonly ending = new Map<string, { fromMs: number; toMs: number }>();
  /** Until when workers may differ. */
  private unsettledMs = 0;

  constructor(
    kernel: Kernel,
    plan: WorldPlan,
    hosts: readonly WorkerHost[],
    periods: Periods,
    plain: boolean,
  ) {
    this.kernel = kernel;
    this.hosts = hosts;
    this.periods = periods;
    this.listen = { ...PLAIN_LISTEN, http2: plan.hasHttp2 };
    this.secure = plan.secure;
    this.views = Array.from({ length: plan.workers }, () => ({ lastMs: 0, told: [] }));
    for (const service of plan.services) {
      const { name, protocol, isPlain, places, follows, isH2c, proxy, upstream, fates } = service;
      this.byService.set(name, []);
      const chance = kernel.chance(`policy of ${name}`);
      const policy = drawPolicy(chance, {
        name,
        protocol,
        isPlain: isPlain || plain,
        places: plain ? 0 : places,
        follows,
        isH2c,
        proxy,
        upstream,
        fates,
      });
      const first = plan.endpoints.find((one) => one.service === name);
      const primary = service.follows ? (first?.name ?? '') : '';
      const flags = { isThere: true, isListening: true, isPanicking: false, primary };
      const policies = { policy, policies: [policy], policyTold: policy };
      this.services.set(name, { plan: service, protocol, ...policies, ...flags });
    }
    for (const endpoint of plan.endpoints) {
      const entry: EndpointEntry = {
        plan: endpoint,
        state: 'up',
        weight: endpoint.weight,
        isThere: true,
        slowStartFromMs: 0,
      };
      this.endpoints.set(endpoint.name, entry);
      this.bySlot.set(endpoint.slot, entry);
      this.byService.get(endpoint.service)!.push(entry);
    }
  }

  hasChanged(service: string): boolean {
    return this.altered.has(service);
  }

  endpointsOf(service: string): readonly EndpointEntry[] {
    return this.byService.get(service)!;
  }

  get isSettled(): boolean {
    return this.kernel.nowMs > this.unsettledMs;
  }

  /** Whether worker `index` may give new work to this endpoint. */
  mayUse(index: number, slot: number): boolean {
    return this.views[index]!.told.some(({ usable }) => usable.has(slot));
  }

  /** Whether worker `index` knows that this endpoint is not the primary. */
  isBarred(index: number, slot: number): boolean {
    const { told } = this.views[index]!;
    return told.length > 0 && told.every(({ outs }) => outs.get(slot)?.isStandby === true);
  }

  /** Of the endpoint that listens there; -1: none. */
  slotOfPort(port: number): number {
    const slot = port - FIRST_ENDPOINT_PORT;
    return this.bySlot.has(slot) ? slot : -1;
  }

  /** Tells every worker everything; resolves when all have applied it. */
  async start(): Promise<string[]> {
    for (const name of this.services.keys()) this.notePlaces(name);
    const all = await Promise.all(this.publish([...this.services.keys()], []));
    return all.flat();
  }

  /** The table has changed in these services: tells the workers. */
  changed(names: readonly string[], removed: readonly string[] = []): void {
    const { kernel } = this;
    for (const name of names) {
      this.periods.add(`table ${name}`, kernel.nowMs, kernel.nowMs + SETTLE_MS);
      this.altered.add(name);
      this.notePlaces(name);
      this.noteEnds(name);
    }
    void Promise.all(this.publish(names, removed));
  }

  /** Notes the times in which a service has no endpoint that may take work. */
  private notePlaces(name: string): void {
    const { nowMs } = this.kernel;
    const open = this.without.get(name);
    const entry = this.services.get(name)!;
    const isUsable = this.endpointsOf(name).some((one) => isUsed(one, entry));
    if (!isUsable && open === undefined) {
      this.without.set(name, this.periods.begin(`none ${name}`, nowMs));
    } else if (isUsable && open !== undefined) {
      open.toMs = nowMs + SETTLE_MS;
      this.without.delete(name);
    }
  }

  /** Notes from when on sessions may end because of their endpoint. */
  private noteEnds(name: string): void {
    const { nowMs } = this.kernel;
    const service = this.services.get(name)!;
    for (const entry of this.endpointsOf(name)) {
      const key = `ends ${entry.plan.name}`;
      const fateMs = outOf(entry, service)?.fateMs ?? null;
      const open = this.ending.get(key);
      if (isUsed(entry, service)) {
        if (open !== undefined) open.toMs = nowMs + SETTLE_MS;
        this.ending.delete(key);
      } else if (fateMs !== null && nowMs + fateMs < (open?.fromMs ?? Number.POSITIVE_INFINITY)) {
        this.ending.set(key, this.periods.begin(key, nowMs + fateMs));
      }
    }
  }

  private publish(names: readonly string[], removed: readonly string[]): Promise<string[]>[] {
    const { kernel } = this;
    this.version += 1;
    for (const name of names) {
      const entry = this.services.get(name)!;
      if (entry.isThere) entry.policyTold = entry.policy;
    }
    const delta: SnapshotDelta = {
      version: this.version,
      upsert: names
        .filter((name) => this.services.get(name)!.isThere)
        .map((name) => this.snapshotOf(name)),
      remove: removed,
      listeners: this.listeners(),
    };
    const usable = new Set<number>();
    const outs = new Map<number, Out>();
    for (const entry of this.endpoints.values()) {
      const service = this.services.get(entry.plan.service)!;
      const out = outOf(entry, service);
      if (out === null) usable.add(entry.plan.slot);
      else outs.set(entry.plan.slot, out);
    }
    this.unsettledMs = kernel.nowMs + SETTLE_MS;
    return this.hosts.map((host, i) =>
      this.tell(host, this.views[i]!, { delta, told: { usable, outs } }),
    );
  }

  private tell(
    host: WorkerHost,
    view: View,
    { delta, told }: { delta: SnapshotDelta; told: Told },
  ): Promise<string[]> {
    const { kernel } = this;
    const chance = kernel.chance(`message ${delta.version} to ${host.context.index}`);
    view.lastMs = Math.max(view.lastMs, kernel.nowMs + chance.between(0, MESSAGE_MS_MAX));
    return new Promise((resolve) => {
      kernel.at(view.lastMs, () => {
        view.told.push(told);
        void host.worker.apply(delta).then((errors) => {
          view.told.splice(0, view.told.indexOf(told));
          if (view.told.length === 1) this.onApplied?.(host.context.index, told.outs);
          resolve(errors.map(({ message }) => message));
        });
      });
    });
  }

  private snapshotOf(name: string): ServiceSnapshot {
    const entry = this.services.get(name)!;
    const endpoints = this.endpointsOf(name)
      .filter(({ isThere }) => isThere)
      .map((one) => effective(one, entry));
    const { plan, policy, isPanicking } = entry;
    return { service: policy, slot: plan.slot, isPanicking, priority: 1, endpoints };
  }

  private tcpBeside(name: string): string[] {
    return [...this.services.values()]
      .map(({ plan }) => plan)
      .filter((plan) => plan.protocol === 'tcp' && plan.name !== name)
      .map((plan) => plan.name);
  }

  private listenAs(listener: string): ListenPolicy {
    const rules = this.secure.get(listener);
    return rules === undefined
      ? this.listen
      : { ...this.listen, tls: listenTlsOf(listener, rules) };
  }

  private listeners(): ListenerSnapshot[] {
    const list: ListenerSnapshot[] = [];
    for (const { plan, policy, isThere, isListening } of this.services.values()) {
      if (!isThere || !isListening) continue;
      const plain = makeListener(policy, addressOf(plan));
      const acceptProxy = plan.proxy.accepts ? [TRUSTED_NETWORK] : [];
      const listen = { ...this.listenAs(plan.name), acceptProxy };
      if (plan.passes === null || policy.protocol !== 'tcp')
        list.push({ ...plain, policy: listen });
      else {
        const sniRoutes = passRoutes(plan.name, plan.passes, this.tcpBeside(plan.name));
        list.push({ ...plain, service: '', sniRoutes, policy: { ...listen, tls: 'pass' } });
      }
    }
    const address = loopback(ROUTER_PORT);
    const routes = [...this.services.values()]
      .filter(({ plan }) => plan.protocol === 'http')
      .map(({ plan }) => routeTo(plan.name));
    const key = formatListen(address);
    const rules = { ...ROUTER_POLICY, policy: this.listenAs(ROUTER_NAME) };
    list.push({ key, address, protocol: 'http', service: '', routes, ...rules });
    return list;
  }
}

/** Whether the endpoint may get new work. */
export function isUsed(entry: EndpointEntry, service: ServiceEntry): boolean {
  if (!entry.isThere || entry.weight === 0 || !service.isThere) return false;
  if (isStandby(entry, service)) return false;
  if (entry.state === 'up' || entry.state === 'slow-start') return true;
  return service.isPanicking && isOut(stateOf(entry));
}

/** Another endpoint is the primary, or none is. */
function isStandby({ plan }: EndpointEntry, service: ServiceEntry): boolean {
  return service.plan.follows && service.primary !== plan.name;
}

/** Why the endpoint gets no new work, and what becomes of its sessions; null where it gets some. */
function outOf(entry: EndpointEntry, service: ServiceEntry): Out | null {
  if (isUsed(entry, service)) return null;
  // A service that is not there is told no policy: its sessions keep the rules that they had.
  const policy = service.isThere ? service.policy : service.policyTold;
  const isHere = entry.isThere && service.isThere;
  // Who has left is the primary no more.
  if (service.plan.follows && (!isHere || isStandby(entry, service)))
    return { policy, isStandby: true, fateMs: 0 };
  const { onDownMs, onDrainMs } = policy.tcp;
  return {
    policy,
    isStandby: false,
    fateMs: isHere && isOut(stateOf(entry)) ? onDownMs : onDrainMs,
  };
}

/** As reconcile decides: without a weight it drains, whatever its health. */
function stateOf({ state, weight }: EndpointEntry): EndpointState {
  return weight === 0 && state !== 'maint' ? 'drain' : state;
}

function isOut(state: EndpointState): boolean {
  return state === 'down' || state === 'ejected';
}

function effective(entry: EndpointEntry, service: ServiceEntry): EffectiveEndpoint {
  const { plan, weight, slowStartFromMs } = entry;
  const { upstream } = service.plan;
  const standby = isStandby(entry, service);
  const state = standby ? 'down' : stateOf(entry);
  return {
    id: plan.name,
    address: '127.0.0.1',
    ...(upstream === null ? {} : { hostName: nameOf(upstream, plan.service, plan.name) }),
    port: plan.port,
    weight,
    state,
    reason: '',
    sinceMs: 0,
    slot: plan.slot,
    isSpare: isOut(state) && !standby,
    ...(standby ? { isStandby: true } : {}),
    slowStartFromMs: state === 'slow-start' ? slowStartFromMs : 0,
    priority: 1,
  };
}

function addressOf({ port, isUnix }: ServicePlan): ListenAddress {
  return isUnix ? { kind: 'unix', path: unixPathOf(port) } : loopback(port);
}

function routeTo(service: string): Route {
  return {
    host: `${service}.sim`,
    path: '/',
    service,
    stripPrefix: '',
    addPrefix: '',
    rewriteHost: '',
    redirect: null,
  };
}
