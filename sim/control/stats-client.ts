// Who calls the stats port of a process: requests go through its own routes, rules of access and replies;
// what Node's HTTP server and its sockets do is left out. Nothing that is streamed, and no page that is
// sent in parts: those leave by the real clock.
import { EventEmitter } from 'node:events';
import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { StatsSettings } from '../../src/model/settings.ts';
import { Connection } from '../../src/observe/connections.ts';
import { Outbox } from '../../src/observe/outbox.ts';
import { StatsPort } from '../../src/observe/port.ts';
import { Pump } from '../../src/observe/pump.ts';
import { callOf, serve } from '../../src/observe/routes.ts';
import type { StatsSources } from '../../src/observe/sources.ts';

export interface StatsRequest {
  readonly method: 'GET' | 'POST';
  /** With the query. */
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

/** Status and body, in the moment in which the answer is complete. */
export type OnAnswer = (status: number, body: string) => void;

const SOCKET = { remoteAddress: '127.0.0.1', remotePort: 40_000, localPort: 1936 };

export class StatsClient {
  private readonly port: StatsPort;
  private readonly outbox: Outbox;
  private readonly onFault: (text: string) => void;

  constructor(sources: StatsSources, access: StatsSettings, onFault: (text: string) => void) {
    const pump = new Pump();
    this.port = new StatsPort(sources, { access, takenFrom: null, pump, release: () => {} });
    this.outbox = new Outbox(pump);
    this.onFault = onFault;
  }

  ask(request: StatsRequest, onAnswer: OnAnswer): void {
    const socket = Object.assign(new EventEmitter(), SOCKET) as unknown as Socket;
    const response = new SimResponse(request, socket, onAnswer) as unknown as ServerResponse;
    const group = { isReserved: false, size: 1, idle: new Set<Connection>() };
    const connection = new Connection(socket, { group, isLocal: true });
    const { method, url } = request;
    const hold = (): void => this.onFault(`${method} ${url} is answered by a stream`);
    const call = callOf({ response, connection, outbox: this.outbox, hold });
    serve(this.port, new Map(), call).catch((error: unknown) => {
      this.onFault(`${method} ${url} of the stats port fails: ${String(error)}`);
    });
  }

  /** Nothing is sampled after this. */
  close(): void {
    this.port.close();
  }
}

/** What the routes use of Node's response, and of the request in it. */
class SimResponse extends EventEmitter {
  statusCode = 200;
  headersSent = false;
  destroyed = false;
  readonly req: object;
  private readonly headers = new Map<string, unknown>();
  private readonly onAnswer: OnAnswer;

  constructor(
    { method, url, headers, body = '' }: StatsRequest,
    socket: Socket,
    onAnswer: OnAnswer,
  ) {
    super();
    this.onAnswer = onAnswer;
    this.req = {
      ...{ method, url, socket, headers: { host: 'localhost:1936', ...headers } },
      async *[Symbol.asyncIterator]() {
        if (body !== '') yield Buffer.from(body);
      },
    };
  }

  setHeader(name: string, value: unknown): void {
    this.headers.set(name, value);
  }

  removeHeader(name: string): void {
    this.headers.delete(name);
  }

  getHeaderNames(): string[] {
    return [...this.headers.keys()];
  }

  writeHead(status: number): this {
    this.statusCode = status;
    return this;
  }

  end(body: Buffer | string = ''): this {
    this.headersSent = true;
    this.destroyed = true;
    this.onAnswer(this.statusCode, String(body));
    this.emit('close');
    return this;
  }
}
