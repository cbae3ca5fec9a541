// PROXY protocol on the real path, in and out, over loopback.
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { createServer } from 'node:tls';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { upstreamKey } from '../../src/model/tls.ts';
import { readProxyHeader, writeV1, writeV2 } from '../../src/proxy/proxy-protocol/proxy-header.ts';
import { Authority } from '../support/certificates.ts';
import { readHeadersFor } from '../support/header-reader.ts';
import { makeService } from '../support/service.ts';
import { ending, TcpStage } from '../support/tcp-stage.ts';

let stage: TcpStage;

beforeEach(() => {
  stage = new TcpStage();
});
afterEach(() => stage.close());

const echo = () => stage.listenPeer((socket) => void socket.pipe(socket));
const LOCAL = { acceptProxy: ['127.0.0.0/8'] };
const client = {
  source: { address: '192.0.2.7', port: 4711 },
  destination: { address: '198.51.100.1', port: 443 },
  tls: null,
};

async function firstBytes(socket: Socket): Promise<string> {
  const [bytes] = (await once(socket, 'data')) as [Buffer];
  return bytes.toString('latin1');
}

describe('a listener that accepts PROXY headers', () => {
  it.each([
    ['v1', writeV1(client)],
    ['v2', writeV2(client)],
    ['v1 UNKNOWN', Buffer.from('PROXY UNKNOWN\r\n')],
    ['v2 LOCAL', writeV2(null)],
  ])(
    'relays what follows the header, in the same segment or a later one: %s',
    async (_, header) => {
      await stage.serve([await echo()], {}, [], LOCAL);
      const one = await stage.dial();
      one.write(Buffer.concat([header, Buffer.from('with it')]));
      expect(await firstBytes(one)).toBe('with it');
      const other = await stage.dial();
      for (const byte of header) {
        other.write(Buffer.from([byte]));
        await new Promise((resolve) => setImmediate(resolve));
      }
      other.write('after it');
      expect(await firstBytes(other)).toBe('after it');
      for (const socket of [one, other]) {
        socket.end();
        expect(await ending(socket)).toBe('end');
      }
    },
  );

  it('limits by the address that the header names', async () => {
    const limits = { ...makeService().limits, connectionsPerClient: 1 };
    await stage.serve([await echo()], { limits }, [], LOCAL);
    const dialAs = async (address: string) => {
      const socket = await stage.dial();
      socket.write(writeV2({ ...client, source: { address, port: 1 } }));
      socket.write('hi');
      return socket;
    };
    const one = await dialAs('192.0.2.1');
    expect(await firstBytes(one)).toBe('hi');
    expect(await firstBytes(await dialAs('192.0.2.2'))).toBe('hi');
    expect(await ending(await dialAs('192.0.2.1'))).toBe('ECONNRESET');
    await stage.ended('client-connections').toBe(1);
  });

  it.each([
    ['GET / HTTP/1.1\r\n\r\n'],
    ['PROXY TCP4 1.1.1.1 2.2.2.2 1\r\nrest'],
    ['\r\n\r\n\0\r\nQUIT\n\x11\x11\0\0'],
    [`PROXY TCP4 ${'1'.repeat(120)}`],
  ])('cuts off a trusted peer without a good header: %j', async (bytes) => {
    const seen: string[] = [];
    const port = await stage.listenPeer((socket) => {
      seen.push('connected');
      socket.resume();
    });
    await stage.serve([port], {}, [], LOCAL);
    const socket = await stage.dial();
    socket.write(Buffer.from(bytes, 'latin1'));
    expect(await ending(socket)).toBe('ECONNRESET');
    await stage.ended('bad-proxy-header').toBe(1);
    expect(seen).toEqual([]);
    await stage.quiet();
  });

  it('cuts off a header that does not come in time, or ends within it', async () => {
    const timeouts = { ...makeService().timeouts, clientHeaderMs: 100 };
    await stage.serve([await echo()], { timeouts }, [], LOCAL);
    const slow = await stage.dial();
    slow.write('PROXY TCP4 ');
    expect(await ending(slow)).toBe('ECONNRESET');
    const short = await stage.dial();
    short.end('PROXY');
    expect(['ECONNRESET', 'end']).toContain(await ending(short));
    await stage.ended('bad-proxy-header').toBe(2);
  });

  it.each([
    ['v1', writeV1(client)],
    ['v2', writeV2(client)],
  ])(
    'believes no other network: its header is cut off, its clients are served (%s)',
    async (_, header) => {
      const seen: string[] = [];
      const port = await stage.listenPeer((socket) => {
        socket.on('data', (bytes: Buffer) => {
          seen.push(bytes.toString('latin1'));
          socket.write(bytes);
        });
      });
      await stage.serve([port], {}, [], { acceptProxy: ['10.0.0.0/8'] });
      const liar = await stage.dial();
      liar.write(header);
      expect(await ending(liar)).toBe('ECONNRESET');
      await stage.ended('bad-proxy-header').toBe(1);
      const honest = await stage.dial();
      honest.write('hello');
      expect(await firstBytes(honest)).toBe('hello');
      expect(seen).toEqual(['hello']);
    },
  );
});

