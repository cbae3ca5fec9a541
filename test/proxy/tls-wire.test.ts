// TLS at the level of wires: what a handler sees of a connection whose other end is a real TLS client,
// and what the client sees of how it is closed. What it relies on of Node is undocumented, so each
// part of it is looked for here.
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, connect as connectPlain, createServer, type Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { silentLogger } from '../../src/base/log.ts';
import type { ServerTls, Wire, WireServer } from '../../src/proxy/network.ts';
import { connectWire } from '../../src/proxy/wire/connect.ts';
import { listenWires } from '../../src/proxy/wire/listen.ts';
import { type ReadBuffer, ReadBuffers } from '../../src/proxy/wire/read-buffers.ts';
import { type CipherHandle, systemHandles } from '../../src/proxy/wire/system-handles.ts';
import { Authority, certificateOf, materialOf } from '../support/certificates.ts';
import { loopback } from '../support/service.ts';

const authority = new Authority();
afterAll(() => authority.remove());

const localhost = certificateOf(['localhost'], authority.issue(['localhost']));
const other = certificateOf(['*.example.com'], authority.issue(['*.example.com']));

const tlsOf = (parts: Partial<ServerTls> = {}): ServerTls => ({
  material: materialOf([localhost, other]),
  protocols: [],
  plainReply: Buffer.alloc(0),
  helloMs: 5000,
  ...parts,
});

let tls: ServerTls | 'refuse' | null;
let server: WireServer;
/** For what reads the date; timers and OpenSSL keep theirs. */
function setDaysFromNow(days: number): void {
  vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + days * 86_400_000 });
}
afterEach(() => vi.useRealTimers());

let seen: string[];
let wires: Wire[];
const clients: Socket[] = [];

beforeEach(() => {
  tls = tlsOf();
  seen = [];
  wires = [];
});

afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy();
  for (const wire of wires) wire.destroy();
  await server.close();
});

/** As the data plane relays: what is not taken holds its sender back. */
function relayTo(from: Wire, to: Wire): void {
  from.handler = {
    ...from.handler,
    onBytes: (base, start, end) => {
      if (!from.forwardTo(to, base, start, end)) from.pause();
    },
  };
  to.handler = { ...to.handler, onDrain: () => from.resume() };
}

/** Reads so many bytes, resting now and then. */
function slowly(client: TLSSocket, size: number): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let count = 0;
  return new Promise((resolve) => {
    client.on('data', (piece: Buffer) => {
      pieces.push(piece);
      count += piece.length;
      if (count === size) resolve(Buffer.concat(pieces));
      else if (pieces.length % 16 === 0) {
        client.pause();
        setTimeout(() => client.resume(), 2);
      }
    });
  });
}

/** Knows which are taken, and spoils those that are given back. Giving one back twice throws. */
class CountedBuffers extends ReadBuffers {
  readonly taken = new Set<ReadBuffer>();

  override take(bytes?: number): ReadBuffer {
    const buffer = super.take(bytes);
    this.taken.add(buffer);
    return buffer;
  }

  override give(buffer: ReadBuffer): void {
    super.give(buffer);
    if (buffer.base === this.shared.base) return;
    this.taken.delete(buffer);
    buffer.base.fill('!');
  }
}

/** A listener whose wires write down what happens to them. */
async function serve(isFast = true, buffers = new ReadBuffers()): Promise<void> {
  // Those of an earlier test may close later.
  const told = seen;
  server = await listenWires({
    ...{ address: loopback(), reusePort: false, isFast },
    ...{ buffers, log: silentLogger },
    tls: () => tls,
    onWire: (wire) => {
      wires.push(wire);
      wire.handler = {
        onSecure: () => told.push('secure'),
        onBytes: (base, start, end) => told.push(base.toString('latin1', start, end)),
        onEnd: () => told.push('end'),
        onDrain: () => told.push('drain'),
        onClose: (error) => told.push(`close ${error?.code ?? ''}`.trim()),
      };
    },
  });
}

/** The bytes of each write that Node's encryption gets from now on. */
function watchWrites(wire: Wire): number[] {
  const { socket } = wire as unknown as { socket: { cipher: CipherHandle } };
  const { cipher } = socket;
  const sizes: number[] = [];
  const { writeBuffer, writev } = cipher;
  cipher.writeBuffer = (request, bytes) => {
    sizes.push(bytes.length);
    return writeBuffer.call(cipher, request, bytes);
  };
  cipher.writev = (request, pieces, isAll) => {
    // Node's own list names the encoding of each.
    const buffers = pieces.filter((piece) => typeof piece !== 'string');
    sizes.push(buffers.reduce((sum, { length }) => sum + length, 0));
    return writev.call(cipher, request, pieces, isAll);
  };
  return sizes;
}

