// A demo endpoint: tells who answered and what was asked.
import { createServer, type Server } from 'node:http';
import { hostname } from 'node:os';

export interface Whoami {
  readonly port: number;
  close(): Promise<void>;
}

/** Starts one on 127.0.0.1; port 0 takes any. Rejects with the system's error. */
export async function startWhoami(name: string, port: number): Promise<Whoami> {
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? '/', 'http://whoami');
    if (url.pathname === '/health') {
      response.end('ok\n');
      return;
    }
    const lines = [
      `Name: ${name}`,
      `Hostname: ${hostname()}`,
      `RemoteAddr: ${request.socket.remoteAddress}`,
    ];
    lines.push(`${request.method} ${request.url} HTTP/${request.httpVersion}`);
    for (let i = 0; i < request.rawHeaders.length; i += 2) {
      lines.push(`${request.rawHeaders[i]}: ${request.rawHeaders[i + 1]}`);
    }
    const waitMs = Number(/^(\d+)ms$/.exec(url.searchParams.get('wait') ?? '')?.[1] ?? 0);
    setTimeout(() => response.end(`${lines.join('\n')}\n`), Math.min(waitMs, 60_000));
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
  return { port: portOf(server), close: () => close(server) };
}

function portOf(server: Server): number {
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}
