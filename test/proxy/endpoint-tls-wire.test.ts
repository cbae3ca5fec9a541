// Wires to endpoints with TLS, over the system's handle and over a socket of Node's: what the handler sees, and what
// the endpoint sees. The other end is a real server of Node's.
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, createServer as createPlain, type Server, type Socket } from 'node:net';
import { createServer, TLSSocket, type TlsOptions } from 'node:tls';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { ClientTls, ConnectHandler, Wire } from '../../src/proxy/network.ts';
import { connectWire } from '../../src/proxy/wire/connect.ts';
import { probeHandles } from '../../src/proxy/wire/probe.ts';
import { ReadBuffers } from '../../src/proxy/wire/read-buffers.ts';
import { Authority } from '../support/certificates.ts';

const authority = new Authority();
afterAll(() => authority.remove());
const good = authority.issue(['api.internal', '127.0.0.1']);
const known = { key: 'a', ca: authority.ca, cert: '', privateKey: '' };

const servers: Server[] = [];
const sockets: Socket[] = [];
const wires: Wire[] = [];
const buffers = new ReadBuffers();
beforeAll(async () => {
  expect(await probeHandles()).toBe('works');
});
afterEach(() => {
  for (const wire of wires.splice(0)) wire.destroy();
  for (const socket of sockets.splice(0)) socket.destroy();
  for (const server of servers.splice(0)) server.close();
});

/** What the endpoint does with each connection whose handshake is done. */
type Play = (socket: TLSSocket) => void;

async function listening(server: Server): Promise<number> {
  servers.push(server);
  server.on('connection', (socket: Socket) => sockets.push(socket.on('error', () => {})));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}

function serve(play: Play, options: TlsOptions = {}): Promise<number> {
  const { cert, key } = good;
  const server = createServer({ cert, key, allowHalfOpen: true, ...options } as TlsOptions, play);
  server.on('tlsClientError', () => {});
  return listening(server);
}

const tlsTo = (parts: Partial<ClientTls> = {}): ClientTls => ({
  ...{ material: known, serverName: 'api.internal', verify: true, protocols: [] },
  ...{ session: null, sessionUntilMs: 0, ...parts },
});

class Recorder implements ConnectHandler {
  wire!: Wire;
  readonly seen: string[] = [];
  readonly pieces: Buffer[] = [];
  onConnect(): void {
    this.seen.push('connect');
  }
  onBytes(base: Buffer, start: number, end: number): void {
    this.pieces.push(Buffer.from(base.subarray(start, end)));
  }
  onEnd(): void {
    this.seen.push('end');
  }
  onDrain(): void {
    this.seen.push('drain');
  }
  onClose(error: NodeJS.ErrnoException | null): void {
    this.seen.push(`close ${error?.code ?? ''}`.trim());
  }
  get text(): string {
    return Buffer.concat(this.pieces).toString('latin1');
  }
  until(...expected: string[]): Promise<void> {
    return expect.poll(() => this.seen, { interval: 2 }).toEqual(expected);
  }
}

