// The embedded registry of `upriver dev`: the part of Consul's HTTP API that tutorials use, in memory.
// This file is the server: it finds the route, waits as a blocking query does, and writes answers and
// refusals as a Consul agent would. What is told is in the *-routes.ts files.
import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Clock } from '../base/clock.ts';
import { messageOf } from '../base/coded-error.ts';
import { parseDuration } from '../base/duration.ts';
import type { Random } from '../base/prng.ts';
import { Agent } from './agent.ts';
import { agentRoutes } from './agent-routes.ts';
import { Catalog } from './catalog.ts';
import { catalogRoutes, healthRoutes } from './catalog-routes.ts';
import { ChangeLog } from './change-log.ts';
import { KeyStore } from './key-store.ts';
import { kvRoutes } from './kv-routes.ts';
import { type Call, Refusal, type Reply, type Route } from './routes.ts';
import { DATACENTER } from './shapes.ts';

/** Consul waits 5 minutes unless it is told, 10 at most, and up to a sixteenth longer. */
const WAIT_MS = 300_000;
const WAIT_MS_MAX = 600_000;
const JITTER_SHARE = 1 / 16;
const BODY_BYTES_MAX = 1024 * 1024;
/** The version whose answers it gives. */
const VERSION = '1.8.7+upriver-dev';

export interface RegistryOptions {
  readonly clock: Clock;
  readonly random: Random;
  /** Name and address of the one node; default upriver-dev on 127.0.0.1. */
  readonly node?: string;
  readonly address?: string;
}

export interface EmbeddedRegistry {
  /** Opens it; resolves with where it is. Rejects with the system's error. */
  listen(host: string, port: number): Promise<{ readonly port: number; readonly url: string }>;
  /** Ends checks, blocking queries and connections. */
  close(): Promise<void>;
}

/** Makes a registry that holds nothing but itself. */
export function createEmbeddedRegistry(options: RegistryOptions): EmbeddedRegistry {
  const { clock, node = 'upriver-dev', address = '127.0.0.1' } = options;
  const log = new ChangeLog(clock);
  const catalog = new Catalog(log);
  const keys = new KeyStore(log);
  const agent = new Agent({ node, nodeId: randomUUID(), address, clock, log, catalog });
  log.write(() => agent.join(VERSION));
  const routes = [
    ...agentRoutes(agent, VERSION),
    ...catalogRoutes(catalog),
    ...healthRoutes(catalog),
    ...kvRoutes(keys),
  ];
  return new RegistryServer({ routes, log, agent, random: options.random });
}

class RegistryServer implements EmbeddedRegistry {
  private readonly routes: readonly Route[];
  private readonly log: ChangeLog;
  private readonly agent: Agent;
  private readonly random: Random;
  private readonly server: Server;

  constructor(parts: { routes: Route[]; log: ChangeLog; agent: Agent; random: Random }) {
    this.routes = parts.routes;
    this.log = parts.log;
    this.agent = parts.agent;
    this.random = parts.random;
    this.server = createServer((request, response) => void this.serve(request, response));
  }

  listen(host: string, port: number): Promise<{ port: number; url: string }> {
    return new Promise((resolve, reject) => {
      this.server.once('error', reject);
      this.server.listen(port, host, () => {
        this.server.off('error', reject);
        const address = this.server.address();
        const bound = typeof address === 'object' && address !== null ? address.port : port;
        resolve({ port: bound, url: `http://${host}:${bound}` });
      });
    });
  }

  close(): Promise<void> {
    this.agent.close();
    return new Promise((resolve) => {
      this.server.close(() => resolve());
      this.server.closeAllConnections();
    });
  }

