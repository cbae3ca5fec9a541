// A Consul agent whose service has other instances each time that it is asked.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

const INSTANCES = 500;

export class FlappingConsul {
  /** Answers that said something else than those before. */
  told = 0;
  private isFlapping = false;
  private index = 1;
  private waiting: (() => void)[] = [];
  private readonly lists = [0, 1].map((part) => listOf(part));
  private readonly server = createServer((request, response) => this.answer(request, response));

  async start(): Promise<number> {
    await new Promise<void>((resolve) => this.server.listen(0, '127.0.0.1', resolve));
    // A server that listens on a port has an address with one.
    return (this.server.address() as AddressInfo).port;
  }

  flap(): void {
    this.isFlapping = true;
    for (const tell of this.waiting.splice(0)) tell();
  }

  calm(): void {
    this.isFlapping = false;
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }

  private answer(request: IncomingMessage, response: ServerResponse): void {
    const { pathname, searchParams } = new URL(request.url!, 'http://consul');
    const isKnown = Number(searchParams.get('index') ?? 0) >= this.index;
    const send = (body: string): void => {
      response.setHeader('x-consul-index', String(this.index));
      response.setHeader('x-consul-knownleader', 'true');
      response.setHeader('content-type', 'application/json');
      response.end(body);
    };
    if (pathname === '/v1/status/leader') return send('"127.0.0.1:8300"');
    if (pathname === '/v1/health/service/flapping') {
      const tell = (): void => {
        if (this.isFlapping) this.index += 1;
        this.told += 1;
        send(this.lists[this.index % 2]!);
      };
      if (this.isFlapping || !isKnown) tell();
      else this.waiting.push(tell);
      return;
    }
    // Services come and go by nothing that is asked here.
    if (pathname !== '/v1/catalog/services') response.writeHead(404).end();
    else if (!isKnown) send('{"flapping":[]}');
  }
}

function listOf(part: number): string {
  const entries = Array.from({ length: INSTANCES }, (_, i) => {
    const address = `127.${51 + part}.${i >> 8}.${i & 255}`;
    return {
      Node: { Node: `n${part}`, Address: address, Datacenter: 'dc1' },
      Service: { ID: `i${part}-${i}`, Service: 'flapping', Address: address, Port: 9, Tags: [] },
      Checks: [],
    };
  });
  return JSON.stringify(entries);
}