async function dial(options: ConnectionOptions = {}): Promise<TLSSocket> {
  const known = { port: server.port, host: '127.0.0.1', ca: authority.ca, servername: 'localhost' };
  const client = connect({ ...known, allowHalfOpen: true, ...options } as ConnectionOptions);
  clients.push(client);
  client.on('error', () => {});
  await once(client, 'secureConnect');
  return client;
}

const until = (...expected: string[]) => expect.poll(() => seen, { interval: 2 }).toEqual(expected);

describe.each([true, false])('a wire with TLS (fast way: %s)', (isFast) => {
  beforeEach(() => serve(isFast));

  it('carries bytes both ways, and ends in order', async () => {
    const client = await dial();
    await until('secure');
    const [wire] = wires;
    expect(wire!.tls).toMatchObject({ version: 'TLSv1.3', serverName: 'localhost', protocol: '' });
    client.write('ping');
    await until('secure', 'ping');
    wire!.write(Buffer.from('pong'));
    const [answer] = await once(client, 'data');
    expect(String(answer)).toBe('pong');
    client.end();
    await until('secure', 'ping', 'end');
    wire!.write(Buffer.from('late'));
    expect(String((await once(client, 'data'))[0])).toBe('late');
    wire!.destroy();
    await once(client, 'end');
    await until('secure', 'ping', 'end', 'close');
  });

  it('tells an end without close_notify as an error', async () => {
    // Tickets of TLS 1.3 that were not read yet would make a reset of it.
    const client = await dial({ maxVersion: 'TLSv1.2' });
    client.write('half');
    await until('secure', 'half');
    cutWithFin(client);
    await until('secure', 'half', 'close ERR_TLS_TRUNCATED');
  });

  it('is told the last bytes before an end in the same segment', async () => {
    const client = await dial();
    await until('secure');
    client.end('last');
    await until('secure', 'last', 'end');
  });

  it('says close_notify when it is destroyed in order, and none when it is reset', async () => {
    const one = await dial();
    await until('secure');
    wires[0]!.write(Buffer.from('whole'));
    wires[0]!.destroy();
    const ended = once(one, 'end');
    expect(String((await once(one, 'data'))[0])).toBe('whole');
    await ended;
    const two = await dial();
    const failed = once(two, 'error');
    await expect.poll(() => wires.length).toBe(2);
    await expect.poll(() => wires[1]!.isHandshaking).toBe(false);
    wires[1]!.reset();
    const [error] = (await failed) as [NodeJS.ErrnoException];
    expect(error.code).toBe('ECONNRESET');
  });

  it('says close_notify behind what is still being written', async () => {
    const ends: string[] = [];
    let bytes = '';
    const tlsToServer = {
      material: { key: 'a', ca: authority.ca, cert: '', privateKey: '' },
      ...{ serverName: 'localhost', verify: true, protocols: [], session: null, sessionUntilMs: 0 },
    };
    const target = { address: '127.0.0.1', port: server.port, tls: tlsToServer };
    // Node's own client takes a FIN for an end as well; a wire does not.
    const client = connectWire(
      target,
      {
        onConnect: () => {},
        onBytes: (base, start, end) => {
          bytes += base.toString('latin1', start, end);
        },
        onEnd: () => ends.push('end'),
        onDrain: () => {},
        onClose: (error) => ends.push(`close ${error?.code ?? ''}`.trim()),
      },
      { buffers: new ReadBuffers(), introduction: null },
    );
    await until('secure');
    const [wire] = wires;
    // From within a read, as answers are sent: Node reports the write when that is over.
    wire!.handler = {
      ...wire!.handler,
      onBytes: () => {
        wire!.write(Buffer.from('whole'));
        wire!.destroy();
      },
    };
    client.write(Buffer.from('ask'));
    await expect.poll(() => ends).toEqual(['end']);
    expect(bytes).toBe('whole');
    client.destroy();
  });

  it('keeps what comes after a pause, and its end, until it is resumed', async () => {
    const client = await dial();
    await until('secure');
    const [wire] = wires;
    const { handler } = wire!;
    let taken = 0;
    const onBytes = (base: Buffer, start: number, end: number): void => {
      expect(base.subarray(start, end).every((byte) => byte === 120)).toBe(true);
      taken += end - start;
      wire!.pause();
      setImmediate(() => wire!.resume());
    };
    wire!.handler = { ...handler, onBytes };
    const bytes = Buffer.alloc(3_000_000, 'x');
    client.end(bytes);
    await until('secure', 'end');
    expect(taken).toBe(bytes.length);
  });

  it('keeps what comes after a pause, also where our own end was said before', async () => {
    const client = await dial();
    await until('secure');
    const [wire] = wires;
    let count = 0;
    wire!.handler = {
      ...wire!.handler,
      onBytes: (_base, start, end) => {
        count += end - start;
        wire!.pause();
        // The system's socket has nothing to wait for any more, and closes by then.
        setTimeout(() => wire!.resume(), 5);
      },
    };
    wire!.end();
    client.resume();
    await once(client, 'end');
    client.end(Buffer.alloc(120_000));
    await until('secure', 'end', 'close');
    expect(count).toBe(120_000);
  });

  it('writes a lot to a slow client, and is told when it is with the system', async () => {
    const client = await dial();
    await until('secure');
    client.pause();
    const [wire] = wires;
    const bytes = Buffer.alloc(8_000_000, 'y');
    expect(wire!.write(bytes)).toBe(false);
    expect(wire!.isFlushed).toBe(false);
    const more = Buffer.from('z');
    expect(wire!.write(more)).toBe(false);
    // What must wait was copied.
    more.fill('!');
    let count = 0;
    let last = '';
    client.on('data', (piece: Buffer) => {
      count += piece.length;
      last = piece.toString('latin1', piece.length - 1);
    });
    client.resume();
    await expect.poll(() => count).toBe(bytes.length + 1);
    expect(last).toBe('z');
    await until('secure', 'drain');
    expect(wire!.isFlushed).toBe(true);
  });

  it('encrypts less than 16 KiB at a time where others may write large, however much waits', async () => {
    await server.close();
    const buffers = new ReadBuffers();
    buffers.largeWrites.bytesMax = 0;
    await serve(isFast, buffers);
    const client = await dial();
    await until('secure');
    const [wire] = wires;
    const sizes = watchWrites(wire!);
    const bytes = Buffer.from(Array.from({ length: 300_000 }, (_, i) => i % 251));
    const received = slowly(client, 2 * bytes.length);
    wire!.write(bytes);
    for (let at = 0; at < bytes.length; at += 5000) wire!.write(bytes.subarray(at, at + 5000));
    expect((await received).equals(Buffer.concat([bytes, bytes]))).toBe(true);
    expect(Math.max(...sizes)).toBeLessThan(16 * 1024);
    // What is small leaves together.
    expect(sizes.length).toBeLessThan(45);
  });

  it('is sent what lies in a buffer that all read into, and keeps none of it', async () => {
    const size = 2_000_000;
    const count = 4;
    const ends: TLSSocket[] = [];
    for (let i = 0; i < 2 * count; i += 1) ends.push(await dial());
    await expect.poll(() => seen.length).toBe(2 * count);
    for (let i = 0; i < count; i += 1) relayTo(wires[2 * i]!, wires[2 * i + 1]!);
    const sent = ends.filter((_, i) => i % 2 === 0).map(() => randomBytes(size));
    const got = ends.filter((_, i) => i % 2 === 1).map((client) => slowly(client, size));
    sent.forEach((bytes, i) => {
      ends[2 * i]!.write(bytes);
    });
    for (const [i, bytes] of (await Promise.all(got)).entries()) {
      expect(bytes.equals(sent[i]!)).toBe(true);
    }
  });

  it('gives each copy back once, when it is encrypted, however the connections beside it end', async () => {
    await server.close();
    const buffers = new CountedBuffers();
    await serve(isFast, buffers);
    const ends: TLSSocket[] = [];
    for (let i = 0; i < 8; i += 1) ends.push(await dial());
    await expect.poll(() => seen.length).toBe(ends.length);
    const piece = 100_000;
    const sent = ends.map(() => randomBytes(30 * piece));
    const read: Promise<Buffer>[] = [];
    for (const [i, client] of ends.entries()) {
      const wire = wires[i]!;
      if (i % 4 === 0) read.push(slowly(client, sent[i]!.length));
      if (i % 4 === 1) client.once('data', () => client.destroy());
      if (i % 4 === 2) client.once('data', () => wire.destroy());
      if (i % 4 === 3) client.once('data', () => wire.reset());
      for (let at = 0; at < sent[i]!.length; at += piece) {
        const source = Buffer.from(sent[i]!.subarray(at, at + piece));
        wire.write(source);
        if (at > 0) source.fill('!');
      }
    }
    expect(buffers.taken.size).toBe(29 * ends.length);
    for (const [i, bytes] of (await Promise.all(read)).entries())
      expect(bytes.equals(sent[4 * i]!)).toBe(true);
    await expect.poll(() => buffers.taken.size).toBe(0);
  });

  it('chooses the certificate by name, and takes another as soon as there is one', async () => {
    const subject = async (servername: string) => {
      const client = await dial({ servername, checkServerIdentity: () => undefined });
      return (client.getPeerCertificate().subject as { CN?: string }).CN;
    };
    expect(await subject('localhost')).toBe('localhost');
    expect(await subject('www.EXAMPLE.com')).toBe('*.example.com');
    expect(await subject('a.b.example.com')).toBe('localhost');
    tls = tlsOf({ material: materialOf([other]) });
    expect(await subject('localhost')).toBe('*.example.com');
  });

  it('has a certificate for a client that asks for no name', async () => {
    const client = await dial({ servername: '', checkServerIdentity: () => undefined });
    await until('secure');
    expect(wires[0]!.tls!.serverName).toBe('');
    expect(client.getPeerCertificate().subjectaltname).toBe('DNS:localhost');
  });

  it('resumes sessions by tickets, those of another thread with the same key included', async () => {
    const first = await dial();
    first.resume();
    const [session] = (await once(first, 'session')) as [Buffer];
    tls = tlsOf();
    await dial({ session });
    await expect.poll(() => wires[1]?.tls?.isResumed).toBe(true);
    tls = tlsOf({
      material: materialOf([localhost], { ticketKey: new Uint8Array(48).fill(9) }),
    });
    await dial({ session });
    await expect.poll(() => wires[2]?.tls?.isResumed).toBe(false);
  });

  it('negotiates a protocol', async () => {
    tls = tlsOf({ protocols: ['h2', 'http/1.1'] });
    const client = await dial({ ALPNProtocols: ['http/1.1', 'h2'] });
    expect(client.alpnProtocol).toBe('h2');
    await expect.poll(() => wires[0]?.tls?.protocol).toBe('h2');
  });
});

