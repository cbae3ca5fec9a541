// The local agent of the embedded registry: registers services and checks of its own node in the
// catalog, runs the checks, and puts services or the node into maintenance.
import type { Clock, Timer } from '../base/clock.ts';
import type { Catalog, StoredCheck, StoredService } from './catalog.ts';
import type { ChangeLog } from './change-log.ts';
import { type CheckResult, CheckRun } from './check-run.ts';
import type { CheckDefinition, ServiceDefinition } from './definitions.ts';
import { Refusal } from './routes.ts';

const NODE_MAINTENANCE = '_node_maintenance';
const SERVICE_MAINTENANCE = '_service_maintenance:';
/** The service and the check that a server registers for itself: not of its agent's doing. */
const SELF = 'consul';
const SELF_CHECK = 'serfHealth';

export interface AgentOptions {
  readonly node: string;
  readonly nodeId: string;
  readonly address: string;
  readonly clock: Clock;
  readonly log: ChangeLog;
  readonly catalog: Catalog;
}

export class Agent {
  readonly node: string;
  readonly nodeId: string;
  readonly address: string;
  readonly catalog: Catalog;
  private readonly clock: Clock;
  private readonly log: ChangeLog;
  private readonly runs = new Map<string, { run: CheckRun; definition: CheckDefinition }>();
  /** Timers of DeregisterCriticalServiceAfter, by check. */
  private readonly reapers = new Map<string, Timer>();

  constructor(options: AgentOptions) {
    this.node = options.node;
    this.nodeId = options.nodeId;
    this.address = options.address;
    this.catalog = options.catalog;
    this.clock = options.clock;
    this.log = options.log;
  }

  /** Registers itself, as a server's agent does at its start. Within a write. */
  join(version: string): void {
    const { node, nodeId: id, address, catalog } = this;
    const tagged = { lan: address, lan_ipv4: address, wan: address, wan_ipv4: address };
    const meta = { 'consul-network-segment': '' };
    catalog.putNode({ node, id, address, taggedAddresses: tagged, meta });
    catalog.putService({
      node,
      id: SELF,
      name: SELF,
      tags: [],
      address: '',
      port: 8300,
      taggedAddresses: {},
      meta: { version },
      weights: { Passing: 1, Warning: 1 },
      enableTagOverride: false,
    });
    catalog.putCheck({
      node,
      id: SELF_CHECK,
      name: 'Serf Health Status',
      status: 'passing',
      notes: '',
      output: 'Agent alive and reachable',
      serviceId: '',
      serviceName: '',
      type: '',
    });
  }

  /** What was registered with this agent, itself left out. */
  services(): StoredService[] {
    return this.catalog.services(({ node, id }) => node === this.node && id !== SELF);
  }

  checks(): StoredCheck[] {
    return this.catalog.checks(({ node, id }) => node === this.node && id !== SELF_CHECK);
  }

  // All that follows is called within a write.

  registerService(definition: ServiceDefinition): void {
    const { checks, ...service } = definition;
    this.catalog.putService({ node: this.node, ...service });
    for (const [i, check] of checks.entries()) {
      const own = checks.length === 1 ? '' : `:${i + 1}`;
      const id = check.id || `service:${service.id}${own}`;
      this.registerCheck({ ...check, id, serviceId: service.id });
    }
  }

  /** An unknown one is fine: it is not there, as wished. */
  deregisterService(id: string): void {
    if (id === SELF) return;
    const isItsOwn = ({ node, serviceId }: { node: string; serviceId: string }) =>
      node === this.node && serviceId === id;
    for (const check of this.catalog.checks(isItsOwn)) this.endRun(check.id);
    this.catalog.removeService(this.node, id);
  }

