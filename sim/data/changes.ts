// Plays the changes of a plan: on the table, the workers and the endpoints' machines. Everything is
// undone after a while, but the end of a worker.
import type { EndpointState } from '../../src/model/endpoint.ts';
import type { Chance } from '../kernel/chance.ts';
import type { Kernel } from '../kernel/kernel.ts';
import type { SimNetwork } from '../net/sim-network.ts';
import type { Book } from './book.ts';
import type { WorkerHost } from './host.ts';
import type { ChangePlan, EndpointPlan } from './plan.ts';
import { drawPolicy } from './policy.ts';
import { type EndpointEntry, SETTLE_MS, type ServiceEntry, type Table } from './table.ts';

export interface Stage {
  readonly kernel: Kernel;
  readonly network: SimNetwork;
  readonly book: Book;
  readonly hosts: readonly WorkerHost[];
  readonly table: Table;
  /** Lets an endpoint accept connections, or not any more. */
  readonly setListening: (endpoint: EndpointPlan, isListening: boolean) => void;
  /** Workers that drain; they can't be drained twice. */
  readonly drained: Set<number>;
  /** Gives all workers other certificates; null: there is no TLS. */
  readonly renew: (() => void) | null;
  /** The endpoint forgets its TLS sessions. */
  readonly restart: (endpoint: string) => void;
}

const STATES: readonly EndpointState[] = [
  'down',
  'down',
  'ejected',
  'drain',
  'maint',
  'slow-start',
];
const GRACE_MS = 3000;

export function play(stage: Stage, change: ChangePlan): void {
  const { kernel, table } = stage;
  kernel.at(change.atMs, () => {
    const chance = kernel.chance(change.name);
    const endpoint = chance.pick([...table.endpoints.values()]);
    const service = chance.pick([...table.services.values()]);
    if (endpoint === undefined || service === undefined) return;
    const undo = begin(stage, change, { chance, endpoint, service });
    if (undo !== null) kernel.after(change.forMs, undo);
  });
}

interface Cast {
  readonly chance: Chance;
  readonly endpoint: EndpointEntry;
  readonly service: ServiceEntry;
}

/** Begins the change; returns what undoes it, or null. */
function begin(stage: Stage, change: ChangePlan, cast: Cast): (() => void) | null {
  switch (change.kind) {
    case 'state':
    case 'weight':
    case 'leave':
      return changeEndpoint(stage, change, cast);
    case 'policy':
    case 'service':
    case 'protocol':
    case 'listener':
    case 'panic':
      return changeService(stage, change, cast);
    case 'memory':
      return shortMemory(stage, change, cast.chance);
    case 'refuse':
    case 'mute':
      return changeMachine(stage, change, cast.endpoint);
    case 'drain':
      drainWorker(stage);
      return null;
    case 'certificates':
      stage.renew?.();
      return null;
    case 'endpoint-restart':
      stage.restart(cast.endpoint.plan.name);
      return null;
  }
}

function changeEndpoint(stage: Stage, change: ChangePlan, { chance, endpoint }: Cast): () => void {
  const { table, kernel, book } = stage;
  const { service, name } = endpoint.plan;
  const told = (): void => table.changed([service]);
  if (change.kind === 'weight') {
    endpoint.weight = chance.pick([0, 1, 3, 100]);
    book.note(`control: ${name} gets weight ${endpoint.weight}`);
    told();
    return () => {
      endpoint.weight = endpoint.plan.weight;
      told();
    };
  }
  if (change.kind === 'leave') {
    endpoint.isThere = false;
    book.note(`control: ${name} leaves the table`);
    told();
    return () => {
      endpoint.isThere = true;
      book.note(`control: ${name} joins the table`);
      told();
    };
  }
  endpoint.state = chance.pick(STATES);
  if (endpoint.state === 'slow-start') endpoint.slowStartFromMs = kernel.clock.wallMs();
  if (endpoint.state === 'down' || endpoint.state === 'ejected')
    table.periods.add(`down ${service}`, kernel.nowMs, kernel.nowMs + change.forMs + SETTLE_MS);
  book.note(`control: ${name} is in state ${endpoint.state}`);
  told();
  return () => {
    endpoint.state = 'up';
    book.note(`control: ${name} is up`);
    told();
  };
}

function changeService(
  stage: Stage,
  change: ChangePlan,
  { chance, service }: Cast,
): (() => void) | null {
  const { table, kernel, book } = stage;
  const { name, port, protocol, isPlain, places, follows, isH2c, proxy, upstream, fates } =
    service.plan;
  const told = (removed: string[] = []): void => table.changed([name], removed);
  const during = (key: string): void =>
    table.periods.add(key, kernel.nowMs, kernel.nowMs + change.forMs + SETTLE_MS);
  book.note(`control: ${change.kind} of ${name} changes`);
  switch (change.kind) {
    case 'policy':
      service.policy = drawPolicy(chance, {
        name,
        protocol: service.protocol,
        isPlain,
        places,
        follows,
        isH2c,
        proxy,
        upstream,
        fates,
      });
      service.policies.push(service.policy);
      told();
      return null;
    case 'service':
      during(`gone ${name}`);
      during(`listener ${port}`);
      service.isThere = false;
      told([name]);
      return () => {
        service.isThere = true;
        told();
      };
    case 'protocol':
      book.forgive(name);
      service.protocol = protocol === 'http' ? 'tcp' : 'http';
      service.policy = { ...service.policy, protocol: service.protocol };
      told();
      return () => {
        service.protocol = protocol;
        service.policy = { ...service.policy, protocol };
        told();
      };
    case 'listener':
      during(`listener ${port}`);
      service.isListening = false;
      told();
      return () => {
        service.isListening = true;
        told();
      };
    default:
      service.isPanicking = true;
      told();
      return () => {
        service.isPanicking = false;
        told();
      };
  }
}

function shortMemory(
  { table, hosts, kernel, book }: Stage,
  change: ChangePlan,
  chance: Chance,
): () => void {
  const host = chance.pick(hosts);
  table.periods.add('memory', kernel.nowMs, kernel.nowMs + change.forMs + SETTLE_MS);
  book.note(`memory of worker ${host.context.index} is short`);
  host.worker.setMemory(true);
  return () => {
    book.note(`memory of worker ${host.context.index} suffices`);
    host.worker.setMemory(false);
  };
}

function changeMachine(stage: Stage, change: ChangePlan, { plan }: EndpointEntry): () => void {
  const { kernel, network, table, book } = stage;
  const { name, service, port } = plan;
  const key = `${change.kind} ${service}`;
  table.periods.add(key, kernel.nowMs, kernel.nowMs + change.forMs + SETTLE_MS);
  book.unsteady.add(name);
  if (change.kind === 'refuse') {
    book.note(`endpoint ${name} listens no more`);
    stage.setListening(plan, false);
    return () => {
      book.note(`endpoint ${name} listens again`);
      stage.setListening(plan, true);
    };
  }
  book.note(`packets that open a connection to ${name} are lost`);
  network.setSilent(port, true);
  return () => network.setSilent(port, false);
}

function drainWorker({ hosts, kernel, table, drained, book }: Stage): void {
  // The last one stays: somebody has to serve.
  if (hosts.length - drained.size < 2) return;
  const host = hosts[0]!;
  drained.add(host.context.index);
  book.note(`worker ${host.context.index} drains`);
  table.periods.begin('drain', kernel.nowMs);
  table.periods.begin('grace over', kernel.nowMs + GRACE_MS);
  void host.worker.drain(GRACE_MS);
}
