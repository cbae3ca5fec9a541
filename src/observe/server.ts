// The stats port: dashboard, CSV, metrics, health, API and events over plain HTTP. Read-only for
// everyone who can reach it; changes come from loopback, or with the admin token.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { messageOf } from '../base/coded-error.ts';
import { formatListen, type ListenAddress } from '../model/listener.ts';
import { operate, refusal } from './admin.ts';
import { formatCsv } from './csv.ts';
import { EventStreams } from './event-streams.ts';
import { serviceFigures } from './figures.ts';
import { createMetrics } from './metrics.ts';
import { type Asset, loadAssets, renderPage } from './page.ts';
import type { StatsSources } from './sources.ts';

const REQUEST_MS = 10_000;
const OPENMETRICS = 'application/openmetrics-text';

export interface StatsOptions {
  readonly listen: ListenAddress;
  readonly adminToken: string;
  readonly sources: StatsSources;
}

export interface StatsServer {
  /** Where it listens, with the port that was given for port 0. */
  readonly address: string;
  close(): Promise<void>;
}

/** Opens the stats port. Rejects with the system's error when it can't. */
export async function startStatsServer(options: StatsOptions): Promise<StatsServer> {
  const stats = new Stats(options);
  const { listen } = options;
  const server = createServer((request, response) => stats.serve(request, response));
  server.requestTimeout = REQUEST_MS;
  server.headersTimeout = REQUEST_MS;
  await listenOn(server, listen);
  return {
    address: addressOf(server, listen),
    close: () => {
      stats.close();
      return new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      });
    },
  };
}

function listenOn(server: Server, listen: ListenAddress): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    const done = (): void => {
      server.off('error', reject);
      resolve();
    };
    if (listen.kind === 'unix') server.listen(listen.path, done);
    // reusePort lets a new process stand beside the old one while that drains.
    else if (listen.host === '') server.listen({ port: listen.port, reusePort: true }, done);
    else server.listen({ port: listen.port, host: listen.host, reusePort: true }, done);
  });
}

function addressOf(server: Server, listen: ListenAddress): string {
  const bound = server.address();
  if (listen.kind === 'unix' || typeof bound !== 'object' || bound === null) {
    return formatListen(listen);
  }
  return formatListen({ ...listen, port: bound.port });
}

class Stats {
  private readonly options: StatsOptions;
  private readonly metrics: ReturnType<typeof createMetrics>;
  private readonly streams: EventStreams;
  private readonly assets: ReadonlyMap<string, Asset>;
  private readonly startedMs: number;

  constructor(options: StatsOptions) {
    const { sources } = options;
    this.options = options;
    this.metrics = createMetrics(sources);
    this.streams = new EventStreams(sources.view.events);
    this.assets = loadAssets();
    this.startedMs = sources.clock.wallMs();
  }

  close(): void {
    this.streams.close();
  }

  serve(request: IncomingMessage, response: ServerResponse): void {
    this.route(request, response).catch((error: unknown) => {
      this.options.sources.log.error(
        { url: request.url, err: messageOf(error) },
        'stats request failed',
      );
      if (!response.headersSent) sendJson(response, 500, { error: 'internal error' });
      else response.destroy();
    });
  }

