// Checks over HTTP/2, against Node's server: the HTTP check, and gRPC's health protocol.
import { createSecureServer, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2';
import { createServer as createHttps } from 'node:https';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { probe } from '../../src/health/probe.ts';
import type { HealthCheck, UpstreamTls } from '../../src/model/service.ts';
import { Authority } from '../support/certificates.ts';
import { makeCheck } from '../support/check.ts';
import { closeHttp2Endpoints, type Handler, serveHttp2 } from '../support/http2-endpoint.ts';

const servers: Server[] = [];
afterEach(() => {
  closeHttp2Endpoints();
  for (const server of servers.splice(0)) server.close();
});

const authority = new Authority();
afterAll(() => authority.remove());
const issued = authority.issue(['127.0.0.1']);
const TLS: UpstreamTls = {
  ...{ caFile: authority.caFile, certFile: '', keyFile: '', serverName: '', verify: true },
};

async function portOf(server: Server): Promise<number> {
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}

/** By HTTP/2 alone, or by either, over TLS. */
function secureHttp2(allowHTTP1: boolean, answer: (version: string) => string): Server {
  const { cert, key } = issued;
  return createSecureServer({ cert, key, allowHTTP1 }, (asked, response) => {
    response.setHeader('x-version', asked.httpVersion);
    response.statusCode = asked.headers['x-ask'] === 'no' ? 503 : 200;
    response.end(answer(asked.httpVersion));
  });
}

function secureHttp1(): Server {
  const { cert, key } = issued;
  return createHttps({ cert, key }, (_asked, response) => response.end('by 1.1'));
}

async function run(parts: Partial<HealthCheck>, handler: Handler) {
  const { port } = await serveHttp2(handler);
  const check = makeCheck({ version: 'http2', timeoutMs: 2000, ...parts });
  return probe(check, { address: '127.0.0.1', port }, new AbortController().signal);
}

describe('an HTTP check of endpoints that speak HTTP/2', () => {
  it('asks for the path, with the host, and looks at the status', async () => {
    let seen: IncomingHttpHeaders = {};
    const answer = (status: number): Handler => {
      return (stream, headers) => {
        seen = headers;
        stream.respond({ ':status': status });
        stream.end('x'.repeat(100));
      };
    };
    const good = await run({ path: '/up', host: 'a.example' }, answer(204));
    expect(good).toEqual({ isGood: true, text: 'GET /up answered 204' });
    expect(seen).toMatchObject({ ':path': '/up', ':authority': 'a.example', ':method': 'GET' });
    const bad = await run({ path: '/up' }, answer(503));
    expect(bad).toEqual({ isGood: false, text: 'GET /up answered 503' });
  });

  it.each<[string, Handler]>([
    ['no answer within 200ms', () => {}],
    ['stream is reset', (stream) => stream.close(2)],
    ['connection closed', (stream) => stream.session?.destroy()],
  ])('fails: %s', async (_, handler) => {
    const outcome = await run({ timeoutMs: 200 }, handler);
    expect(outcome.isGood).toBe(false);
    expect(outcome.text).toMatch(/^no answer within 200ms$|closed|reset/);
  });

  it('fails where HTTP/1.1 is spoken, or nothing listens', async () => {
    const server = createServer((socket) => {
      socket.resume();
      socket.end('HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n');
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as { port: number };
    const check = makeCheck({ version: 'http2', timeoutMs: 2000 });
    const target = { address: '127.0.0.1', port };
    const { signal } = new AbortController();
    expect(await probe(check, target, signal)).toEqual({
      isGood: false,
      text: 'no HTTP/2 is spoken there',
    });
    await new Promise((resolve) => server.close(resolve));
    expect(await probe(check, target, signal)).toEqual({
      isGood: false,
      text: 'connection refused',
    });
  });
});

/** Answers with a message of these bytes, and a status. */
function serving(message: readonly number[], seen: Buffer[] = [], status = '0'): Handler {
  return (stream: ServerHttp2Stream) => {
    stream.on('data', (piece: Buffer) => seen.push(piece));
    stream.on('end', () => {
      stream.respond(
        { ':status': 200, 'content-type': 'application/grpc' },
        { waitForTrailers: true },
      );
      stream.on('wantTrailers', () =>
        stream.sendTrailers({ 'grpc-status': status, 'grpc-message': 'n%C3%A4her' }),
      );
      stream.end(Buffer.from([0, 0, 0, 0, message.length, ...message]));
    });
  };
}

describe('a gRPC check', () => {
  it('asks for the service by its name', async () => {
    const seen: Buffer[] = [];
    const outcome = await run({ type: 'grpc', grpcService: 'a.Echo' }, serving([0x08, 1], seen));
    expect(outcome).toEqual({ isGood: true, text: 'SERVING' });
    expect(Buffer.concat(seen)).toEqual(
      Buffer.concat([Buffer.from([0, 0, 0, 0, 8, 0x0a, 6]), Buffer.from('a.Echo')]),
    );
  });

  it.each<[string, readonly number[]]>([
    ['NOT_SERVING', [0x08, 2]],
    ['SERVICE_UNKNOWN', [0x08, 3]],
    ['UNKNOWN', []],
  ])('is bad where the answer is %s', async (text, message) => {
    expect(await run({ type: 'grpc' }, serving(message))).toEqual({ isGood: false, text });
  });

  it('is bad where the call fails, and says how', async () => {
    expect(await run({ type: 'grpc' }, serving([], [], '12'))).toEqual({
      isGood: false,
      text: 'grpc-status 12: näher',
    });
    const alone: Handler = (stream) => {
      stream.respond({ ':status': 200, 'grpc-status': '5' }, { endStream: true });
    };
    expect(await run({ type: 'grpc' }, alone)).toEqual({ isGood: false, text: 'grpc-status 5' });
  });
});

describe('a check over TLS', () => {
  const probeAt = (port: number, parts: Partial<HealthCheck>) => {
    const check = makeCheck({ tls: TLS, path: '/', timeoutMs: 2000, ...parts });
    return probe(check, { address: '127.0.0.1', port }, new AbortController().signal);
  };
  const by = (version: string) => `by ${version}`;
  const expects = (bytes: string) => ({ kind: 'bytes', bytes }) as const;

  it('is made by HTTP/2 where requests are, with its headers, and looks into the body', async () => {
    const port = await portOf(secureHttp2(false, by));
    const good = { version: 'http2', expect: expects('by 2.0') } as const;
    expect(await probeAt(port, good)).toEqual({ isGood: true, text: 'GET / answered 200' });
    const other = await probeAt(port, { ...good, expect: expects('by 1.1') });
    expect(other).toEqual({ isGood: false, text: 'GET / answered 200, without "by 1.1"' });
    const refused = await probeAt(port, { ...good, headers: { 'x-ask': 'no' } });
    expect(refused).toEqual({ isGood: false, text: 'GET / answered 503' });
    const untrusted = await probeAt(port, { ...good, tls: { ...TLS, caFile: '' } });
    expect(untrusted.isGood).toBe(false);
  });

  it('is made by what the endpoint chooses, where requests are', async () => {
    const auto = { version: 'auto' } as const;
    const both = await portOf(secureHttp2(true, by));
    const http2 = await portOf(secureHttp2(false, by));
    const http1 = await portOf(secureHttp1());
    for (const [port, body] of [
      [both, 'by 2.0'],
      [http2, 'by 2.0'],
      [http1, 'by 1.1'],
    ] as const) {
      const outcome = await probeAt(port, { ...auto, expect: expects(body) });
      expect(outcome).toEqual({ isGood: true, text: 'GET / answered 200' });
    }
    const plain = createServer((socket) => void socket.resume());
    const silent = await probeAt(await portOf(plain), { ...auto, timeoutMs: 100 });
    expect(silent).toEqual({ isGood: false, text: 'no answer within 100ms' });
  });

  it("asks gRPC's health service by TLS", async () => {
    const { cert, key } = issued;
    const server = createSecureServer({ cert, key });
    server.on('stream', (stream: ServerHttp2Stream) => {
      stream.respond({ ':status': 200 }, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
      stream.end(Buffer.from([0, 0, 0, 0, 2, 8, 1]));
    });
    const outcome = await probeAt(await portOf(server), { type: 'grpc' });
    expect(outcome).toEqual({ isGood: true, text: 'SERVING' });
  });
});
