// A world of the data plane: workers, services, endpoints, clients and changes of one seed, run to its
// end and judged.
import type { UpstreamTls } from '../../src/model/service.ts';
import type { AccessRecord } from '../../src/proxy/access-log.ts';
import { reuseRoom } from '../kernel/bytes.ts';
import { Kernel } from '../kernel/kernel.ts';
import type { Trace } from '../kernel/trace.ts';
import type { ActorEnd } from '../net/actor-end.ts';
import { SimNetwork } from '../net/sim-network.ts';
import { drawAcceptMs } from '../net/weather.ts';
import { Audit } from './audit.ts';
import { type Attempt, Book } from './book.ts';
import { play } from './changes.ts';
import { ConnectionOracle } from './connection-oracle.ts';
import { drawPlan } from './draw-plan.ts';
import { H2EndpointConnection } from './h2/endpoint-connection.ts';
import { H2Client } from './h2-client.ts';
import { WorkerHost } from './host.ts';
import { HttpClient } from './http-client.ts';
import { type EndpointSetting, HttpEndpointConnection } from './http-endpoint.ts';
import { Intruder } from './intruders.ts';
import { Judge } from './judge.ts';
import { cleanLedger, type SharedLedger } from './ledgers.ts';
import { leftOver } from './left-over.ts';
import { InstantOracles } from './oracles.ts';
import { Periods } from './periods.ts';
import { type EndpointPlan, NO_ADDRESS, type WorldPlan } from './plan.ts';
import { playSessions } from './session-changes.ts';
import { SessionOracles } from './session-oracles.ts';
import { Table } from './table.ts';
import { TcpClient, TcpEndpointConnection } from './tcp-actors.ts';
import { HttpValidator } from './tls/http-validators.ts';
import { Choosing } from './tls/minds.ts';
import { playOrders } from './tls/orders.ts';
import { PASSED_RULES, passedName } from './tls/pass.ts';
import { PassJudge } from './tls/pass-judge.ts';
import { Certificates } from './tls/rules.ts';
import { SecureEndpoint } from './tls/secure-endpoint.ts';
import { Stranger } from './tls/strangers.ts';
import { nameOf, upstreamMaterials, upstreamTlsOf } from './tls/upstream-rules.ts';
import { Validator } from './tls/validators.ts';
import { WatchedBuffers, watchBoth } from './watched.ts';

/** No actor waits for so long; beyond it something hangs. */
const HANG_MS = 1_200_000;
/** A message to a worker takes so long at most. */
const MESSAGE_MS = 15;
/** Handshakes that began before a renewal are over. */
const RENEWED_MS = 5000;

interface Speaking {
  readonly setting: EndpointSetting;
  readonly end: ActorEnd;
  /** Connections that it has had so far. */
  readonly count: number;
  /** By ALPN, whatever it speaks otherwise. */
  readonly isHttp1?: boolean;
}

