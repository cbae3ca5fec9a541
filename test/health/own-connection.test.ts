// Every kind of check reaches endpoints as traffic does: with a PROXY header where they expect one, over
// TLS where they speak that, with both where they want both.
import { createServer as createHttp } from 'node:http';
import {
  createServer as createHttp2,
  createSecureServer,
  type ServerHttp2Stream,
} from 'node:http2';
import { createServer as createHttps } from 'node:https';
import { type AddressInfo, createServer as createPlain, type Server, type Socket } from 'node:net';
import { createServer as createTls } from 'node:tls';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { probe } from '../../src/health/probe.ts';
import type { HealthCheck, UpstreamTls } from '../../src/model/service.ts';
import { Authority } from '../support/certificates.ts';
import { makeCheck } from '../support/check.ts';
import { readHeadersFor } from '../support/header-reader.ts';

const authority = new Authority();
afterAll(() => authority.remove());
const { cert, key } = authority.issue(['api.internal']);
const TLS: UpstreamTls = {
  ...{ caFile: authority.caFile, certFile: '', keyFile: '', verify: true },
  serverName: 'api.internal',
};

const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

/** What an endpoint sends to whoever has sent a line. */
const talk = (answer: string) => (socket: Socket) => {
  socket.on('error', () => {});
  socket.once('data', () => socket.write(answer));
  socket.on('end', () => socket.end());
};

const grpcAnswer = Buffer.from([0, 0, 0, 0, 2, 8, 1]);

interface Kind {
  readonly check: Partial<HealthCheck>;
  readonly serve: (isSecure: boolean) => Server;
}

const own = { cert, key };
const talking = (answer: string) => (isSecure: boolean) =>
  isSecure ? createTls(own, talk(answer)) : createPlain(talk(answer));

const KINDS: Readonly<Record<string, Kind>> = {
  http: {
    check: { type: 'http' },
    serve: (isSecure) =>
      isSecure ? createHttps(own, (_, to) => to.end()) : createHttp((_, to) => to.end()),
  },
  'http in HTTP/2': {
    check: { type: 'http', version: 'http2' },
    serve: (isSecure) => {
      const server = isSecure ? createSecureServer(own) : createHttp2();
      return server.on('request', (_, to) => to.end()) as unknown as Server;
    },
  },
  grpc: {
    check: { type: 'grpc' },
    serve: (isSecure) => {
      const server = isSecure ? createSecureServer(own) : createHttp2();
      server.on('stream', (stream: ServerHttp2Stream) => {
        stream.respond({ 'content-type': 'application/grpc' }, { waitForTrailers: true });
        stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
        stream.end(grpcAnswer);
      });
      return server as unknown as Server;
    },
  },
  redis: { check: { type: 'redis' }, serve: talking('+PONG\r\n') },
  memcached: { check: { type: 'memcached' }, serve: talking('VERSION 1.6\r\n') },
  send_expect: {
    check: { type: 'send_expect', send: 'hello\r\n', expect: { kind: 'bytes', bytes: 'ready' } },
    serve: talking('ready\r\n'),
  },
  tcp: { check: { type: 'tcp' }, serve: talking('') },
};

describe.each(Object.entries(KINDS))('a check by %s', (_, { check, serve }) => {
  describe.each([
    ['without TLS', null],
    ['over TLS', TLS],
  ])('%s', (_name, tls) => {
    it.each(['off', 'v1', 'v2'] as const)('with send_proxy: %s', async (sendProxy) => {
      const server = serve(tls !== null);
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      closing.push(() => server.close());
      let { port } = server.address() as AddressInfo;
      const reader = sendProxy === 'off' ? null : await readHeadersFor(port);
      if (reader !== null) closing.push(() => reader.close());
      if (reader !== null) port = reader.port;
      const whole = makeCheck({ timeoutMs: 5000, tls, sendProxy, ...check });
      const target = { address: '127.0.0.1', port };
      const outcome = await probe(whole, target, new AbortController().signal);
      expect(outcome).toMatchObject({ isGood: true });
      if (reader !== null) {
        await expect.poll(() => reader.headers.length, { interval: 5 }).toBe(1);
        expect(reader.headers[0]).toMatchObject({ kind: 'whole', peer: null });
      }
    });
  });
});

describe('a check over TLS', () => {
  it.each(['redis', 'grpc', 'http in HTTP/2'])('by %s believes no other name', async (kind) => {
    const { check, serve } = KINDS[kind]!;
    const server = serve(true);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    closing.push(() => server.close());
    const { port } = server.address() as AddressInfo;
    const tls = { ...TLS, serverName: 'other.internal' };
    for (const sendProxy of ['off', 'v2'] as const) {
      const reader = sendProxy === 'off' ? null : await readHeadersFor(port);
      if (reader !== null) closing.push(() => reader.close());
      const whole = makeCheck({ timeoutMs: 5000, tls, sendProxy, ...check });
      const target = { address: '127.0.0.1', port: reader?.port ?? port };
      const outcome = await probe(whole, target, new AbortController().signal);
      expect(outcome).toMatchObject({
        ...{ isGood: false, text: expect.stringMatching(/ALTNAME|altnames|certificate/i) },
      });
    }
  });
});
