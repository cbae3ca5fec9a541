// A world of datagrams: workers, UDP services, endpoints, clients and changes of one seed, run to its end and judged.
import { Kernel } from '../../kernel/kernel.ts';
import type { Trace } from '../../kernel/trace.ts';
import { SimDatagrams } from '../../net/sim-datagrams.ts';
import { SimNetwork } from '../../net/sim-network.ts';
import { WorkerHost } from '../host.ts';
import { cleanLedger, type SharedLedger, takeLeftClients } from '../ledgers.ts';
import type { LedgerWatch } from '../watched.ts';
import { UdpClient, UdpEndpoint, type UdpSetting } from './actors.ts';
import { isFree, UdpOracles } from './oracles.ts';
import { drawUdpPlan, type UdpChangePlan, type UdpPlan } from './plan.ts';
import { UdpTable } from './table.ts';

const HANG_MS = 600_000;
/** Longer than any session lasts when nothing comes any more. */
const QUIET_MS = 9000;
const LOOK_MS = 500;
const DRAIN_MS = 5000;

export interface UdpResult {
  readonly plan: UdpPlan;
  /** Datagrams that clients sent. */
  readonly exchanges: number;
  readonly events: number;
  readonly faults: readonly string[];
}

export interface UdpOptions {
  readonly trace?: Trace;
  /** Parts of the plan that are left out. */
  readonly without?: ReadonlySet<string>;
}

export function runUdpWorld(seed: number, { trace, without }: UdpOptions = {}): Promise<UdpResult> {
  return new UdpWorld(drawUdpPlan(seed, without ?? new Set()), trace).run();
}

class UdpWorld {
  private readonly plan: UdpPlan;
  private readonly kernel: Kernel;
  private readonly network: SimNetwork;
  private readonly datagrams: SimDatagrams;
  private readonly shared: SharedLedger;
  private readonly hosts: WorkerHost[] = [];
  private readonly table: UdpTable;
  private readonly oracles: UdpOracles;
  private readonly setting: UdpSetting;
  private readonly endpoints: UdpEndpoint[];
  private readonly faults: string[] = [];

  constructor(plan: UdpPlan, trace: Trace | undefined) {
    this.plan = plan;
    this.kernel = new Kernel(plan.seed, trace, 'microtasks');
    const { kernel } = this;
    this.network = new SimNetwork(kernel);
    this.table = new UdpTable(kernel, plan, this.hosts);
    const fault = (text: string): void => this.fault(text);
    this.oracles = new UdpOracles(kernel, { plan, table: this.table, fault });
    const applied: UdpTable['onApplied'] = (worker, usable) =>
      this.oracles.onApplied(worker, usable);
    this.table.onApplied = applied;
    const { descriptors } = this.network;
    this.datagrams = new SimDatagrams(kernel, {
      weather: plan.weather,
      descriptors,
      watch: this.oracles,
    });
    this.shared = cleanLedger(plan.workers);
    for (let index = 0; index < plan.workers; index += 1) {
      const datagrams = this.datagrams.of(index);
      const setting = { shared: this.shared, index, watch: NO_WATCH, datagrams };
      this.hosts.push(new WorkerHost(kernel, this.network, setting));
    }
    const note = (text: string): void => {
      if (kernel.trace.isOn) kernel.trace.add(kernel.nowMs, text);
    };
    this.setting = { kernel, network: this.datagrams, fault, note, answers: new Map() };
    this.endpoints = plan.endpoints.map((one) => {
      const { responses } = plan.services.find(({ name }) => name === one.service)!.policy.udp;
      return new UdpEndpoint(this.setting, one, responses);
    });
    for (const { plan: one, take } of this.endpoints) this.datagrams.serve(one.port, take);
  }

  private fault(text: string): void {
    const { trace, nowMs } = this.kernel;
    if (this.faults.length < 20) this.faults.push(`${nowMs.toFixed(3)} ms: ${text}`);
    if (trace.isOn) trace.add(nowMs, `FAULT: ${text}`);
  }