type Client = HttpClient | H2Client | TcpClient | Intruder | Stranger | Validator | HttpValidator;

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
  private readonly passed: PassJudge;
  private readonly listening = new Map<string, () => void>();
  private readonly accepted = new Map<string, number>();
  private readonly certificates: Certificates | null;
  /** What services speak to their endpoints. */
  private readonly upstream: readonly UpstreamTls[];
  private readonly secured = new Map<string, SecureEndpoint>();
  private renewals = 0;
  private judge: Judge | null = null;

  constructor(plan: WorldPlan, trace: Trace | undefined, without: ReadonlySet<string>) {
    this.plan = plan;
    reuseRoom();
    this.kernel = new Kernel(plan.seed, trace, 'microtasks');
    const { kernel } = this;
    this.book = new Book(kernel);
    this.buffers = WatchedBuffers.clean((text) => this.book.fault(text));
    // In more than half of the worlds there is too little room for all that would write large.
    const roomKib = kernel.chance('large writes').pick([0, 100, 200, 36_864, 36_864]);
    this.buffers.largeWrites.bytesMax = roomKib * 1024;
    const { descriptors, weather: weatherOf } = plan;
    this.network = new SimNetwork(kernel, {
      ...{ weatherOf, descriptors, buffers: this.buffers },
      acceptMs: drawAcceptMs(kernel.chance('accepting')),
    });
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
      hasTunnels: plan.httpClients.some(({ hasTunnels }) => hasTunnels),
    });
    const connections = new ConnectionOracle(this.book, this.table);
    this.passed = new PassJudge(plan, this.book, this.table);
    // By a name of its own: V8 keeps a function that is assigned as it is written until its next full collection.
    const seen = (attempt: Attempt): void => connections.onSeen(attempt);
    this.book.onSeen = seen;
    const sessions = new SessionOracles(kernel, { book: this.book, table: this.table });
    this.network.watch = sessions;
    const applied: Table['onApplied'] = (worker, outs) => sessions.applied(worker, outs);
    this.table.onApplied = applied;
    const watch = watchBoth(this.oracles, sessions);
    for (let index = 0; index < plan.workers; index += 1) {
      const setting = { shared, index, watch, onAccess: (one: AccessRecord) => this.check(one) };
      this.hosts.push(new WorkerHost(kernel, this.network, setting));
    }
    this.certificates = plan.secure.size === 0 ? null : new Certificates(plan.secure);
    this.upstream = plan.services.flatMap(({ name, upstream: rules }) =>
      rules === null ? [] : [upstreamTlsOf(rules, name)],
    );
    for (const host of this.hosts) this.giveTls(host);
    for (const endpoint of plan.endpoints) this.setListening(endpoint, true);
  }

  /** The access log says who the client is. */
  private check(record: AccessRecord): void {
    const { target, client, service } = record;
    this.passed.judge(record);
    const isUnix = this.table.services.get(service)?.plan.isUnix === true;
    if (client === '' && !isUnix)
      this.book.fault('a line of the access log names no client', service);
    const request = this.book.requests.get(target.slice(1));
    if (request === undefined) return;
    if ((request.address === NO_ADDRESS ? '' : request.address) !== client)
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
      this.judge?.judgeSessions();
      new Audit({ ledger: hosts[0]!.ledger, plan, book, table, network }).run();
    } catch (error) {
      book.fault(`the product throws ${error instanceof Error ? error.stack : String(error)}`);
    }
    for (const host of hosts) for (const error of host.errors) book.fault(error);
    this.buffers.forget();
    const exchanges = [...book.requests.values()].filter(({ end }) => end !== 'open').length;
    book.forget();
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
    const secure = this.secureEndpoint(endpoint);
    const close = network.serveMade(port, (make) => {
      const count = (this.accepted.get(name) ?? 0) + 1;
      this.accepted.set(name, count);
      const chance = kernel.chance(`accept ${name} ${count}`);
      if (chance.happens(rejectShare)) {
        book.note(`endpoint ${name} closes a connection as soon as it has it`);
        const end = make(null);
        if (chance.happens(0.5)) end.reset();
        else end.close();
      } else if (secure === null) this.speak(endpoint, { setting, end: make(null), count });
      else {
        secure.accept(chance, make, ({ end, header, onlyUpgrades, isHttp1 }) => {
          const secureHeader = header;
          const own = { ...setting, secureHeader, onlyUpgrades };
          this.speak(endpoint, { setting: own, end, count, isHttp1 });
        });
      }
    });
    this.listening.set(name, close);
  }

  private speak(endpoint: EndpointPlan, { setting, end, count, isHttp1 = false }: Speaking): void {
    if (endpoint.isH2c && !isHttp1) new H2EndpointConnection(setting, end, count);
    else if (endpoint.protocol === 'http') new HttpEndpointConnection(setting, end);
    else new TcpEndpointConnection(setting, end, count);
  }

  private giveTls({ worker }: WorkerHost): void {
    worker.setTls(this.certificates?.current ?? [], upstreamMaterials(this.upstream));
  }

  /** Certificates of listeners are others from now on, and files for endpoints are read again. */
  private renew(): void {
    const { kernel, book, certificates, hosts } = this;
    this.renewals += 1;
    const chance = kernel.chance(`renewal of certificates ${this.renewals}`);
    book.note('control: certificates are renewed');
    // With the ticket keys, at times: sessions begin anew then.
    certificates?.issue(kernel.nowMs + RENEWED_MS, chance.happens(0.5) ? this.renewals : 0);
    for (const host of hosts) kernel.after(chance.between(0, MESSAGE_MS), () => this.giveTls(host));
  }

  private secureEndpoint(plan: EndpointPlan): SecureEndpoint | null {
    const { kernel, book } = this;
    const { name: endpoint, service, handshakes: fault } = plan;
    const { upstream, proxy, passes } = this.table.services.get(service)!.plan;
    const isPassed = passes !== null;
    const rules = isPassed ? PASSED_RULES : upstream;
    if (rules === null) return null;
    if (fault !== '') book.unsteady.add(endpoint);
    const usual = [plan.isH2c ? 'h2' : 'http/1.1'];
    const protocols = plan.protocol === 'tcp' || plan.mind !== null ? [] : usual;
    const name = isPassed ? passedName(service) : nameOf(rules, service, endpoint);
    const { sends } = proxy;
    const choosing = plan.mind === null ? null : new Choosing(plan.mind);
    const speaks = { name, rules, fault, protocols, choosing, sends, isPassed };
    const facts = { kernel, book, endpoint, service, ...speaks };
    const known = this.secured.get(endpoint) ?? new SecureEndpoint(facts);
    this.secured.set(endpoint, known);
    return known;
  }

  private startClients(): Client[] {
    const { kernel, network, book, plan, table } = this;
    const isNarrow = plan.isNarrow;
    const oracle = new Judge({ kernel, plan, book, table, isNarrow });
    this.judge = oracle;
    const { judge } = oracle;
    const mayCut = (service: string): boolean => oracle.mayCut(service);
    const mayBreak = (service: string): boolean => oracle.mayBreak(service);
    const mayRefuse = (service: string): boolean => oracle.mayRefuse(service);
    const { certificates } = this;
    const may = { mayBreak, mayCut, mayRefuse };
    const setting = { kernel, network, book, judge, isNarrow, certificates, ...may };
    return [
      ...plan.httpClients.map((client) =>
        client.isHttp2 ? new H2Client(setting, client) : new HttpClient(setting, client),
      ),
      ...plan.tcpClients.map((client) => new TcpClient(setting, client)),
      ...plan.intruders.map((intruder) => new Intruder(setting, intruder)),
      ...plan.strangers.map((stranger) => new Stranger(setting, stranger)),
      ...plan.orders.validators.map((validator) =>
        validator.kind.startsWith('http')
          ? new HttpValidator(setting, validator)
          : new Validator(setting, validator),
      ),
    ];
  }

  private playChanges(): Set<number> {
    const { kernel, network, book, hosts, table } = this;
    const drained = new Set<number>();
    const setListening = (endpoint: EndpointPlan, is: boolean): void =>
      this.setListening(endpoint, is);
    const renew =
      this.certificates === null && this.upstream.length === 0 ? null : () => this.renew();
    const restart = (endpoint: string): void => this.secured.get(endpoint)?.restart();
    const stage = { kernel, network, book, hosts, table, setListening, drained, renew, restart };
    for (const change of this.plan.changes) play(stage, change);
    playOrders(kernel, { orders: this.plan.orders.orders, hosts, book });
    for (const change of this.plan.sessionChanges) playSessions(stage, change);
    return drained;
  }

  private tellOpen(end: string): void {
    const open = [...this.book.requests.values()].filter((request) => request.end === 'open');
    const ids = open.slice(0, 5).map(({ id, client }) => `${id} of ${client}`);
    this.book.fault(`the clients never come to an end (${end}): ${ids.join(', ')}`);
  }
}