it('begins to encrypt with the first bytes, in pieces for which Node keeps little memory', async () => {
  const system = systemHandles!;
  const { wrap } = system;
  const pieces: number[] = [];
  const wrapping = vi.spyOn(system, 'wrap').mockImplementation((...parts) => {
    const cipher = wrap(...parts);
    const receive = cipher.receive.bind(cipher);
    cipher.receive = (bytes) => {
      pieces.push(bytes.length);
      receive(bytes);
    };
    return cipher;
  });
  try {
    await serve();
    const silent = connectPlain({ port: server.port, host: '127.0.0.1', allowHalfOpen: true });
    clients.push(silent);
    await expect.poll(() => wires.length).toBe(1);
    expect(wires[0]!.isHandshaking).toBe(true);
    // A key share of ML-KEM alone has 1,184 bytes.
    const client = await dial({ ecdhCurve: 'X25519MLKEM768' });
    client.write('hello');
    await until('secure', 'hello');
    expect(wrapping).toHaveBeenCalledTimes(1);
    expect(pieces.length).toBeGreaterThan(1);
    // With 1,024 Node would set 16 KiB aside for good.
    expect(Math.max(...pieces)).toBeLessThan(1024);
    silent.end();
    await until('secure', 'hello', 'close ERR_TLS_TRUNCATED');
  } finally {
    wrapping.mockRestore();
  }
});

