// gRPC through the proxy, with @grpc/grpc-js on either side: all four kinds of calls, statuses of the
// endpoint's and of ours, deadlines, cancelling, and balance over streams that go on.
import {
  type ClientReadableStream,
  credentials,
  Client as GrpcClient,
  Metadata,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerReadableStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceError,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js';
import { afterEach, describe, expect, it } from 'vitest';
import {
  closePlanes,
  openPlane,
  openRouter,
  type Plane,
  type Policy,
  serviceOf,
} from '../../support/plane.ts';
import { makeRoute } from '../../support/route.ts';
import { makeSnapshot } from '../../support/service.ts';

const clients: GrpcClient[] = [];
const servers: Server[] = [];

afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  await closePlanes();
  for (const server of servers.splice(0)) server.forceShutdown();
});

const bytes = (text: string) => Buffer.from(text);
const text = (buffer: Buffer) => buffer.toString();
const kind = (requestStream: boolean, responseStream: boolean, name: string) => ({
  ...{ path: `/test.Echo/${name}`, requestStream, responseStream },
  ...{ requestSerialize: bytes, requestDeserialize: text },
  ...{ responseSerialize: bytes, responseDeserialize: text },
});
const DEFINITION = {
  unary: kind(false, false, 'Unary'),
  fail: kind(false, false, 'Fail'),
  never: kind(false, false, 'Never'),
  collect: kind(true, false, 'Collect'),
  repeat: kind(false, true, 'Repeat'),
  chat: kind(true, true, 'Chat'),
};

/** In a chat this is not answered. */
const HUSH = 'hush';

interface EchoServer {
  readonly port: number;
  calls: number;
  hushed: number;
  readonly cancelled: string[];
}

/** An endpoint with a name, which says it in each answer. */
async function serve(name = 'echo'): Promise<EchoServer> {
  const server = new Server();
  servers.push(server);
  const made = { port: 0, calls: 0, hushed: 0, cancelled: [] as string[] };
  server.addService(DEFINITION, {
    unary(call: ServerUnaryCall<string, string>, done: sendUnaryData<string>) {
      made.calls += 1;
      const trailer = new Metadata();
      trailer.set('x-trailer', name);
      call.sendMetadata(new Metadata());
      done(null, `${name}: ${call.request}`, trailer);
    },
    fail(_call: ServerUnaryCall<string, string>, done: sendUnaryData<string>) {
      made.calls += 1;
      done({ code: status.FAILED_PRECONDITION, details: 'not now, näher' });
    },
    never(call: ServerUnaryCall<string, string>) {
      made.calls += 1;
      call.on('cancelled', () => made.cancelled.push('never'));
    },
    collect(call: ServerReadableStream<string, string>, done: sendUnaryData<string>) {
      const parts: string[] = [];
      call.on('data', (part: string) => parts.push(part));
      call.on('end', () => done(null, parts.join(',')));
    },
    repeat(call: ServerWritableStream<string, string>) {
      for (let i = 0; i < 5; i += 1) call.write(`${call.request}${i}`);
      call.end();
    },
    chat(call: ServerDuplexStream<string, string>) {
      made.calls += 1;
      call.on('data', (part: string) => {
        if (part === HUSH) made.hushed += 1;
        else call.write(`${name}: ${part}`);
      });
      call.on('end', () => call.end());
      call.on('cancelled', () => made.cancelled.push('chat'));
    },
  });
  made.port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) =>
      error === null ? resolve(port) : reject(error),
    );
  });
  return made;
}

const H2C = {
  upstream: { protocol: 'h2c', sendProxy: 'off', tls: null, host: 'client' },
} as const;

async function open(servers: readonly EchoServer[], policy: Policy = {}) {
  const plane = await openPlane(
    servers.map(({ port }) => port),
    { ...H2C, ...policy },
  );
  return { plane, client: clientOf(plane) };
}

function clientOf(plane: Plane): GrpcClient {
  const options = { 'grpc.use_local_subchannel_pool': 1, 'grpc.enable_retries': 0 };
  const client = new GrpcClient(`127.0.0.1:${plane.port}`, credentials.createInsecure(), options);
  clients.push(client);
  return client;
}

interface Outcome {
  readonly error: ServiceError | null;
  readonly value: string;
  readonly trailers: Metadata | null;
}