  async run(): Promise<UdpResult> {
    const { kernel, plan, table } = this;
    let clients: UdpClient[] | null = null;
    void table.publish().then(() => {
      clients = plan.clients.map((one) => {
        const { port } = plan.services.find(({ name }) => name === one.service)!;
        return new UdpClient(this.setting, one, port);
      });
    });
    for (const change of plan.changes) this.play(change);
    try {
      const end = await kernel.run(HANG_MS, () => clients?.every(({ isDone }) => isDone) === true);
      if (end !== 'done') this.fault(`the clients never come to an end (${end})`);
      for (let ms = 0; ms < QUIET_MS; ms += LOOK_MS) {
        await kernel.run(kernel.nowMs + LOOK_MS);
        this.oracles.checkIdle();
      }
      this.checkAnswers(clients ?? []);
      await this.finish();
    } catch (error) {
      this.fault(`the product throws ${error instanceof Error ? error.stack : String(error)}`);
    }
    for (const { errors } of this.hosts) for (const error of errors) this.fault(error);
    const exchanges = plan.clients.reduce((sum, { count }) => sum + count, 0);
    return { plan, exchanges, events: kernel.eventCount, faults: this.faults };
  }

  private play({ atMs, forMs, endpoint, kind }: UdpChangePlan): void {
    const { kernel, table, datagrams, setting } = this;
    const one = this.endpoints.find(({ plan }) => plan.name === endpoint);
    if (one === undefined) return;
    kernel.at(atMs, () => {
      setting.note(`${endpoint} is ${kind} for ${forMs} ms`);
      if (kind === 'closed') {
        datagrams.serve(one.plan.port, null);
        kernel.after(forMs, () => datagrams.serve(one.plan.port, one.take));
        return;
      }
      table.states.set(endpoint, kind);
      void table.publish();
      kernel.after(forMs, () => {
        setting.note(`${endpoint} is up`);
        table.states.delete(endpoint);
        void table.publish();
      });
    });
  }

  /** Where nothing is lost and nobody breaks a rule, everyone gets what is due. */
  private checkAnswers(clients: readonly UdpClient[]): void {
    if (!this.oracles.isSound || this.plan.weather.doubleShare > 0) return;
    for (const { plan, got } of clients) {
      const { policy } = this.plan.services.find(({ name }) => name === plan.service)!;
      const { udp } = policy;
      if (!isFree(policy) || udp.amplificationMax > 0 || udp.responses === 2) continue;
      const due = udp.responses ?? 1;
      for (let i = 0; i < plan.count; i += 1) {
        const count = got.get(i) ?? 0;
        if (count !== due) this.fault(`${plan.name}-${i} got ${count} answers, not ${due}`);
      }
    }
  }

  private async finish(): Promise<void> {
    const { kernel, hosts, plan, network, datagrams } = this;
    this.table.isOver = true;
    let open = hosts.length;
    for (const { worker } of hosts) {
      void worker.drain(DRAIN_MS).then(() => {
        open -= 1;
      });
    }
    const end = await kernel.run(kernel.nowMs + 2 * DRAIN_MS, () => open === 0);
    if (end !== 'done') this.fault('draining never ends');
    const remove = plan.services.map(({ name }) => name);
    for (const { worker } of hosts)
      void worker.apply({ version: 1_000_000, upsert: [], remove, listeners: [] });
    await kernel.run(kernel.nowMs + QUIET_MS);
    for (const { wheel, context } of hosts) {
      if (wheel.setFor.length > 0)
        this.fault(`timers of worker ${context.index} are set: ${wheel.setFor}`);
    }
    for (const host of hosts) host.stop();
    if ((await kernel.run(kernel.nowMs + HANG_MS)) !== 'idle')
      this.fault(`${kernel.pendingCount} events are left`);
    this.checkGone();
    this.oracles.audit(this.shared.ledger);
    if (datagrams.open.size > 0) this.fault(`${datagrams.open.size} sockets are open at the end`);
    if (network.descriptors.usedCount > 0) this.fault('descriptors are open at the end');
  }

  private checkGone(): void {
    const { ledger } = this.shared;
    for (const { slot, name } of this.plan.endpoints) {
      const count = ledger.inFlight(slot);
      if (count !== 0) this.fault(`the ledger has ${count} in flight on ${name} at the end`);
    }
    for (const { slot, name } of this.plan.services) {
      const count = ledger.connections(slot);
      if (count !== 0) this.fault(`the ledger has ${count} sessions of ${name} at the end`);
    }
    const cells = takeLeftClients(this.shared);
    if (cells > 0) this.fault(`${cells} counts of single clients' sessions are left at the end`);
  }
}

const NO_WATCH: LedgerWatch = { onAcquire() {}, onRelease() {} };