it('is given a ClientHello byte by byte', async () => {
  await serve();
  const relay = createServer((client) => {
    const out = connectPlain({ port: server.port, host: '127.0.0.1', noDelay: true });
    clients.push(out, client);
    let turn = Promise.resolve();
    client.on('data', (bytes: Buffer) => {
      for (const byte of bytes.subarray(0, 50)) {
        const one = Buffer.from([byte]);
        turn = turn.then(
          () => new Promise((resolve) => out.write(one, () => setImmediate(resolve))),
        );
      }
      turn = turn.then(() => void out.write(bytes.subarray(50)));
    });
    out.pipe(client);
  }).listen(0, '127.0.0.1');
  await once(relay, 'listening');
  const { port } = relay.address() as AddressInfo;
  const client = await dial({ port });
  client.write('hello');
  await until('secure', 'hello');
  relay.close();
});

describe('clients with certificates', () => {
  const alice = authority.issue([], { subject: '/O=Example, Inc/CN=alice' });
  const stranger = new Authority('other CA');
  afterAll(() => stranger.remove());
  const mallory = stranger.issue([], { subject: '/CN=mallory' });
  const asking = (clientAuth: 'request' | 'require') =>
    tlsOf({ material: materialOf([localhost], { clientAuth, clientCa: authority.ca }) });
  beforeEach(() => serve());

  it.each(['request', 'require'] as const)('are known by them (%s)', async (clientAuth) => {
    tls = asking(clientAuth);
    await dial({ cert: alice.cert, key: alice.key });
    await until('secure');
    expect(wires[0]!.tls!.peer).toEqual({
      subject: 'CN=alice,O=Example\\, Inc',
      fingerprint: expect.stringMatching(/^[0-9a-f]{64}$/),
    });
  });

  it('are refused with one of another CA', async () => {
    tls = asking('request');
    await dial({ cert: mallory.cert, key: mallory.key });
    await until('close ERR_TLS_PEER_CERTIFICATE');
  });

  it('are refused without one where it is required, and unknown where it is not', async () => {
    tls = asking('require');
    await dial();
    await until('close ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE');
    seen.length = 0;
    tls = asking('request');
    await dial();
    await until('secure');
    expect(wires[1]!.tls!.peer).toBeNull();
  });

  it('are refused with one that has expired since their session began', async () => {
    tls = asking('require');
    const first = await dial({ cert: alice.cert, key: alice.key });
    first.resume();
    const [session] = (await once(first, 'session')) as [Buffer];
    await dial({ cert: alice.cert, key: alice.key, session });
    await until('secure', 'secure');
    expect(wires[1]!.tls!.isResumed).toBe(true);
    setDaysFromNow(31);
    await dial({ cert: alice.cert, key: alice.key, session });
    await until('secure', 'secure', 'close ERR_TLS_PEER_CERTIFICATE');
  });

  it('are asked for it again where a session was begun without being asked', async () => {
    const first = await dial();
    first.resume();
    const [session] = (await once(first, 'session')) as [Buffer];
    tls = asking('require');
    await dial({ session });
    await until('secure', 'close ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE');
  });
});

