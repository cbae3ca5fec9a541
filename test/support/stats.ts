// What the stats port reads, as plain data with a real ledger: for tests of its parts without HTTP
// (stats-port.ts has the port as a whole).
import { type Clock, systemClock } from '../../src/base/clock.ts';
import { type Logger, silentLogger } from '../../src/base/log.ts';
import { EventLog } from '../../src/control/events.ts';
import type {
  EndpointView,
  OperatorCommand,
  ServiceView,
  TableView,
} from '../../src/control/view.ts';
import type { ProviderStatus } from '../../src/discovery/provider.ts';
import { Ledger, WorkerLedger } from '../../src/ledger/ledger.ts';
import type { EndpointState } from '../../src/model/endpoint.ts';
import type { StatsSources } from '../../src/observe/sources.ts';
import { makeService, plainListen } from './service.ts';

export class FakeTable implements TableView {
  readonly events = new EventLog();
  readonly all = new Map<string, ServiceView>();
  readonly convergence = { bounds: [0.005, 0.05], counts: [3, 2, 1], sumSeconds: 0.5 };
  version = 1;
  general: string[] = [];
  readonly wrong = new Map<string, readonly string[]>();

  services(): readonly ServiceView[] {
    return [...this.all.values()];
  }

  service(name: string): ServiceView | null {
    return this.all.get(name) ?? null;
  }

  unserved(): ReadonlyMap<string, readonly string[]> {
    return this.wrong;
  }

  problems(): readonly string[] {
    return this.general;
  }

  set(service: ServiceView): void {
    this.all.set(service.service.name, service);
  }

  /** Puts an endpoint into another state, with the event that goes with it. */
  change(name: string, id: string, to: EndpointState, reason: string): void {
    const service = this.all.get(name)!;
    const from = service.endpoints.find((one) => one.id === id)!.state;
    const atMs = Date.now();
    this.all.set(name, {
      ...service,
      endpoints: service.endpoints.map((one) =>
        one.id === id ? { ...one, state: to, reason, sinceMs: atMs } : one,
      ),
    });
    this.version += 1;
    const cause = { kind: 'check', text: reason } as const;
    this.events.add({ atMs, service: name, endpoint: id, from, to, reason, cause });
  }
}

let endpoints = 0;
let services = 0;

export function makeEndpoint(id: string, parts: Partial<EndpointView> = {}): EndpointView {
  endpoints += 1;
  return {
    id,
    address: '10.0.0.1',
    port: 8000 + endpoints,
    weight: 1,
    state: 'up',
    reason: '',
    sinceMs: Date.now() - 60_000,
    slot: endpoints,
    isSpare: false,
    slowStartFromMs: 0,
    priority: 1,
    namings: [],
    check: null,
    ejections: 0,
    stay: null,
    compared: () => null,
    ...parts,
  };
}

export function makeServiceView(
  name: string,
  members: readonly EndpointView[],
  parts: Partial<ServiceView> = {},
): ServiceView {
  services += 1;
  const service = makeService({
    name,
    listen: [plainListen({ kind: 'tcp', host: '', port: 8000 })],
  });
  return {
    service,
    slot: services,
    endpoints: members,
    isPanicking: false,
    priority: 1,
    ejections: new Map(),
    problems: [],
    ...parts,
  };
}

export interface FakeStats {
  readonly table: FakeTable;
  readonly ledger: Ledger;
  /** Counts as a worker does. */
  readonly worker: WorkerLedger;
  readonly operated: [string, string, OperatorCommand][];
  readonly providers: ProviderStatus[];
  /** What liveness, readiness and configuration say. */
  readonly say: { live: string; ready: string; config: string };
  readonly sources: StatsSources;
}

/** Sources with nothing in the table yet. */
export function makeSources(parts: { clock?: Clock; log?: Logger } = {}): FakeStats {
  const table = new FakeTable();
  const ledger = new Ledger();
  const worker = new WorkerLedger(ledger.buffersFor(0));
  const clock = parts.clock ?? systemClock;
  const operated: FakeStats['operated'] = [];
  const providers: ProviderStatus[] = [];
  const loadedMs = clock.wallMs();
  const say = { live: '', ready: '', config: '' };
  const sources: StatsSources = {
    view: table,
    ledger,
    clock,
    log: parts.log ?? silentLogger,
    version: '1.2.3',
    workers: 2,
    liveness: () => ({ ok: say.live === '', reason: say.live }),
    readiness: () => ({ ready: say.ready === '', reason: say.ready }),
    providers: () => providers,
    config: () => ({ error: say.config, loadedMs }),
    state: () => null,
    memory: () => ({ isShort: false, resident: 1, max: 2 }),
    certificates: () => ({ list: [], problems: [] }),
    sharedPorts: () => [],
    operate(service, endpoint, command) {
      const found = table.service(service);
      if (found === null) return `no service '${service}'`;
      if (!found.endpoints.some(({ id }) => id === endpoint)) {
        return `service ${service} has no endpoint '${endpoint}'`;
      }
      operated.push([service, endpoint, command]);
      if (command.kind === 'drain' || command.kind === 'maint') {
        table.change(service, endpoint, command.kind, `operator: ${command.kind}`);
      } else if (command.kind === 'ready') {
        table.change(service, endpoint, 'up', '');
      }
      return '';
    },
  };
  return { table, ledger, worker, operated, providers, say, sources };
}
