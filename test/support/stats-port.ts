// A stats port over plain data: a table that the test writes down, and a ledger that it counts into.
import { type IncomingHttpHeaders, request } from 'node:http';
import { type Clock, systemClock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/log.ts';
import { EventLog } from '../../src/control/events.ts';
import type { EndpointView, OperatorCommand, ServiceView } from '../../src/control/view.ts';
import type { ProviderStatus } from '../../src/discovery/provider.ts';
import { Ledger, WorkerLedger } from '../../src/ledger/ledger.ts';
import type { AccessSettings } from '../../src/observe/access.ts';
import type { Places } from '../../src/observe/connections.ts';
import type { MaterialNow } from '../../src/observe/over-tls.ts';
import { type StatsServer, startStatsServer } from '../../src/observe/server.ts';
import type { StatsSources } from '../../src/observe/sources.ts';
import { loopback, makeService, plainListen } from './service.ts';

export interface Asked {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

export interface AskOptions {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

export interface StatsPort {
  readonly url: string;
  readonly server: StatsServer;
  /** The table: what the test puts here is what the port shows. */
  services: ServiceView[];
  live: { ok: boolean; reason: string };
  ready: { ready: boolean; reason: string };
  config: { error: string; loadedMs: number };
  problems: string[];
  providers: ProviderStatus[];
  readonly events: EventLog;
  readonly worker: WorkerLedger;
  readonly ledger: Ledger;
  /** Every change that was asked for: service, endpoint, command. */
  readonly operated: (readonly [string, string, OperatorCommand])[];
  /** What the operator answers; '' is yes. */
  operatorSays: string;
  /** Any header may be given, Host among them. */
  ask(path: string, options?: AskOptions): Promise<Asked>;
  json(path: string): Promise<unknown>;
  close(): Promise<void>;
}

/** With what access, and how many places, where a test is about those. */
export interface StatsPortOptions {
  readonly access?: Partial<AccessSettings>;
  readonly places?: Places;
  readonly clock?: Clock;
  readonly tls?: MaterialNow;
  readonly ownerOfPeer?: NonNullable<StatsSources['ownerOfPeer']>;
}

export async function startStatsPort(options: StatsPortOptions = {}): Promise<StatsPort> {
  const { access = {}, places, clock = systemClock, ownerOfPeer, tls } = options;
  const ledger = new Ledger();
  const worker = new WorkerLedger(ledger.buffersFor(0));
  const events = new EventLog();
  const operated: (readonly [string, string, OperatorCommand])[] = [];
  const server = await startStatsServer({
    listen: loopback(),
    access: { adminToken: '', readToken: '', read: ['any'], hosts: [], ...access },
    ...(places === undefined ? {} : { places }),
    ...(tls === undefined ? {} : { tls }),
    sources: {
      ...{ ledger, clock, log: silentLogger, version: '1.2.3', workers: 2 },
      view: {
        services: () => port.services,
        service: (name) => port.services.find(({ service }) => service.name === name) ?? null,
        version: 7,
        events,
        problems: () => port.problems,
        unserved: () => new Map(),
        convergence: { bounds: [0.01, 0.1], counts: [3, 2, 1], sumSeconds: 0.5 },
      },
      ...(ownerOfPeer === undefined ? {} : { ownerOfPeer }),
      liveness: () => port.live,
      readiness: () => port.ready,
      state: () => null,
      memory: () => ({ isShort: false, resident: 1, max: 2 }),
      certificates: () => ({ list: [], problems: [] }),
      sharedPorts: () => [],
      providers: () => port.providers,
      config: () => port.config,
      operate: (service, endpoint, command) => {
        operated.push([service, endpoint, command]);
        return port.operatorSays;
      },
    },
  });
  const url = `http://${server.address}`;
  const ask = (path: string, options?: AskOptions) => send(url, path, options);
  const port: StatsPort = {
    ...{ url, server, events, worker, ledger, operated, ask },
    services: [],
    live: { ok: true, reason: '' },
    ready: { ready: true, reason: '' },
    config: { error: '', loadedMs: 1 },
    problems: [],
    providers: [],
    operatorSays: '',
    json: async (path) => JSON.parse((await ask(path)).text) as unknown,
    close: () => server.close(),
  };
  return port;
}

export function makeServiceView(name: string, parts: Partial<ServiceView> = {}): ServiceView {
  const service = makeService({ name, listen: [plainListen(loopback(8000))] });
  return {
    service,
    slot: 0,
    endpoints: [],
    isPanicking: false,
    priority: 1,
    ejections: new Map(),
    problems: [],
    ...parts,
  };
}

export function makeEndpointView(id: string, parts: Partial<EndpointView> = {}): EndpointView {
  return {
    ...{ id, address: '10.0.0.1', port: 80, weight: 1, state: 'up', reason: '' },
    ...{
      sinceMs: Date.now(),
      slot: 0,
      isSpare: false,
      slowStartFromMs: 0,
      priority: 1,
      namings: [],
      check: null,
      ejections: 0,
      stay: null,
      compared: () => null,
    },
    ...parts,
  };
}

function send(url: string, path: string, options: AskOptions = {}): Promise<Asked> {
  const { method = 'GET', headers = {}, body = '' } = options;
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const sent = request({ hostname, port, path, method, headers, agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (part: string) => {
        text += part;
      });
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, text }),
      );
      response.on('error', reject);
    });
    sent.on('error', reject).end(body);
  });
}
