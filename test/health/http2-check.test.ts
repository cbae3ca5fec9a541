// Checks over HTTP/2, against Node's server: the HTTP check, and gRPC's health protocol.
import type { IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import { createServer } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { probe } from '../../src/health/probe.ts';
import type { HealthCheck } from '../../src/model/service.ts';
import { makeCheck } from '../support/check.ts';
import { closeHttp2Endpoints, type Handler, serveHttp2 } from '../support/http2-endpoint.ts';

afterEach(closeHttp2Endpoints);

async function run(parts: Partial<HealthCheck>, handler: Handler) {
  const { port } = await serveHttp2(handler);
  const check = makeCheck({ speaksHttp2: true, timeoutMs: 2000, ...parts });
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
    const check = makeCheck({ speaksHttp2: true, timeoutMs: 2000 });
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
