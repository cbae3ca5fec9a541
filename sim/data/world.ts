// A world of the data plane: workers, services, endpoints, clients and changes of one seed, run to its
// end and judged.
import type { AccessRecord } from '../../src/proxy/access-log.ts';
import { Kernel } from '../kernel/kernel.ts';
import type { Trace } from '../kernel/trace.ts';
import { SimNetwork } from '../net/sim-network.ts';
import { Audit } from './audit.ts';
import { Book } from './book.ts';
import { play } from './changes.ts';
import { ConnectionOracle } from './connection-oracle.ts';
import { H2EndpointConnection } from './h2/endpoint-connection.ts';
import { H2Client } from './h2-client.ts';
import { WorkerHost } from './host.ts';
import { HttpClient } from './http-client.ts';
import { HttpEndpointConnection } from './http-endpoint.ts';
import { Intruder } from './intruders.ts';
import { Judge } from './judge.ts';
import { cleanLedger, type SharedLedger } from './ledgers.ts';
import { leftOver } from './left-over.ts';
import { InstantOracles } from './oracles.ts';
import { Periods } from './periods.ts';
import { drawPlan, type EndpointPlan, type WorldPlan } from './plan.ts';
import { playSessions } from './session-changes.ts';
import { SessionOracles } from './session-oracles.ts';
import { Table } from './table.ts';
import { TcpClient, TcpEndpointConnection } from './tcp-actors.ts';
import { Certificates } from './tls/rules.ts';
import { WatchedBuffers, watchBoth } from './watched.ts';

/** No actor waits for so long; beyond it something hangs. */
const HANG_MS = 1_200_000;

type Client = HttpClient | H2Client | TcpClient | Intruder;

export interface WorldResult {
  readonly plan: WorldPlan;
  /** Requests and sessions that came to an end. */
  readonly exchanges: number;
  readonly events: number;
  /** What an oracle found; empty: nothing. */
  readonly faults: readonly string[];
}

export interface WorldOptions {
  readonly trace?: Trace | undefined;
  /** Parts of the plan that are left out. */
  readonly without?: ReadonlySet<string>;
}

/** Runs the world of one seed to its end. */
export function runWorld(seed: number, options: WorldOptions = {}): Promise<WorldResult> {
  const without = options.without ?? new Set<string>();
  return new World(drawPlan(seed, without), options.trace, without).run();
}

class World {
  private readonly plan: WorldPlan;
  private readonly kernel: Kernel;
  private readonly book: Book;
  private readonly network: SimNetwork;
  private readonly buffers: WatchedBuffers;
  private readonly shared: SharedLedger;
  private readonly hosts: WorkerHost[];
  private readonly table: Table;
  private readonly oracles: InstantOracles;
  private readonly listening = new Map<string, () => void>();
  private readonly accepted = new Map<string, number>();
  private readonly certificates: Certificates | null;

  constructor(plan: WorldPlan, trace: Trace | undefined, without: ReadonlySet<string>) {
    this.plan = plan;
    this.kernel = new Kernel(plan.seed, trace);
    const { kernel } = this;
    this.book = new Book(kernel);
    this.buffers = WatchedBuffers.clean((text) => this.book.fault(text));
    const { descriptors, weather: weatherOf } = plan;
    this.network = new SimNetwork(kernel, { weatherOf, descriptors, buffers: this.buffers });
    const shared = cleanLedger(plan.workers);
    this.shared = shared;
    this.hosts = [];
    this.table = new Table(kernel, plan, this.hosts, new Periods(), without.has('limits'));
    this.oracles = new InstantOracles(kernel, {
      book: this.book,
      table: this.table,
      // What another worker frees is seen with the next tick only.
      waitingAt: (worker, name) =>
        plan.workers > 1 ? 0 : (this.hosts[worker]!.context.services.get(name)?.waitingCount ?? 0),
    });
    const connections = new ConnectionOracle(this.book, this.table);
    this.book.onSeen = (attempt) => connections.onSeen(attempt);
    const sessions = new SessionOracles(kernel, { book: this.book, table: this.table });
    this.network.watch = sessions;
    this.table.onApplied = (worker, outs) => sessions.applied(worker, outs);
    const watch = watchBoth(this.oracles, sessions);
    for (let index = 0; index < plan.workers; index += 1) {
      const setting = { shared, index, watch, onAccess: (one: AccessRecord) => this.check(one) };
      this.hosts.push(new WorkerHost(kernel, this.network, setting));
    }
    this.certificates = plan.secure.size === 0 ? null : new Certificates(plan.secure);
    for (const host of this.hosts) host.worker.setTls(this.certificates?.current ?? []);
    for (const endpoint of plan.endpoints) this.setListening(endpoint, true);
  }

