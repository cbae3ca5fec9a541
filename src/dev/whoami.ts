// A demo endpoint: answers who it is and what it was asked, so that one sees where a request went and
// what the balancer made of it.
//   GET /            name, addresses, request line and header fields, one per line
//   GET /?wait=200ms the same, later (10 s at most)
//   GET /health      200, or what it was last told to be
//   PUT /health      with a status such as 503 as its body: so it is from now on
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { hostname, networkInterfaces } from 'node:os';
import { parseDuration } from '../base/duration.ts';

const WAIT_MS_MAX = 10_000;
const BODY_BYTES_MAX = 16;

export interface Whoami {
  readonly port: number;
  /** Accepts no more and answers what is in flight. */
  close(): Promise<void>;
}

/** Starts one on 127.0.0.1; port 0 takes any. Rejects with the system's error. */
export async function startWhoami(name: string, port: number): Promise<Whoami> {
  const endpoint = new Endpoint(name);
  const server = createServer((request, response) => void endpoint.answer(request, response));
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
  const close = (): Promise<void> => {
    endpoint.isClosing = true;
    return new Promise((resolve) => {
      server.close(() => resolve());
      server.closeIdleConnections();
    });
  };
  return { port: portOf(server), close };
}

class Endpoint {
  /** Connections end with the answer that is on them. */
  isClosing = false;
  private readonly name: string;
  private health = 200;

  constructor(name: string) {
    this.name = name;
  }

  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://whoami');
    const waitMs = parseDuration(url.searchParams.get('wait') ?? '0s');
    if (waitMs === null) {
      response.writeHead(400).end('wait: expected a duration such as 200ms\n');
      return;
    }
    if (url.pathname === '/health') {
      await this.answerHealth(request, response);
      return;
    }
    // A body is of no interest, but has to be read for the connection to go on.
    request.resume();
    const send = (): void => {
      if (this.isClosing) response.setHeader('Connection', 'close');
      response.end(this.describe(request));
    };
    response.setHeader('Content-Type', 'text/plain; charset=utf-8');
    response.setHeader('X-Whoami', this.name);
    if (waitMs > 0) setTimeout(send, Math.min(waitMs, WAIT_MS_MAX));
    else send();
  }

  private async answerHealth(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.method === 'PUT' || request.method === 'POST') {
      const status = Number(await readText(request));
      if (!Number.isInteger(status) || status < 200 || status > 599) {
        response.writeHead(400).end('expected a status from 200 to 599\n');
        return;
      }
      this.health = status;
    }
    response.writeHead(this.health).end(`${this.health === 200 ? 'ok' : 'unhealthy'}\n`);
  }

  private describe(request: IncomingMessage): string {
    const { method, url, httpVersion, socket, rawHeaders } = request;
    const lines = [
      `Name: ${this.name}`,
      `Hostname: ${hostname()}`,
      ...ownAddresses().map((address) => `IP: ${address}`),
      `RemoteAddr: ${socket.remoteAddress}:${socket.remotePort}`,
      `${method} ${url} HTTP/${httpVersion}`,
    ];
    for (let i = 0; i < rawHeaders.length; i += 2) {
      lines.push(`${rawHeaders[i]}: ${rawHeaders[i + 1]}`);
    }
    return `${lines.join('\n')}\n`;
  }
}

function ownAddresses(): string[] {
  return Object.values(networkInterfaces())
    .flatMap((all) => all ?? [])
    .map(({ address }) => address);
}

/** A short body as text; what is beyond the limit is dropped. */
async function readText(request: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of request) {
    if (text.length < BODY_BYTES_MAX) text += String(chunk);
  }
  return text.slice(0, BODY_BYTES_MAX).trim();
}

function portOf(server: Server): number {
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}
