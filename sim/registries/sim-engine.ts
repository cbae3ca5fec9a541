// A simulated container engine: containers that run, pause, are told to stop and end, and Docker's API in
// front of them. While the engine is away containers live on, and nobody is told what became of them.
import { DockerProvider } from '../../src/discovery/docker/provider.ts';
import type { DockerParts } from '../../src/doors.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { type Exchange, SimWay, type WayRequest } from './way.ts';

export const ENGINE = 'tcp://d1:2375';

export interface SimContainer {
  readonly id: string;
  readonly name: string;
  readonly service: string;
  /** Published on the host. */
  readonly port: number;
  readonly startedMs: number;
  readonly isPaused: boolean;
}

interface EngineEvent {
  readonly atMs: number;
  readonly line: string;
}

export class SimEngine {
  /** Those that run or are paused, by name. */
  readonly containers = new Map<string, SimContainer>();
  readonly way: SimWay;
  private readonly kernel: Kernel;
  private readonly events: EngineEvent[] = [];
  private readonly streams = new Set<Exchange>();
  private count = 0;

  constructor(kernel: Kernel) {
    this.kernel = kernel;
    this.way = new SimWay(kernel, 'engine', (_address, request, exchange) =>
      this.serve(request, exchange),
    );
  }

  parts(isDead: () => boolean): DockerParts {
    const open: DockerParts['open'] = () => ({
      get: (request) => this.way.request(ENGINE, request, isDead),
      close: () => Promise.resolve(),
    });
    return { DockerProvider, open, hasSocket: () => true, hostname: 'host' };
  }

  /** Starts a container; one of the same name ends first. */
  run(name: string, service: string, port: number): void {
    this.end(name);
    this.count += 1;
    const id = this.count.toString(16).padStart(64, '0');
    const startedMs = this.wallMs;
    this.containers.set(name, { id, name, service, port, startedMs, isPaused: false });
    this.tell(id, 'create', {});
    this.tell(id, 'start', {});
  }

  /** Tells it to stop: it ends after a while. */
  stop(name: string, afterMs: number): void {
    const known = this.containers.get(name);
    if (known === undefined) return;
    this.tell(known.id, 'kill', { signal: '15' });
    this.kernel.after(afterMs, () => {
      if (this.containers.get(name) === known) this.end(name);
    });
  }

  /** It ends, as if by itself. */
  end(name: string): void {
    const known = this.containers.get(name);
    if (known === undefined) return;
    this.containers.delete(name);
    this.tell(known.id, 'die', { exitCode: '0' });
    this.tell(known.id, 'stop', {});
    this.tell(known.id, 'destroy', {});
  }

  pause(name: string, isPaused: boolean): void {
    const known = this.containers.get(name);
    if (known === undefined || known.isPaused === isPaused) return;
    this.containers.set(name, { ...known, isPaused });
    this.tell(known.id, isPaused ? 'pause' : 'unpause', {});
  }

  /** The engine ends, and is back later: streams break, and what it knew of events is lost. */
  restart(downMs: number): void {
    this.events.length = 0;
    this.way.begin(ENGINE, { downUntilMs: this.kernel.nowMs + downMs });
  }

  private get wallMs(): number {
    return this.kernel.clock.wallMs();
  }

  private tell(id: string, action: string, attributes: Record<string, string>): void {
    if (this.way.isDown(ENGINE)) return;
    const atMs = this.wallMs;
    const event = {
      ...{ Type: 'container', Action: action, status: action, id },
      ...{ Actor: { ID: id, Attributes: attributes } },
      ...{ time: Math.floor(atMs / 1000), timeNano: atMs * 1e6 },
    };
    const line = `${JSON.stringify(event)}\n`;
    this.events.push({ atMs, line });
    for (const stream of [...this.streams]) stream.write(line);
  }

  private serve({ path }: WayRequest, exchange: Exchange): void {
    if (this.way.isFailing(ENGINE)) {
      return exchange.answer(500, JSON_TYPE, JSON.stringify({ message: 'the engine is unwell' }));
    }
    if (path === '/_ping') {
      const date = new Date(this.wallMs).toUTCString();
      return exchange.answer(200, { 'api-version': '1.41', date }, 'OK');
    }
    const [plain = '', query = ''] = path.replace(/^\/v1\.41/, '').split('?');
    if (plain === '/containers/json') return answer(exchange, 200, this.list());
    if (plain === '/events') return this.follow(new URLSearchParams(query), exchange);
    const [, id = ''] = /^\/containers\/([0-9a-f]+)\/json$/.exec(plain) ?? [];
    const found = [...this.containers.values()].find((one) => one.id === id);
    if (found === undefined) {
      return answer(exchange, 404, { message: `No such container: ${id}` });
    }
    answer(exchange, 200, inspectionOf(found));
  }

  private list(): object[] {
    return [...this.containers.values()].map(({ id, name, isPaused }) => {
      const state = isPaused ? 'paused' : 'running';
      return { Id: id, Names: [`/${name}`], State: state, Status: 'Up 2 seconds' };
    });
  }

  private follow(search: URLSearchParams, exchange: Exchange): void {
    const sinceMs = Number(search.get('since') ?? 0) * 1000;
    exchange.head(200, JSON_TYPE);
    for (const { atMs, line } of this.events) if (atMs >= sinceMs) exchange.write(line);
    this.streams.add(exchange);
    exchange.onEnd.push(() => this.streams.delete(exchange));
  }
}

const JSON_TYPE = { 'content-type': 'application/json' };

function answer(exchange: Exchange, status: number, body: unknown): void {
  exchange.answer(status, JSON_TYPE, JSON.stringify(body));
}

function inspectionOf({ id, name, service, port, startedMs, isPaused }: SimContainer): object {
  const bindings = [
    { HostIp: '0.0.0.0', HostPort: `${port}` },
    { HostIp: '::', HostPort: `${port}` },
  ];
  return {
    ...{ Id: id, Name: `/${name}` },
    Config: {
      ...{ Image: 'app', Hostname: name, Env: [`SERVICE_NAME=${service}`], Labels: {} },
      ExposedPorts: { '80/tcp': {} },
    },
    HostConfig: { NetworkMode: 'default' },
    NetworkSettings: {
      Ports: { '80/tcp': bindings },
      Networks: { bridge: { NetworkID: 'b', IPAddress: '172.17.0.9' } },
    },
    State: {
      Status: isPaused ? 'paused' : 'running',
      StartedAt: new Date(startedMs).toISOString(),
      ExitCode: 0,
    },
  };
}