  /** A check that is registered again keeps its state. Throws a Refusal for an unknown service. */
  registerCheck(definition: CheckDefinition): void {
    const { node, catalog } = this;
    const { serviceId, notes, probe } = definition;
    const id = definition.id || definition.name;
    if (id === '') throw new Refusal(400, 'Missing check name');
    const service = serviceId === '' ? undefined : catalog.service(node, serviceId);
    if (serviceId !== '' && service === undefined) {
      throw new Refusal(500, `ServiceID "${serviceId}" does not exist`);
    }
    const serviceName = service?.name ?? '';
    const name = definition.name || `Service '${serviceName}' check`;
    const before = catalog.check(node, id);
    const status = before?.status ?? (definition.status || 'critical');
    const output = before?.output ?? '';
    catalog.putCheck({
      node,
      id,
      name,
      status,
      notes,
      output,
      serviceId,
      serviceName,
      type: probe.type,
    });
    this.endRun(id);
    const onResult = (result: CheckResult) =>
      this.log.write(() => this.take(id, definition, result));
    const run = new CheckRun({ probe, clock: this.clock, onResult });
    this.runs.set(id, { run, definition });
    run.start();
    this.reapWhenCritical(id, definition);
  }

  deregisterCheck(id: string): void {
    this.endRun(id);
    this.catalog.removeCheck(this.node, id);
  }

  /** The owner of a TTL check speaks. Throws a Refusal for any other check. */
  setTtl(id: string, result: CheckResult): void {
    const live = this.runs.get(id);
    if (live?.run.renew(result.output) !== true) {
      throw new Refusal(500, `CheckID "${id}" does not have associated TTL`);
    }
    this.take(id, live.definition, result);
  }

  /** Throws a Refusal for a service that is not of this agent. */
  maintainService(id: string, isOn: boolean, reason: string): void {
    const service = this.catalog.service(this.node, id);
    if (service === undefined || id === SELF) {
      throw new Refusal(404, `No service registered with ID "${id}"`);
    }
    this.maintain(`${SERVICE_MAINTENANCE}${id}`, { service, isOn, reason });
  }

  maintainNode(isOn: boolean, reason: string): void {
    this.maintain(NODE_MAINTENANCE, { service: null, isOn, reason });
  }

  close(): void {
    for (const id of [...this.runs.keys()]) this.endRun(id);
  }

  private maintain(
    id: string,
    how: { service: StoredService | null; isOn: boolean; reason: string },
  ): void {
    const { node, catalog } = this;
    const { service, isOn, reason } = how;
    if (!isOn) {
      catalog.removeCheck(node, id);
      return;
    }
    // Already on: the first reason stays.
    if (catalog.check(node, id) !== undefined) return;
    const [what, subject] = service === null ? ['Node', 'node'] : ['Service', 'service'];
    const unexplained =
      `Maintenance mode is enabled for this ${subject}, but no reason was provided. ` +
      'This is a default message.';
    catalog.putCheck({
      node,
      id,
      name: `${what} Maintenance Mode`,
      status: 'critical',
      output: '',
      notes: reason || unexplained,
      serviceId: service?.id ?? '',
      serviceName: service?.name ?? '',
      type: 'maintenance',
    });
  }

  private take(id: string, definition: CheckDefinition, result: CheckResult): void {
    this.catalog.setResult(this.node, id, result);
    this.reapWhenCritical(id, definition);
  }

  private reapWhenCritical(id: string, { deregisterAfterMs, serviceId }: CheckDefinition): void {
    const isCritical = this.catalog.check(this.node, id)?.status === 'critical';
    if (!isCritical || deregisterAfterMs === 0 || serviceId === '') {
      this.reapers.get(id)?.cancel();
      this.reapers.delete(id);
    } else if (!this.reapers.has(id)) {
      const reap = () => this.log.write(() => this.deregisterService(serviceId));
      this.reapers.set(id, this.clock.setTimer(deregisterAfterMs, reap));
    }
  }

  private endRun(id: string): void {
    this.runs.get(id)?.run.stop();
    this.runs.delete(id);
    this.reapers.get(id)?.cancel();
    this.reapers.delete(id);
  }
}