describe('a handshake that fails', () => {
  beforeEach(() => serve());

  it.each([
    ['garbage', '\x00\x01\x02 nothing of the kind', /^close ERR_SSL_/],
    ['a request in plain', 'GET / HTTP/1.1\r\nHost: a\r\n\r\n', /^close ERR_SSL_HTTP_REQUEST/],
    ['nothing at all', '', /^close/],
  ])('is told: %s', async (_, text, expected) => {
    const client = connectPlain(server.port, '127.0.0.1');
    clients.push(client);
    client.on('error', () => {});
    await once(client, 'connect');
    if (text === '') client.end();
    else client.write(text, 'latin1');
    await expect.poll(() => seen.join()).toMatch(expected);
  });

  it('answers a request in plain', async () => {
    tls = tlsOf({ plainReply: Buffer.from('no TLS') });
    const client = connectPlain(server.port, '127.0.0.1');
    clients.push(client);
    let text = '';
    client.on('data', (bytes) => {
      text += String(bytes);
    });
    client.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    await once(client, 'end');
    expect(text).toBe('no TLS');
    client.end();
    await until('close ERR_SSL_HTTP_REQUEST');
  });

  it('is for want of a version that both speak', async () => {
    tls = tlsOf({ material: materialOf([localhost], { minVersion: '1.3' }) });
    const refused = dial({ maxVersion: 'TLSv1.2' });
    await expect(refused).rejects.toThrow(/alert protocol version/i);
    await until('close ERR_SSL_UNSUPPORTED_PROTOCOL');
  });

  it('is refused where there is no certificate', async () => {
    tls = 'refuse';
    await expect(dial()).rejects.toThrow();
    expect(seen).toEqual([]);
  });
});

