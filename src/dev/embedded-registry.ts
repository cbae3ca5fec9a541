// The embedded registry of `upriver dev`: the part of Consul's HTTP API that tutorials use, on a
// store in memory. The agent, catalog and health parts are in agent-api.ts and catalog-api.ts, keys
// in kv-api.ts; here is what they share: routing, blocking, headers.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { messageOf } from '../base/coded-error.ts';
import { parseDuration } from '../base/duration.ts';
import { agentRoutes } from './agent-api.ts';
import { AgentChecks } from './agent-checks.ts';
import { catalogRoutes } from './catalog-api.ts';
import { kvRoutes } from './kv-api.ts';
import { Store, type Topic } from './store.ts';

/** Consul waits 5 minutes unless it is told, and 10 at most. */
const WAIT_MS = 300_000;
const WAIT_MS_MAX = 600_000;
const BODY_BYTES_MAX = 1024 * 1024;

/** What a route answers. */
export interface Reply {
  readonly status?: number;
  /** JSON, unless it is a Buffer. */
  readonly body?: unknown;
  /** Plain text instead of JSON. */
  readonly text?: string;
}

export interface Call {
  readonly method: string;
  /** The path's words after the route's own. */
  readonly rest: string;
  readonly query: URLSearchParams;
  readonly body: Buffer;
  /** The body as JSON; throws a BadRequest where it is none. */
  json(): Record<string, unknown>;
}

export interface Route {
  readonly method: string;
  /** `/v1/health/service/`: what follows it is `rest`; without a slash at the end it is exact. */
  readonly path: string;
  /** What a blocking query of this route waits on; none for routes that change things. */
  readonly topic?: (call: Call) => Topic;
  readonly answer: (call: Call) => Reply;
}

/** A request that can't be served as it is: answered with 400 and the message, as Consul does. */
export class BadRequest extends Error {}

export interface Registry {
  readonly store: Store;
  readonly checks: AgentChecks;
  readonly node: string;
  readonly nodeAddress: string;
}

export class EmbeddedRegistry implements Registry {
  readonly store = new Store();
  readonly checks: AgentChecks;
  readonly node = 'upriver-dev';
  readonly nodeAddress = '127.0.0.1';
  private readonly routes: readonly Route[];
  private readonly server = createServer((request, response) => void this.serve(request, response));
  private readonly closing = new AbortController();

  constructor() {
    this.checks = new AgentChecks((id, status, output) => {
      const check = this.store.checks.get(`${this.node}/${id}`);
      if (check === undefined) return;
      const { createIndex: _, modifyIndex: __, ...rest } = check;
      this.store.putCheck({ ...rest, status, output });
    });
    this.routes = [...agentRoutes(this), ...catalogRoutes(this), ...kvRoutes(this)];
  }

  /** Opens it; resolves with the port. Rejects with the system's error. */
  listen(port: number, host = '127.0.0.1'): Promise<number> {
    return new Promise((resolve, reject) => {
      this.server.once('error', reject);
      this.server.listen(port, host, () => {
        this.server.off('error', reject);
        const address = this.server.address();
        resolve(typeof address === 'object' && address !== null ? address.port : port);
      });
    });
  }

  close(): Promise<void> {
    this.checks.close();
    this.closing.abort();
    return new Promise((resolve) => {
      this.server.close(() => resolve());
      this.server.closeAllConnections();
    });
  }

  private async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://registry');
    const method = request.method ?? 'GET';
    const found = this.routes.filter((route) => matches(route, url.pathname));
    const route = found.find((one) => one.method === method);
    if (route === undefined) {
      const allowed = [...new Set(found.map((one) => one.method))].join(',');
      if (found.length > 0) response.setHeader('Allow', `OPTIONS,${allowed}`);
      const text = found.length > 0 ? `method ${method} not allowed` : '';
      send(response, { status: found.length > 0 ? 405 : 404, text });
      return;
    }
    try {
      const call = callOf(request, route, url, await readBody(request));
      await this.block(route, call, response);
      send(response, route.answer(call));
    } catch (error) {
      send(response, { status: error instanceof BadRequest ? 400 : 500, text: messageOf(error) });
    }
  }

  /** Waits as a blocking query does, and sets the headers of an answer that can be waited on. */
  private async block(route: Route, call: Call, response: ServerResponse): Promise<void> {
    if (route.topic === undefined) return;
    const topic = route.topic(call);
    const index = Number(call.query.get('index') ?? 0);
    if (Number.isNaN(index)) throw new BadRequest('Invalid index');
    if (index > 0) {
      const ms = waitOf(call.query.get('wait'));
      const gone = new AbortController();
      response.on('close', () => gone.abort());
      const signal = AbortSignal.any([gone.signal, this.closing.signal]);
      await this.store.waitFor(topic, index, { ms: ms + (Math.random() * ms) / 16, signal });
    }
    response.setHeader('X-Consul-Index', this.store.indexOf(topic));
    response.setHeader('X-Consul-Knownleader', 'true');
    response.setHeader('X-Consul-Lastcontact', '0');
  }
}

function matches(route: Route, path: string): boolean {
  return route.path.endsWith('/') ? path.startsWith(route.path) : path === route.path;
}

function callOf(request: IncomingMessage, route: Route, url: URL, body: Buffer): Call {
  return {
    method: request.method ?? 'GET',
    rest: decodeURIComponent(url.pathname.slice(route.path.length)),
    query: url.searchParams,
    body,
    json() {
      try {
        const parsed: unknown = body.length === 0 ? {} : JSON.parse(body.toString());
        if (typeof parsed === 'object' && parsed !== null) return parsed as Record<string, unknown>;
      } catch {
        // told below
      }
      throw new BadRequest('Request decode failed: expected a JSON object');
    },
  };
}

async function readBody(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request) {
    chunks.push(chunk as Buffer);
    bytes += (chunk as Buffer).length;
    if (bytes > BODY_BYTES_MAX) throw new BadRequest('Request body too large');
  }
  return Buffer.concat(chunks);
}

function waitOf(text: string | null): number {
  if (text === null || text === '') return WAIT_MS;
  const ms = parseDuration(text);
  if (ms === null) throw new BadRequest('Invalid wait time');
  return Math.min(WAIT_MS_MAX, ms === 0 ? WAIT_MS : ms);
}

function send(response: ServerResponse, reply: Reply): void {
  const status = reply.status ?? 200;
  if (reply.text !== undefined) {
    response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8' }).end(reply.text);
  } else if (reply.body === undefined) {
    response.writeHead(status, { 'content-length': 0 }).end();
  } else if (Buffer.isBuffer(reply.body)) {
    response.writeHead(status, { 'content-type': 'text/plain' }).end(reply.body);
  } else {
    response
      .writeHead(status, { 'content-type': 'application/json' })
      .end(JSON.stringify(reply.body));
  }
}
