// What the chaos scenarios play on: a real Consul, endpoints with active checks registered there,
// Upriver with its default settings, and GETs on kept connections all the while.
import { expect } from 'vitest';
import { type ConsulAgent, startConsul } from './consul.ts';
import { type EndpointProcess, startEndpoint, type Whereabouts } from './endpoint.ts';
import { type Load, startLoad } from './load.ts';
import { freePorts } from './ports.ts';
import { startUpriver, type UpriverProcess } from './upriver.ts';

/** Requests per second. */
export const RATE = 200;
const TIMEOUT_MS = 15_000;

export interface StageOptions {
  /** Endpoints that are up when the scenario begins; default 4, named e0, e1, ... */
  readonly endpoints?: number;
  /** Added to the service's settings, as `,key=value`. */
  readonly settings?: string;
  /** More flags of Upriver. */
  readonly args?: readonly string[];
  /** Where Upriver's stdout goes; default: to the test. */
  readonly stdout?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Where Consul runs; default: on loopback. */
  readonly where?: Whereabouts;
}

/** As the API has it (docs/reference/admin-api.md). */
export interface EndpointFigures {
  readonly id: string;
  readonly state: string;
  readonly reason: string;
  readonly requests: number;
  /** Requests that it has now. */
  readonly active: number;
}

export interface Stage {
  readonly consul: ConsulAgent;
  readonly upriver: UpriverProcess;
  readonly url: string;
  readonly endpoints: EndpointProcess[];
  /** GETs that are running; `gets.stop()` tells. */
  readonly gets: Load;
  /** Starts one more, on a port of its own or on `port`; it is not registered. */
  start(id: string, port?: number): Promise<EndpointProcess>;
  register(endpoint: EndpointProcess): Promise<void>;
  /** By name: the last part of an endpoint's id in Consul. */
  figures(name: string): Promise<EndpointFigures>;
  /** Resolves when the endpoint has this state. */
  untilState(name: string, state: string): Promise<void>;
}

const endings: (() => unknown)[] = [];

/** For afterEach: ends whatever a scenario began. */
export async function clearStage(): Promise<void> {
  for (const end of endings.splice(0).reverse()) await end();
}

/** Called at the end, the last one first. */
export function deferred(end: () => unknown): void {
  endings.push(end);
}

/** Sets everything up, and waits until all endpoints are up and requests are flowing. */
export async function setStage(options: StageOptions = {}): Promise<Stage> {
  const consul = await startConsul(options.where === undefined ? {} : { where: options.where });
  deferred(() => consul.stop());
  const endpoints: EndpointProcess[] = [];
  const start = async (id: string, port = 0): Promise<EndpointProcess> => {
    const endpoint = await startEndpoint(id, port);
    deferred(() => endpoint.kill());
    return endpoint;
  };
  const register = ({ id, port }: EndpointProcess): Promise<void> =>
    consul.register({ Name: 'web', ID: id, Address: '127.0.0.1', Port: port });
  for (let i = 0; i < (options.endpoints ?? 4); i += 1) {
    const endpoint = await start(`e${i}`);
    await register(endpoint);
    endpoints.push(endpoint);
  }
  const [port = 0] = await freePorts(1);
  const service = `web=127.0.0.1:${port},health.path=/health,health.interval=500ms`;
  const { settings = '', args = [], stdout = '', env = {} } = options;
  const upriver = await startUpriver({
    args: ['--consul', consul.url, '--service', `${service}${settings}`, ...args],
    ...{ stdout, env },
  });
  deferred(() => upriver.stop());
  const url = `http://127.0.0.1:${port}/`;
  const all = async (): Promise<readonly EndpointFigures[]> => {
    const response = await fetch(`${upriver.statsUrl}/api/v1/services/web`);
    return ((await response.json()) as { endpoints: EndpointFigures[] }).endpoints;
  };
  const figures = async (name: string): Promise<EndpointFigures> => {
    const found = (await all()).find(({ id }) => id.endsWith(`/${name}`));
    if (found === undefined) throw new Error(`${name} is not in the table`);
    return found;
  };
  const untilState = (name: string, state: string): Promise<void> =>
    expect.poll(async () => (await figures(name)).state, { message: name }).toBe(state);
  for (const { id } of endpoints) await untilState(id, 'up');
  const gets = startLoad({ url, perSecond: RATE, timeoutMs: TIMEOUT_MS });
  deferred(() => gets.stop());
  await gets.next(RATE / 2);
  return {
    ...{ consul, upriver, url, endpoints, gets },
    ...{ start, register, figures, untilState },
  };
}