  /** The access log says who the client is. */
  private check({ target, client, service }: AccessRecord): void {
    const request = this.book.requests.get(target.slice(1));
    if (request !== undefined && request.address !== client)
      this.book.fault(`${request.id} of ${request.address} is logged as of ${client}`, service);
  }

  async run(): Promise<WorldResult> {
    const { kernel, book, plan, table, hosts, network } = this;
    let clients: Client[] | null = null;
    void table.start().then((errors) => {
      for (const message of errors) book.fault(message);
      clients = this.startClients();
    });
    const drained = this.playChanges();
    // Asked after each event: clients that are done stay so.
    let done = 0;
    const isDone = (): boolean => {
      if (clients === null) return false;
      while (done < clients.length && clients[done]!.isDone) done += 1;
      return done === clients.length;
    };
    try {
      const end = await kernel.run(HANG_MS, isDone);
      if (end !== 'done') this.tellOpen(end);
      const { oracles, buffers, shared } = this;
      const remains = {
        kernel,
        book,
        plan,
        table,
        hosts,
        network,
        oracles,
        buffers,
        shared,
        drained,
      };
      await leftOver(remains);
      new Audit({ ledger: hosts[0]!.ledger, plan, book, table, network }).run();
    } catch (error) {
      book.fault(`the product throws ${error instanceof Error ? error.stack : String(error)}`);
    }
    for (const host of hosts) for (const error of host.errors) book.fault(error);
    const exchanges = [...book.requests.values()].filter(({ end }) => end !== 'open').length;
    return { plan, exchanges, events: kernel.eventCount, faults: book.faults };
  }

  private setListening(endpoint: EndpointPlan, isListening: boolean): void {
    const { name, port } = endpoint;
    this.listening.get(name)?.();
    this.listening.delete(name);
    if (!isListening) return;
    const { kernel, book, network } = this;
    const { habits, service, rejectShare } = endpoint;
    const { isNarrow } = this.plan;
    const { sends } = this.table.services.get(service)!.plan.proxy;
    const setting = { kernel, book, name, service, habits, isNarrow, sends };
    const close = network.serve(port, (end) => {
      const count = (this.accepted.get(name) ?? 0) + 1;
      this.accepted.set(name, count);
      const chance = kernel.chance(`accept ${name} ${count}`);
      if (chance.happens(rejectShare)) {
        book.note(`endpoint ${name} closes a connection as soon as it has it`);
        if (chance.happens(0.5)) end.reset();
        else end.close();
      } else if (endpoint.isH2c) new H2EndpointConnection(setting, end, count);
      else if (endpoint.protocol === 'http') new HttpEndpointConnection(setting, end);
      else new TcpEndpointConnection(setting, end, count);
    });
    this.listening.set(name, close);
  }

  private startClients(): Client[] {
    const { kernel, network, book, plan, table } = this;
    const isNarrow = plan.isNarrow;
    const oracle = new Judge({ kernel, plan, book, table, isNarrow });
    const { judge } = oracle;
    const mayCut = (service: string): boolean => oracle.mayCut(service);
    const mayRefuse = (service: string): boolean => oracle.mayRefuse(service);
    const { certificates } = this;
    const may = { mayCut, mayRefuse };
    const setting = { kernel, network, book, judge, isNarrow, certificates, ...may };
    return [
      ...plan.httpClients.map((client) =>
        client.isHttp2 ? new H2Client(setting, client) : new HttpClient(setting, client),
      ),
      ...plan.tcpClients.map((client) => new TcpClient(setting, client)),
      ...plan.intruders.map((intruder) => new Intruder(setting, intruder)),
    ];
  }

  private playChanges(): Set<number> {
    const { kernel, network, book, hosts, table } = this;
    const drained = new Set<number>();
    const setListening = (endpoint: EndpointPlan, is: boolean): void =>
      this.setListening(endpoint, is);
    const stage = { kernel, network, book, hosts, table, setListening, drained };
    for (const change of this.plan.changes) play(stage, change);
    for (const change of this.plan.sessionChanges) playSessions(stage, change);
    return drained;
  }

  private tellOpen(end: string): void {
    const open = [...this.book.requests.values()].filter((request) => request.end === 'open');
    const ids = open.slice(0, 5).map(({ id, client }) => `${id} of ${client}`);
    this.book.fault(`the clients never come to an end (${end}): ${ids.join(', ')}`);
  }
}