  private async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      const url = new URL(request.url ?? '/', 'http://registry');
      const route = this.find(request, response, url);
      if (route === null) return;
      const call = {
        rest: decodeURIComponent(url.pathname.slice(route.path.length)),
        query: url.searchParams,
        body: await readBody(request),
      };
      await this.answer(route, call, response);
    } catch (error) {
      const status = error instanceof Refusal ? error.status : 500;
      send(response, { status, text: messageOf(error) });
    }
  }

  /** The route, or null when it is told here that there is none. */
  private find(request: IncomingMessage, response: ServerResponse, url: URL): Route | null {
    const { pathname } = url;
    const method = request.method === 'HEAD' ? 'GET' : request.method;
    if (pathname.includes('//')) {
      const Location = pathname.replaceAll(/\/{2,}/g, '/') + url.search;
      send(response, { status: 301, headers: { Location } });
      return null;
    }
    const found = this.routes.filter(({ path }) =>
      path.endsWith('/') ? pathname.startsWith(path) : pathname === path,
    );
    if (found.length === 0) {
      send(response, { status: 404 });
      return null;
    }
    const route = found.find((one) => one.method === method);
    if (route !== undefined) return route;
    const headers = { Allow: ['OPTIONS', ...found.map((one) => one.method)].join(',') };
    if (method === 'OPTIONS') send(response, { headers });
    else send(response, { status: 405, headers, text: `method ${method} not allowed` });
    return null;
  }

  private async answer(route: Route, call: Call, response: ServerResponse): Promise<void> {
    const { index } = route;
    if (index === undefined) {
      send(
        response,
        this.log.write(() => route.answer(call)),
      );
      return;
    }
    try {
      refuseContradictions(call.query);
      // What is wrong with the question is told at once, not after its wait.
      if (Number(call.query.get('index')) > 0) route.answer(call);
      await this.block(() => index(call), call.query, response);
      const reply = route.answer(call);
      response.setHeader('X-Consul-Index', Math.max(1, index(call)));
      response.setHeader('X-Consul-Knownleader', 'true');
      response.setHeader('X-Consul-Lastcontact', '0');
      send(response, reply);
    } catch (error) {
      // Not an oversight: errors of an agent carry index 1, and clients must not take it.
      if (error instanceof Refusal && error.status >= 500) {
        response.setHeader('X-Consul-Index', '1');
        response.setHeader('X-Consul-Knownleader', 'false');
        response.setHeader('X-Consul-Lastcontact', '0');
      }
      throw error;
    }
  }

  private async block(
    index: () => number,
    query: URLSearchParams,
    response: ServerResponse,
  ): Promise<void> {
    const known = indexOf(query.get('index'));
    const waitMs = waitOf(query.get('wait'));
    if (known === 0) return;
    const gone = new AbortController();
    response.on('close', () => gone.abort());
    await this.log.until(() => index() > known, {
      waitMs: waitMs * (1 + this.random() * JITTER_SHARE),
      signal: gone.signal,
    });
  }
}

function refuseContradictions(query: URLSearchParams): void {
  if (query.has('stale') && query.has('consistent')) {
    const why = 'Cannot specify ?stale with ?consistent, conflicting semantics.';
    throw new Refusal(400, why);
  }
  const datacenter = query.get('dc') || DATACENTER;
  if (datacenter !== DATACENTER) throw new Refusal(500, 'No path to datacenter');
}

function indexOf(text: string | null): number {
  if (text === null || text === '') return 0;
  if (/^\d{1,20}$/.test(text)) return Number(text);
  throw new Refusal(400, 'Invalid index');
}

function waitOf(text: string | null): number {
  if (text === null || text === '') return WAIT_MS;
  const ms = parseDuration(text);
  if (ms === null) throw new Refusal(400, 'Invalid wait time');
  return Math.min(WAIT_MS_MAX, ms || WAIT_MS);
}

async function readBody(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request) {
    chunks.push(chunk as Buffer);
    bytes += (chunk as Buffer).length;
    if (bytes > BODY_BYTES_MAX) throw new Refusal(413, 'Request body too large');
  }
  return Buffer.concat(chunks);
}

/** JSON is indented, as a dev agent of Consul does: people read it in terminals. */
function send(response: ServerResponse, reply: Reply): void {
  const { status = 200, json, bytes, text, headers = {} } = reply;
  if (response.destroyed || response.headersSent) return;
  const [type, body] =
    json !== undefined
      ? ['application/json', `${JSON.stringify(json, null, 4)}\n`]
      : bytes !== undefined
        ? ['text/plain', bytes]
        : ['text/plain; charset=utf-8', text ?? ''];
  if (body.length > 0) response.setHeader('Content-Type', type);
  const length = Buffer.byteLength(body);
  response.writeHead(status, { ...headers, 'Content-Length': length }).end(body);
}