describe('a header of a client who may not send one', () => {
  const headers = [writeV1(client), writeV2(client)].flatMap((header, i) =>
    Array.from({ length: i === 0 ? 6 : 12 }, (_, at) => ({ header, at, version: i + 1 })),
  );

  it.each(headers)(
    'never reaches the endpoint: v$version, split at $at',
    async ({ header, at }) => {
      const heard: Buffer[] = [];
      const port = await stage.listenPeer((socket) => {
        socket.on('data', (bytes: Buffer) => {
          heard.push(bytes);
          socket.write('.');
        });
      });
      await stage.serve([port], {}, [], { acceptProxy: ['10.0.0.0/8'] });
      const liar = await stage.dial();
      if (at > 0) {
        // What is no header yet is relayed.
        liar.write(header.subarray(0, at));
        await once(liar, 'data');
      }
      liar.write(header.subarray(at));
      expect(await ending(liar)).toBe('ECONNRESET');
      await stage.ended('bad-proxy-header').toBe(1);
      await stage.quiet();
      expect(Buffer.concat(heard)).toEqual(header.subarray(0, at));
    },
  );

  it('is looked for by each byte, also while the endpoint is silent', async () => {
    const heard: Buffer[] = [];
    const port = await stage.listenPeer((socket) => {
      socket.on('data', (bytes: Buffer) => heard.push(bytes));
    });
    await stage.serve([port], {}, [], { acceptProxy: ['10.0.0.0/8'] });
    const liar = await stage.dial();
    liar.setNoDelay(true);
    for (const byte of writeV1(client).subarray(0, 6)) liar.write(Buffer.from([byte]));
    expect(await ending(liar)).toBe('ECONNRESET');
    await stage.ended('bad-proxy-header').toBe(1);
    expect(Buffer.concat(heard).length).toBeLessThan(6);
  });

  it('is nothing that a client says who only begins like it', async () => {
    await stage.serve([await echo()], {}, [], { acceptProxy: ['10.0.0.0/8'] });
    for (const [first, rest] of [
      ['PRO', 'BE\r\n'],
      ['\r\n\r\n', 'hello'],
      ['P', 'ROXYLESS'],
    ] as const) {
      const honest = await stage.dial();
      honest.write(first);
      expect(await firstBytes(honest)).toBe(first);
      honest.write(rest);
      expect(await firstBytes(honest)).toBe(rest);
      honest.end();
      expect(await ending(honest)).toBe('end');
    }
  });
});

describe('an endpoint that is sent PROXY headers', () => {
  it.each(['v1', 'v2'] as const)('learns who the client is: %s', async (sendProxy) => {
    let received = Buffer.alloc(0);
    const port = await stage.listenPeer((socket) => {
      socket.on('data', (bytes: Buffer) => {
        received = Buffer.concat([received, bytes]);
        socket.write('ok');
      });
    });
    await stage.serve([port], { upstream: { ...makeService().upstream, sendProxy } });
    const socket = await stage.dial('127.0.0.3');
    socket.write('query');
    await firstBytes(socket);
    await expect.poll(() => received.includes('query')).toBe(true);
    const read = readProxyHeader(received);
    expect(read).toMatchObject({
      kind: 'whole',
      peer: {
        address: '127.0.0.3',
        port: socket.localPort,
        destination: { address: '127.0.0.1', port: stage.listener.port },
      },
    });
    if (read.kind === 'whole') expect(received.subarray(read.length).toString()).toBe('query');
  });

  it('learns who the client of the balancer before us is', async () => {
    let received = Buffer.alloc(0);
    const port = await stage.listenPeer((socket) => {
      socket.on('data', (bytes: Buffer) => {
        received = Buffer.concat([received, bytes]);
      });
    });
    const upstream = { ...makeService().upstream, sendProxy: 'v2' as const };
    await stage.serve([port], { upstream }, [], LOCAL);
    const socket = await stage.dial();
    socket.write(writeV1(client));
    await expect.poll(() => received.length).toBeGreaterThan(0);
    const { source, destination } = client;
    expect(readProxyHeader(received)).toMatchObject({ peer: { ...source, destination } });
  });

  it.each(['v1', 'v2'] as const)('and then speaks TLS: %s', async (sendProxy) => {
    const authority = new Authority();
    const { cert, key } = authority.issue(['127.0.0.1']);
    const server = createServer({ cert, key }, (socket) => {
      socket.on('error', () => {});
      socket.pipe(socket);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const reader = await readHeadersFor((server.address() as { port: number }).port);
    const tls = { caFile: '/ca.pem', certFile: '', keyFile: '', serverName: '', verify: true };
    const material = { key: upstreamKey(tls), ca: authority.ca, cert: '', privateKey: '' };
    stage.upstreamTls.set(material.key, material);
    await stage.serve([reader.port], { upstream: { ...makeService().upstream, sendProxy, tls } });
    const socket = await stage.dial('127.0.0.3');
    socket.write('query');
    expect(await firstBytes(socket)).toBe('query');
    const peer = { address: '127.0.0.3', port: socket.localPort };
    expect(reader.headers).toMatchObject([{ kind: 'whole', peer }]);
    socket.end();
    expect(await ending(socket)).toBe('end');
    await stage.quiet();
    expect(reader.errors).toEqual([]);
    // What is cut looks cut to the endpoint as well.
    const cut = await stage.dial();
    cut.write('again');
    expect(await firstBytes(cut)).toBe('again');
    cut.resetAndDestroy();
    await expect.poll(() => reader.errors).toEqual(['ECONNRESET']);
    await stage.quiet();
    reader.close();
    server.close();
    authority.remove();
  });
});