describe('a client that renegotiates', () => {
  it('is refused', async () => {
    await serve();
    const client = await dial({ maxVersion: 'TLSv1.2' });
    const [, error] = await new Promise<[null, Error | null]>((resolve) => {
      client.renegotiate({}, (problem) => resolve([null, problem]));
      client.on('error', (problem) => resolve([null, problem]));
    });
    expect(error?.message).toMatch(/no renegotiation|closed|disconnected/i);
  });
});

/** Closes the connection with a FIN, without a word of TLS. */
function cutWithFin(client: TLSSocket): void {
  const { _handle: handle } = client as unknown as {
    _handle: { _parent: { close(): void }; close: () => void };
  };
  handle.close = () => {};
  handle._parent.close();
}

/** What encrypts: our own over the system's handle, or Node's TLSSocket over that or over a socket. */
const ways = [
  { way: 'the fast one', isFast: true, clientAuth: 'off' },
  { way: 'asked for a certificate', isFast: true, clientAuth: 'request' },
  { way: 'over a socket', isFast: false, clientAuth: 'off' },
] as const;

describe.each(ways)('records of one byte ($way)', ({ isFast, clientAuth }) => {
  beforeEach(() => {
    tls = tlsOf({
      material: { ...materialOf([localhost, other]), clientAuth, clientCa: authority.ca },
    });
    return serve(isFast);
  });

  /** Reads on the first connection, and calls `onPiece` with all that has come, piece by piece; returns what gives that. */
  function reading(onPiece: (wire: Wire, all: string) => void): () => string {
    const [wire] = wires;
    let all = '';
    wire!.handler = {
      ...wire!.handler,
      onBytes: (base, start, end) => {
        all += base.toString('latin1', start, end);
        onPiece(wire!, all);
      },
    };
    return () => all;
  }

  /** What a client sends from now on is kept, each write a record of its own, and leaves in one go. */
  async function recordsOf(text: string): Promise<{ client: TLSSocket; send: () => void }> {
    const raw = connectPlain(server.port, '127.0.0.1');
    clients.push(raw);
    const records: Buffer[] = [];
    let isKeeping = false;
    const between = new Duplex({
      read: () => {},
      write: (bytes: Buffer, _encoding, done) => {
        if (isKeeping) records.push(bytes);
        else raw.write(bytes);
        done();
      },
    });
    raw.on('data', (bytes) => between.push(bytes)).on('end', () => between.push(null));
    raw.on('error', () => {});
    const client = connect({ socket: between, ca: authority.ca, servername: 'localhost' });
    client.on('error', () => {});
    clients.push(client);
    await once(client, 'secureConnect');
    isKeeping = true;
    for (const one of text) await new Promise((resolve) => client.write(one, resolve));
    return { client, send: () => raw.end(Buffer.concat(records)) };
  }

  it('are given some at a time, in order', async () => {
    const text = 'abcdefghij'.repeat(300);
    const { send } = await recordsOf(text);
    let [most, inTurn] = [0, 0];
    let timer: NodeJS.Immediate;
    const turn = (): void => {
      inTurn = 0;
      timer = setImmediate(turn);
    };
    turn();
    const got = reading(() => {
      inTurn += 1;
      most = Math.max(most, inTurn);
    });
    send();
    await expect.poll(() => got().length, { interval: 2 }).toBe(text.length);
    clearImmediate(timer!);
    expect(got()).toBe(text);
    // 64 of them, what came with these, and what the next read begins with.
    expect(most).toBeLessThan(150);
    // The end without close_notify is told as what it is, and after everything else.
    await expect.poll(() => seen.at(-1)).toBe('close ERR_TLS_TRUNCATED');
  });

  it('are cut by an end without close_notify, also where that comes while they are held back', async () => {
    const text = 'abcdefghij'.repeat(30);
    const { send } = await recordsOf(text);
    const got = reading((wire, all) => {
      if (all.length > 1) return;
      wire.pause();
      // By then all of it has come, and the FIN.
      setTimeout(() => wire.resume(), 20);
    });
    send();
    await expect.poll(() => seen.at(-1)).toBe('close ERR_TLS_TRUNCATED');
    expect(seen).not.toContain('end');
    expect(got()).toBe(text);
  });

  it('may be held back while they wait', async () => {
    const text = 'abcdefghij'.repeat(100);
    const { send } = await recordsOf(text);
    const got = reading((wire) => {
      wire.pause();
      setImmediate(() => wire.resume());
    });
    send();
    await expect.poll(() => got().length, { interval: 2 }).toBe(text.length);
    expect(got()).toBe(text);
  });
});