  private async route(request: IncomingMessage, response: ServerResponse): Promise<void> {
    // A base only to read the path and query by.
    const url = new URL(request.url ?? '/', 'http://stats');
    const path = url.pathname;
    if (path.startsWith('/api/v1/services/') && request.method === 'POST') {
      return this.change(request, response, path);
    }
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      response.setHeader('Allow', 'GET, HEAD');
      return sendJson(response, 405, {
        error: `method ${request.method} is not served on ${path}`,
      });
    }
    const asset = this.assets.get(path);
    if (asset !== undefined) return sendAsset(request, response, asset);
    switch (path) {
      case '/':
        response.writeHead(302, { location: '/stats', 'content-length': 0 }).end();
        return;
      case '/stats':
        return this.page(request, response);
      case '/stats;csv':
      case '/;csv':
        return sendText(
          response,
          200,
          formatCsv(this.figures(), this.wallMs),
          'text/plain; charset=utf-8',
        );
      case '/metrics':
        return this.scrape(request, response);
      case '/healthz':
      case '/livez':
        return this.health(response);
      case '/readyz':
        return this.ready(response);
      case '/api/v1/status':
        return sendJson(response, 200, this.status());
      case '/api/v1/services':
        return sendJson(response, 200, this.figures());
      case '/api/v1/events':
        return this.events(request, response, url);
    }
    if (path.startsWith('/api/v1/services/')) return this.oneService(response, path);
    sendJson(response, 404, { error: `nothing is served on ${path}` });
  }

  private get wallMs(): number {
    return this.options.sources.clock.wallMs();
  }

  private figures() {
    const { view, ledger } = this.options.sources;
    return view.services().map((service) => serviceFigures(service, ledger));
  }

  private status() {
    const { sources } = this.options;
    const { clock } = sources;
    return {
      version: sources.version,
      node: process.versions.node,
      pid: process.pid,
      uptime_seconds: Math.round((clock.wallMs() - this.startedMs) / 1000),
      workers: sources.workers,
      table_version: sources.view.version,
      live: sources.liveness(),
      ready: sources.readiness(),
      config: sources.config(),
      problems: sources.view.problems(),
      registries: sources.providers().map((provider) => ({
        name: provider.name,
        address: provider.address,
        synced: provider.isSynced,
        sync_age_seconds: Math.round(clock.nowMs() - provider.lastSyncMs) / 1000,
        errors: provider.errors,
        last_error: provider.lastError,
        watches: provider.watches,
      })),
    };
  }

  private page(request: IncomingMessage, response: ServerResponse): void {
    const html = renderPage({
      status: this.status(),
      services: this.figures(),
      events: this.options.sources.view.events.since(0).slice(-50).reverse(),
      mayOperate: refusal(request, this.options.adminToken) === '',
      nowMs: this.wallMs,
    });
    response.setHeader(
      'content-security-policy',
      "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'",
    );
    sendText(response, 200, html, 'text/html; charset=utf-8');
  }

  private async scrape(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const isOpen = request.headers.accept?.includes(OPENMETRICS) ?? false;
    const text = await this.metrics.metrics();
    if (!isOpen) {
      sendText(response, 200, text, 'text/plain; version=0.0.4; charset=utf-8');
      return;
    }
    const type = `${OPENMETRICS}; version=1.0.0; charset=utf-8`;
    sendText(response, 200, toOpenMetrics(text), type);
  }

  private health(response: ServerResponse): void {
    const { ok, reason } = this.options.sources.liveness();
    sendText(response, ok ? 200 : 503, ok ? 'ok\n' : `${reason}\n`, 'text/plain; charset=utf-8');
  }

  private ready(response: ServerResponse): void {
    const { ready, reason } = this.options.sources.readiness();
    sendText(
      response,
      ready ? 200 : 503,
      ready ? 'ready\n' : `${reason}\n`,
      'text/plain; charset=utf-8',
    );
  }

  private oneService(response: ServerResponse, path: string): void {
    const { view, ledger } = this.options.sources;
    const name = decodeURIComponent(path.slice('/api/v1/services/'.length));
    const service = view.service(name);
    if (service === null) sendJson(response, 404, { error: `no service '${name}'` });
    else sendJson(response, 200, serviceFigures(service, ledger));
  }

  private events(request: IncomingMessage, response: ServerResponse, url: URL): void {
    const { events } = this.options.sources.view;
    if (url.searchParams.get('format') === 'json') {
      sendJson(response, 200, events.since(0));
      return;
    }
    const last = Number(request.headers['last-event-id'] ?? Number.NaN);
    if (!this.streams.add(response, Number.isNaN(last) ? null : last)) {
      sendJson(response, 503, { error: 'too many event streams are open' });
    }
  }

  private async change(
    request: IncomingMessage,
    response: ServerResponse,
    path: string,
  ): Promise<void> {
    const why = refusal(request, this.options.adminToken);
    if (why !== '') return sendJson(response, 403, { error: why });
    const { status, error } = await operate(request, path, this.options.sources.operate);
    sendJson(response, status, error === '' ? { ok: true } : { error });
  }
}

function sendText(response: ServerResponse, status: number, text: string, type: string): void {
  response.writeHead(status, {
    'content-type': type,
    'content-length': Buffer.byteLength(text),
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
  });
  response.end(text);
}

function sendJson(response: ServerResponse, status: number, body: unknown): void {
  sendText(
    response,
    status,
    `${JSON.stringify(body, null, 2)}\n`,
    'application/json; charset=utf-8',
  );
}

function sendAsset(request: IncomingMessage, response: ServerResponse, asset: Asset): void {
  if (request.headers['if-none-match'] === asset.etag) {
    response.writeHead(304, { etag: asset.etag }).end();
    return;
  }
  response.writeHead(200, {
    'content-type': asset.type,
    'content-length': asset.bytes.length,
    'cache-control': 'no-cache',
    etag: asset.etag,
    'x-content-type-options': 'nosniff',
  });
  response.end(asset.bytes);
}

/** OpenMetrics names a counter without `_total` in its TYPE and HELP, and ends with EOF. */
function toOpenMetrics(text: string): string {
  const lines = text
    .trimEnd()
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.replace(/^(# (?:HELP|TYPE) \S+?)_total /, '$1 '));
  return `${lines.join('\n')}\n# EOF\n`;
}
