// gRPC under load while everything is replaced: each endpoint, which says GOAWAY and comes back, and the
// balancer itself, whose successor takes over. Clients are as they come: they send again what a server says
// it has not begun with (REFUSED_STREAM, GOAWAY), and nothing else. No server may see a call twice.
import {
  credentials,
  Client as GrpcClient,
  Metadata,
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
} from '@grpc/grpc-js';
import { afterEach, describe, expect, it } from 'vitest';
import { freePorts } from '../support/ports.ts';
import { startUpriver } from '../support/upriver.ts';

const CLIENTS = 4;
/** Calls of each client that are under way at the same time. */
const CALLS = 8;
/** Calls between one replacement and the next. */
const BETWEEN = 400;
const PARTS = 5;

const endings: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of endings.splice(0).reverse()) await end();
});

const bytes = (text: string) => Buffer.from(text);
const text = (buffer: Buffer) => buffer.toString();
const kind = (name: string, responseStream: boolean) => ({
  ...{ path: `/test.Echo/${name}`, requestStream: false, responseStream },
  ...{ requestSerialize: bytes, requestDeserialize: text },
  ...{ responseSerialize: bytes, responseDeserialize: text },
});
const DEFINITION = { unary: kind('Unary', false), repeat: kind('Repeat', true) };

/** A server that takes some milliseconds for each call; `seen` counts the calls by their text. */
async function serve(port: number, seen: Map<string, number>): Promise<Server> {
  const server = new Server();
  const note = (call: string) => seen.set(call, (seen.get(call) ?? 0) + 1);
  server.addService(DEFINITION, {
    unary({ request }: ServerUnaryCall<string, string>, done: sendUnaryData<string>) {
      note(request);
      setTimeout(() => done(null, request), 5 + Math.random() * 20);
    },
    repeat(call: ServerWritableStream<string, string>) {
      note(call.request);
      let left = PARTS;
      const part = () => {
        call.write(call.request);
        left -= 1;
        if (left === 0) call.end();
        else setTimeout(part, 5);
      };
      part();
    },
  });
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`127.0.0.1:${port}`, ServerCredentials.createInsecure(), (error) =>
      error === null ? resolve() : reject(error),
    );
  });
  return server;
}

/** As a server that is replaced: what it works on ends, then it is gone. */
const shutDown = (server: Server): Promise<void> =>
  new Promise((resolve) => server.tryShutdown(() => resolve()));

/** Calls that go on and on. */
class Load {
  readonly failures: string[] = [];
  done = 0;
  made = 0;
  private isOver = false;
  private readonly loops: Promise<void>[] = [];
  private readonly clients: GrpcClient[] = [];

  constructor(port: number) {
    for (let i = 0; i < CLIENTS; i += 1) {
      const client = new GrpcClient(`127.0.0.1:${port}`, credentials.createInsecure(), {
        'grpc.use_local_subchannel_pool': 1,
        ...{ 'grpc.initial_reconnect_backoff_ms': 100, 'grpc.max_reconnect_backoff_ms': 100 },
      });
      this.clients.push(client);
      for (let j = 0; j < CALLS; j += 1) this.loops.push(this.loop(client, j % 4 === 0));
    }
  }

  private async loop(client: GrpcClient, isStream: boolean): Promise<void> {
    while (!this.isOver) {
      this.made += 1;
      const call = `call ${this.made}`;
      const failure = await (isStream ? this.stream(client, call) : this.unary(client, call));
      if (failure !== '') this.failures.push(`${call}: ${failure}`);
      this.done += 1;
    }
  }

  /** A channel that is connecting is waited for: what is lost is lost on the way. */
  private get metadata(): Metadata {
    return new Metadata({ waitForReady: true });
  }

  private unary(client: GrpcClient, call: string): Promise<string> {
    const { path } = DEFINITION.unary;
    return new Promise((resolve) => {
      client.makeUnaryRequest(path, bytes, text, call, this.metadata, (error, value) =>
        resolve(error === null ? (value === call ? '' : `got ${value}`) : error.message),
      );
    });
  }

  private stream(client: GrpcClient, call: string): Promise<string> {
    const { path } = DEFINITION.repeat;
    return new Promise((resolve) => {
      let parts = 0;
      const answer = client.makeServerStreamRequest(path, bytes, text, call, this.metadata);
      answer.on('data', () => {
        parts += 1;
      });
      answer.on('error', (error) => resolve(error.message));
      answer.on('end', () => resolve(parts === PARTS ? '' : `${parts} parts`));
    });
  }

  /** Until so many more calls have ended. */
  async next(count: number): Promise<void> {
    const until = this.done + count;
    await expect.poll(() => this.done).toBeGreaterThan(until);
  }

  async end(): Promise<void> {
    this.isOver = true;
    await Promise.all(this.loops);
    for (const client of this.clients) client.close();
  }
}

describe('gRPC through two workers', () => {
  it('loses no call while endpoints and the balancer are replaced', async () => {
    const seen = new Map<string, number>();
    const ports = await freePorts(5);
    const [port = 0, statsPort = 0, ...at] = ports;
    const servers = await Promise.all(at.map((one) => serve(one, seen)));
    endings.push(() => servers.map((server) => server.forceShutdown()));
    const list = at.map((one) => `127.0.0.1:${one}`).join(',');
    const service = `web=127.0.0.1:${port},http2=true,upstream.protocol=h2c`;
    const args = ['--static', `web=${list}`, '--service', service, '--workers', '2'];
    const first = await startUpriver({ args, statsPort });
    endings.push(() => first.stop());
    const load = new Load(port);
    endings.push(() => load.end());
    await load.next(BETWEEN);
    for (const [index, one] of at.entries()) {
      await shutDown(servers[index]!);
      servers[index] = await serve(one, seen);
      await load.next(BETWEEN);
    }
    const second = await startUpriver({ args: [...args, '--takeover'], statsPort, isReady: false });
    endings.push(() => second.stop());
    await second.waitForLog(({ msg }) => msg === 'ready', 'that it is ready');
    first.signal('SIGTERM');
    expect(await first.exited).toBe(0);
    await load.next(BETWEEN);
    await shutDown(servers[0]!);
    servers[0] = await serve(at[0]!, seen);
    await load.next(BETWEEN);
    await load.end();
    expect(load.failures).toEqual([]);
    expect([...seen.values()].filter((count) => count !== 1)).toEqual([]);
    expect(seen.size).toBe(load.done);
  });
});