function unary(
  client: GrpcClient,
  { path }: { path: string },
  request: string,
  deadlineMs = 0,
): Promise<Outcome> {
  return new Promise((resolve) => {
    let trailers: Metadata | null = null;
    const options = deadlineMs === 0 ? {} : { deadline: Date.now() + deadlineMs };
    const call = client.makeUnaryRequest(
      path,
      bytes,
      text,
      request,
      new Metadata(),
      options,
      (error, value) => setImmediate(() => resolve({ error, value: value ?? '', trailers })),
    );
    call.on('status', (ended) => {
      trailers = ended.metadata;
    });
  });
}

async function partsOf(stream: ClientReadableStream<string>): Promise<string[]> {
  const parts: string[] = [];
  for await (const part of stream) parts.push(part as string);
  return parts;
}

describe('gRPC', () => {
  it('passes unary calls, with trailers', async () => {
    const { client } = await open([await serve()]);
    const { error, value, trailers } = await unary(client, DEFINITION.unary, 'hello');
    expect(error).toBeNull();
    expect(value).toBe('echo: hello');
    expect(trailers?.get('x-trailer')).toEqual(['echo']);
  });

  it('passes large messages', async () => {
    const { client } = await open([await serve()]);
    const large = 'm'.repeat(1_500_000);
    expect((await unary(client, DEFINITION.unary, large)).value).toBe(`echo: ${large}`);
  });

  it('passes streams of requests, of responses, and both', async () => {
    const { client } = await open([await serve()]);
    const collected = new Promise<string>((resolve, reject) => {
      const call = client.makeClientStreamRequest(
        DEFINITION.collect.path,
        bytes,
        text,
        (error, value) => (error === null ? resolve(value!) : reject(error)),
      );
      for (const part of ['a', 'b', 'c']) call.write(part);
      call.end();
    });
    expect(await collected).toBe('a,b,c');
    const { repeat, chat } = DEFINITION;
    const repeated = client.makeServerStreamRequest(repeat.path, bytes, text, 'r');
    expect(await partsOf(repeated)).toEqual(['r0', 'r1', 'r2', 'r3', 'r4']);
    const talk = client.makeBidiStreamRequest(chat.path, bytes, text);
    const heard: string[] = [];
    for (const word of ['one', 'two', 'three']) {
      // Each is answered before the next is said: nothing is held back on the way.
      const answer = new Promise<string>((resolve) => talk.once('data', resolve));
      talk.write(word);
      heard.push(await answer);
    }
    talk.end();
    await new Promise((resolve) => talk.once('status', resolve));
    expect(heard).toEqual(['echo: one', 'echo: two', 'echo: three']);
  });

  it('passes the statuses of endpoints, trailers alone too', async () => {
    const endpoint = await serve();
    const { client, plane } = await open([endpoint]);
    const { error } = await unary(client, DEFINITION.fail, 'x');
    expect(error?.code).toBe(status.FAILED_PRECONDITION);
    expect(error?.details).toBe('not now, näher');
    const unknown = await unary(client, { path: '/test.Echo/Unknown' }, '');
    expect(unknown.error?.code).toBe(status.UNIMPLEMENTED);
    expect(plane.access.length + plane.errors.length).toBe(0);
  });

  it('gets a status for failures of ours', async () => {
    const { client, plane } = await open([]);
    const { error } = await unary(client, DEFINITION.unary, '');
    expect(error?.code).toBe(status.UNAVAILABLE);
    expect(error?.details).toContain('no healthy endpoint');
    expect(error?.metadata.get('x-upriver-reason')).toEqual(['no-endpoint']);
    expect(plane.reasons('no-endpoint')).toBe(1);
  });

  it('gets a status where no service is there for it', async () => {
    const plane = await openRouter([makeRoute({ path: '/other', service: 'other' })], { other: 1 });
    const listeners = [{ ...plane.listener!, policy: { ...plane.listener!.policy, http2: true } }];
    await plane.worker.apply({ version: 2, upsert: [], remove: [], listeners });
    const { error } = await unary(clientOf(plane), DEFINITION.unary, '');
    // What the HTTP status of ours stands for, which clients that get that itself are not told.
    expect(error?.code).toBe(status.UNIMPLEMENTED);
    expect(error?.metadata.get('x-upriver-reason')).toEqual(['no-service']);
    expect(error?.details).not.toContain('HTTP');
  });

  it('is bounded by its deadline here too', async () => {
    const endpoint = await serve();
    const { client, plane } = await open([endpoint]);
    const { error } = await unary(client, DEFINITION.never, 'x', 200);
    expect(error?.code).toBe(status.DEADLINE_EXCEEDED);
    await plane.quiet();
    await expect.poll(() => endpoint.cancelled).toEqual(['never']);
  });

  it('is cancelled at the endpoint when the client cancels', async () => {
    const endpoint = await serve();
    const { client, plane } = await open([endpoint]);
    const talk = client.makeBidiStreamRequest(DEFINITION.chat.path, bytes, text);
    talk.on('error', () => {});
    talk.write('hello');
    await new Promise((resolve) => talk.once('data', resolve));
    talk.cancel();
    await expect.poll(() => endpoint.cancelled).toEqual(['chat']);
    await plane.quiet();
  });

  it.each(['the client', 'the endpoint'])(
    'is no failure of its endpoint where the client falls silent, and %s spoke last',
    async (last) => {
      const endpoint = await serve();
      const { client, plane } = await open([endpoint], {
        timeouts: { idleBodyMs: 1000, connectMs: 300 },
      });
      const talk = client.makeBidiStreamRequest(DEFINITION.chat.path, bytes, text);
      const ended = new Promise<ServiceError>((resolve) => talk.on('error', resolve));
      talk.write('hello');
      await new Promise((resolve) => talk.once('data', resolve));
      if (last === 'the client') {
        talk.write(HUSH);
        await expect.poll(() => endpoint.hushed).toBe(1);
      }
      plane.advance(1500);
      expect((await ended).code).toBe(status.INTERNAL);
      await plane.quiet();
      expect(plane.reasons('client-body-timeout')).toBe(1);
      expect(plane.endpointCount(0, 'failures')).toBe(0);
    },
  );

  it('is not blamed for what it keeps back while it waits for an endpoint', async () => {
    const policy = { ...H2C, limits: { parkMs: 5000 }, timeouts: { idleBodyMs: 1000 } } as const;
    const { client, plane } = await open([], policy);
    const talk = client.makeBidiStreamRequest(DEFINITION.chat.path, bytes, text);
    talk.on('error', () => {});
    const answered = new Promise((resolve) => talk.once('data', resolve));
    talk.write('hello');
    await expect.poll(() => plane.waiting()).toBe(1);
    plane.advance(1500);
    plane.wheel.tick();
    expect(plane.waiting()).toBe(1);
    await plane.apply([makeSnapshot(serviceOf(policy), [(await serve()).port])]);
    expect(await answered).toBe('echo: hello');
    talk.cancel();
    await plane.quiet();
  });

  it('goes elsewhere when an endpoint refuses connections', async () => {
    const gone = { port: 1, calls: 0, hushed: 0, cancelled: [] };
    const { client } = await open([gone, await serve('here')]);
    for (let i = 0; i < 6; i += 1) {
      expect((await unary(client, DEFINITION.unary, String(i))).value).toBe(`here: ${i}`);
    }
  });

  it('of one connection is balanced by streams in flight, exactly', async () => {
    const endpoints = [await serve('a'), await serve('b'), await serve('c'), await serve('d')];
    const balance = { policy: 'least-conn', hash: null } as const;
    const { client, plane } = await open(endpoints, { balance });
    const talks = Array.from({ length: 64 }, () =>
      client.makeBidiStreamRequest(DEFINITION.chat.path, bytes, text),
    );
    for (const talk of talks) {
      talk.on('error', () => {});
      talk.write('x');
    }
    await Promise.all(talks.map((talk) => new Promise((resolve) => talk.once('data', resolve))));
    expect([0, 1, 2, 3].map((slot) => plane.ledger.inFlight(slot))).toEqual([16, 16, 16, 16]);
    // Those of one endpoint end: the next ones go there.
    for (const talk of talks.filter((_, i) => i % 2 === 0)) talk.end();
    await expect.poll(() => plane.inFlight()).toBe(32);
    const more = Array.from({ length: 32 }, () =>
      client.makeBidiStreamRequest(DEFINITION.chat.path, bytes, text),
    );
    for (const talk of more) {
      talk.on('error', () => {});
      talk.write('x');
    }
    await Promise.all(more.map((talk) => new Promise((resolve) => talk.once('data', resolve))));
    expect([0, 1, 2, 3].map((slot) => plane.ledger.inFlight(slot))).toEqual([16, 16, 16, 16]);
    for (const talk of [...talks, ...more]) talk.cancel();
    await plane.quiet();
  });
});