describe.each([true, false])('a wire to an endpoint with TLS (fast way: %s)', (isFast) => {
  const connect = (
    port: number,
    tls: ClientTls = tlsTo(),
    introduction: Buffer | null = null,
  ): Recorder => {
    const recorder = new Recorder();
    const options = { buffers, introduction, isFast };
    recorder.wire = connectWire({ address: '127.0.0.1', port, tls }, recorder, options);
    wires.push(recorder.wire);
    return recorder;
  };

  it('says what it asks for, and carries bytes until both have ended', async () => {
    const asked: unknown[] = [];
    const port = await serve(
      (socket) => {
        asked.push([socket.servername, socket.alpnProtocol]);
        socket.on('data', (bytes) => socket.write(`re: ${bytes}`));
        socket.on('end', () => socket.end('late'));
      },
      { ALPNProtocols: ['h2', 'http/1.1'] },
    );
    const recorder = connect(port, tlsTo({ protocols: ['http/1.1'] }));
    const { wire } = recorder;
    await recorder.until('connect');
    await expect.poll(() => asked).toEqual([['api.internal', 'http/1.1']]);
    expect(wire.tls).toMatchObject({ version: 'TLSv1.3', protocol: 'http/1.1', isResumed: false });
    wire.write(Buffer.from('ask'));
    await expect.poll(() => recorder.text).toBe('re: ask');
    // A half-close: what the endpoint says after our end still comes.
    wire.end();
    await recorder.until('connect', 'end', 'close');
    expect(recorder.text).toBe('re: asklate');
  });

  it('may be written to after the endpoint has said its end', async () => {
    let got = '';
    const port = await serve((socket) => {
      socket.on('data', (bytes) => {
        got += bytes;
      });
      socket.end('all');
    });
    const recorder = connect(port);
    await recorder.until('connect', 'end');
    expect(recorder.text).toBe('all');
    recorder.wire.write(Buffer.from('behind'));
    recorder.wire.end();
    await recorder.until('connect', 'end', 'close');
    await expect.poll(() => got).toBe('behind');
  });

  it('resumes the session that the endpoint gave, by both versions', async () => {
    for (const maxVersion of ['TLSv1.3', 'TLSv1.2'] as const) {
      const port = await serve((socket) => socket.write('hi'), { maxVersion });
      const tls = tlsTo();
      const first = connect(port, tls);
      await expect.poll(() => first.text).toBe('hi');
      await expect.poll(() => tls.session).not.toBeNull();
      const second = connect(port, tls);
      await second.until('connect');
      expect(second.wire.tls).toMatchObject({ isResumed: true, version: maxVersion });
    }
  });

  it('shows its own certificate to an endpoint that asks for one', async () => {
    const { cert, key } = authority.issue([], { subject: '/CN=upriver' });
    let peer = '';
    const port = await serve(
      (socket) => {
        peer = String(socket.getPeerCertificate().subject.CN);
      },
      { requestCert: true, ca: authority.ca },
    );
    const recorder = connect(port, tlsTo({ material: { ...known, cert, privateKey: key } }));
    await recorder.until('connect');
    await expect.poll(() => peer).toBe('upriver');
  });

  it('is refused by what it finds, and keeps no session of it', async () => {
    const ports = [
      await serve((socket) => socket.write('hi')),
      await serve(() => {}, { ALPNProtocols: ['http/1.1'] }),
      await serve(() => {}, { maxVersion: 'TLSv1.2', ciphers: 'AES128-SHA' }),
    ];
    const wrong = tlsTo({ serverName: 'elsewhere.internal' });
    await connect(ports[0]!, wrong).until('close ERR_TLS_WRONG_NAME');
    const stranger = tlsTo({ material: { ...known, ca: '' } });
    await connect(ports[0]!, stranger).until('close ERR_TLS_UNTRUSTED');
    expect([wrong.session, stranger.session]).toEqual([null, null]);
    const other = connect(ports[1]!, tlsTo({ protocols: ['h2'] }));
    await expect.poll(() => other.seen[0]).toMatch(/^close ERR_SSL_.*NO_APPLICATION_PROTOCOL$/);
    const old = connect(ports[2]!);
    await expect.poll(() => old.seen[0]).toMatch(/^close ERR_SSL_.*HANDSHAKE_FAILURE$/);
    await connect(ports[0]!, tlsTo({ serverName: '127.0.0.1' })).until('connect');
  });

  it('tells of what is no TLS, of nobody, and of an end in the handshake', async () => {
    const plain = await listening(createPlain((socket) => socket.end('HTTP/1.1 400 Bad\r\n\r\n')));
    await connect(plain).until('close ERR_SSL_WRONG_VERSION_NUMBER');
    const silent = await listening(createPlain({ allowHalfOpen: true }, (socket) => socket.end()));
    await connect(silent).until('close ERR_TLS_TRUNCATED');
    const server = servers.at(-1)!;
    server.close();
    for (const socket of sockets.splice(0)) socket.destroy();
    await once(server, 'close');
    await connect(silent).until('close ECONNREFUSED');
  });

  it('closes once where it is given up: connecting, in the handshake, and open', async () => {
    const mute = await listening(createPlain(() => {}));
    const early = connect(mute);
    early.wire.destroy();
    await early.until('close');
    const reset = connect(mute);
    await expect.poll(() => sockets.length).toBeGreaterThan(0);
    reset.wire.reset();
    await reset.until('close');
    const ends: string[] = [];
    const port = await serve((socket) => {
      socket.on('end', () => ends.push('end'));
      socket.on('error', (error: NodeJS.ErrnoException) => ends.push(`${error.code}`));
      socket.resume();
      socket.write('hi');
    });
    const open = connect(port);
    await expect.poll(() => open.text).toBe('hi');
    open.wire.reset();
    await open.until('connect', 'close');
    await expect.poll(() => ends).toEqual(['ECONNRESET']);
  });

  it('takes a FIN without close_notify for a cut', async () => {
    const port = await serve(
      (socket) => {
        socket.write('half', () => sockets.at(-1)!.end());
      },
      { maxVersion: 'TLSv1.2' },
    );
    const recorder = connect(port);
    await recorder.until('connect', 'close ERR_TLS_TRUNCATED');
    expect(recorder.text).toBe('half');
  });

  it('is introduced in plain before the handshake', async () => {
    const line = 'PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n';
    let heard = '';
    const { cert, key } = good;
    const port = await listening(
      createPlain((raw) => {
        raw.once('data', (bytes: Buffer) => {
          raw.pause();
          heard = bytes.toString('latin1', 0, line.length);
          if (bytes.length > line.length) raw.unshift(bytes.subarray(line.length));
          const secure = new TLSSocket(raw, { isServer: true, cert, key });
          secure.on('error', () => {});
          secure.on('data', (answer) => secure.write(`re: ${answer}`));
        });
      }),
    );
    const recorder = connect(port, tlsTo(), Buffer.from(line));
    await recorder.until('connect');
    expect(heard).toBe(line);
    recorder.wire.write(Buffer.from('ask'));
    await expect.poll(() => recorder.text).toBe('re: ask');
  });

  it('holds back what a slow endpoint does not take, and loses and changes none of it', async () => {
    const bytes = randomBytes(4_000_000);
    const got: Buffer[] = [];
    let end = '';
    const port = await serve((socket) => {
      socket.on('data', (piece: Buffer) => {
        got.push(piece);
        if (got.length % 16 !== 0) return;
        socket.pause();
        setTimeout(() => socket.resume(), 1);
      });
      socket.on('end', () => {
        end = 'end';
        socket.end();
      });
    });
    const recorder = connect(port);
    await recorder.until('connect');
    const { wire } = recorder;
    // One buffer for all pieces, as reads have it: whatever must wait is copied.
    const shared = Buffer.alloc(200_000);
    let at = 0;
    const sizes = [200_000, 700, 16_384, 40_000, 3];
    const more = (): void => {
      for (let turn = 0; at < bytes.length; turn += 1) {
        const count = Math.min(sizes[turn % sizes.length]!, bytes.length - at);
        bytes.copy(shared, 0, at, at + count);
        at += count;
        const isTaken = wire.write(shared.subarray(0, count));
        shared.fill('!');
        // Some are written though the one before is not taken.
        if (!isTaken && turn % sizes.length === 4) return;
      }
      wire.end();
    };
    recorder.onDrain = more;
    more();
    await expect.poll(() => end, { timeout: 10_000 }).toBe('end');
    expect(Buffer.concat(got).equals(bytes)).toBe(true);
    await recorder.until('connect', 'end', 'close');
  });

  it('keeps what comes while it is paused, and its end behind it', async () => {
    const bytes = randomBytes(1_000_000);
    const port = await serve((socket) => socket.end(bytes));
    const recorder = connect(port);
    const { wire } = recorder;
    const take = recorder.onBytes.bind(recorder);
    recorder.onBytes = (base, start, end) => {
      take(base, start, end);
      wire.pause();
      setImmediate(() => wire.resume());
    };
    await recorder.until('connect', 'end');
    expect(Buffer.concat(recorder.pieces).equals(bytes)).toBe(true);
  });
});
