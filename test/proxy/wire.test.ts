// Wires over loopback, accepted in both ways: into our buffers by the undocumented way, and by
// Node's public events. What is relayed must arrive byte for byte, however slow the reader is and
// however many wires share the read buffer.
import { createHash, randomBytes } from 'node:crypto';
import { rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { silentLogger } from '../../src/base/log.ts';
import type { ConnectHandler, Wire, WireHandler, WireServer } from '../../src/proxy/network.ts';
import { connectWire } from '../../src/proxy/wire/connect.ts';
import { listenWires } from '../../src/proxy/wire/listen.ts';
import { probeHandles } from '../../src/proxy/wire/probe.ts';
import { HEADROOM, ReadBuffers, TAILROOM } from '../../src/proxy/wire/read-buffers.ts';
import { closePeers, dial, listenEndpoint, Peer } from '../support/peer.ts';
import { loopback } from '../support/service.ts';

const servers: WireServer[] = [];
const buffers = new ReadBuffers();
const connecting = { buffers, introduction: null };

afterEach(() => {
  for (const server of servers.splice(0)) server.close();
  closePeers();
});

/** A handler that writes down what happens. */
class Recorder implements ConnectHandler {
  /** Given to the constructor, or set as soon as there is one. */
  wire!: Wire;
  bytes = '';
  readonly events: string[] = [];
  private wake: (() => void) | null = null;

  constructor(wire?: Wire) {
    if (wire === undefined) return;
    this.wire = wire;
    wire.handler = this;
  }

  onConnect(): void {
    this.note('connect');
  }

  onBytes(base: Buffer, start: number, end: number): void {
    expect(start).toBeGreaterThanOrEqual(HEADROOM);
    expect(base.length - end).toBeGreaterThanOrEqual(TAILROOM);
    this.bytes += base.toString('latin1', start, end);
    this.wake?.();
  }

  onEnd(): void {
    this.note('end');
  }

  onDrain(): void {
    this.note('drain');
  }

  onClose(error: NodeJS.ErrnoException | null): void {
    this.note(`close ${error?.code ?? ''}`.trim());
  }

  /** Waits until `isThere`. */
  async until(isThere: () => boolean): Promise<void> {
    while (!isThere()) {
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    }
  }

  private note(event: string): void {
    this.events.push(event);
    this.wake?.();
  }
}

interface Listening {
  readonly server: WireServer;
  readonly wires: Wire[];
  next(): Promise<Wire>;
}

async function listen(isFast: boolean, serve: (wire: Wire) => void = () => {}): Promise<Listening> {
  const wires: Wire[] = [];
  let taken = 0;
  let wake: (() => void) | null = null;
  const server = await listenWires({
    address: loopback(),
    reusePort: true,
    buffers,
    log: silentLogger,
    isFast,
    onWire: (wire) => {
      serve(wire);
      wires.push(wire);
      wake?.();
    },
  });
  servers.push(server);
  const next = async (): Promise<Wire> => {
    while (wires.length <= taken) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
    taken += 1;
    return wires[taken - 1]!;
  };
  return { server, wires, next };
}

/** Relays each way as the data plane does: forward, and pause the sender of what is not taken. */
class Relay implements WireHandler {
  other: Relay | null = null;
  readonly wire: Wire;

  constructor(wire: Wire) {
    this.wire = wire;
    wire.handler = this;
  }

  onConnect(): void {}

  onBytes(base: Buffer, start: number, end: number): void {
    if (!this.wire.forwardTo(this.other!.wire, base, start, end)) this.wire.pause();
  }

  onEnd(): void {
    this.other!.wire.end();
  }

  onDrain(): void {
    this.other!.wire.resume();
  }

  onClose(): void {}
}

it('the fast way works on this Node, and a thread that stands still does not lose it', async () => {
  const probing = probeHandles();
  // Longer than any one step of the probe is waited for.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1500);
  expect(await probing).toBe('works');
});

describe.each([
  ['our buffers', true],
  ['data events', false],
])('wires accepted by %s', (_, isFast) => {
  it('tell of bytes, end and close', async () => {
    const { server, next } = await listen(isFast, (wire) => new Recorder(wire));
    const client = await dial(server.port);
    const wire = await next();
    const seen = wire.handler as Recorder;
    client.send('hello');
    await seen.until(() => seen.bytes === 'hello');
    expect(wire.write(Buffer.from('hi'))).toBe(true);
    expect(await client.take(2)).toBe('hi');
    expect(wire.isOpen).toBe(true);
    client.end();
    await seen.until(() => seen.events.length > 0);
    expect(wire.isOpen).toBe(false);
    wire.end();
    expect(await client.ended()).toBe('end');
    await seen.until(() => seen.events.length > 1);
    expect(seen.events).toEqual(['end', 'close']);
  });

  it('know their peer', async () => {
    const { server, next } = await listen(isFast, (wire) => new Recorder(wire));
    const client = await dial(server.port);
    const wire = await next();
    expect(wire.remoteAddress).toBe('127.0.0.1');
    expect(wire.remotePort).toBe(client.socket.localPort);
    expect(wire.localPort).toBe(server.port);
  });

  it('say when a write is not taken, and when it is', async () => {
    const { server, next } = await listen(isFast, (wire) => new Recorder(wire));
    const client = await dial(server.port);
    client.socket.pause();
    const wire = await next();
    const seen = wire.handler as Recorder;
    const size = 32 * 1024 * 1024;
    expect(wire.write(Buffer.alloc(size, 'x'))).toBe(false);
    expect(wire.isFlushed).toBe(false);
    client.socket.resume();
    await seen.until(() => seen.events.length > 0);
    expect(seen.events).toEqual(['drain']);
    expect(wire.isFlushed).toBe(true);
    expect((await client.take(size)).length).toBe(size);
  });

  it('read nothing while they are paused', async () => {
    const { server, next } = await listen(isFast, (wire) => new Recorder(wire));
    const client = await dial(server.port);
    const wire = await next();
    const seen = wire.handler as Recorder;
    client.send('a');
    await seen.until(() => seen.bytes === 'a');
    wire.pause();
    client.send('b');
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(seen.bytes).toBe('a');
    wire.resume();
    await seen.until(() => seen.bytes === 'ab');
  });

  it('end with RST where that is asked for, and tell of one', async () => {
    const { server, next } = await listen(isFast, (wire) => new Recorder(wire));
    const first = await dial(server.port);
    (await next()).reset();
    expect(await first.ended()).toBe('reset');
    const second = await dial(server.port);
    const wire = await next();
    const seen = wire.handler as Recorder;
    second.reset();
    await seen.until(() => seen.events.length > 0);
    expect(seen.events).toEqual(['close ECONNRESET']);
  });

  it('relay every byte, to slow readers too', { timeout: 30_000 }, async () => {
    const endpoint = await listenEndpoint();
    const { server } = await listen(isFast, (wire) => {
      const here = new Relay(wire);
      const there = new Relay(
        connectWire({ address: '127.0.0.1', port: endpoint.port }, here, connecting),
      );
      here.other = there;
      there.other = here;
    });
    const [ups, downs, gotUps, gotDowns] = Array.from({ length: 4 }, () => new Set<string>());
    const count = 8;
    const size = 3 * 1024 * 1024;
    await Promise.all(
      Array.from({ length: count }, async () => {
        const client = connect({ port: server.port, host: '127.0.0.1', allowHalfOpen: true });
        const up = randomBytes(size);
        const down = randomBytes(size);
        const upstream = endpoint.accept();
        client.end(up);
        const peer = (await upstream).socket;
        peer.end(down);
        const digests = await Promise.all([slowDigest(peer), slowDigest(client)]);
        // Connections may be accepted in another order than they were made.
        ups!.add(digest(up));
        downs!.add(digest(down));
        gotUps!.add(digests[0]);
        gotDowns!.add(digests[1]);
      }),
    );
    expect(gotUps).toEqual(ups);
    expect(gotDowns).toEqual(downs);
  });

  it('go back to the shared buffer after a body of their own', async () => {
    const endpoint = await listenEndpoint();
    const { server, next } = await listen(isFast, (wire) => new Recorder(wire));
    const client = await dial(server.port);
    const wire = await next();
    const there = connectWire(
      { address: '127.0.0.1', port: endpoint.port },
      new Idle(),
      connecting,
    );
    const upstream = await endpoint.accept();
    const bases = new Set<Buffer>();
    let received = '';
    wire.handler = {
      onBytes: (base, start, end) => {
        bases.add(base);
        received += base.toString('latin1', start, end);
        wire.forwardTo(there, base, start, end);
        if (received.endsWith('.')) wire.shareBuffer();
      },
      onEnd() {},
      onDrain() {},
      onClose() {},
    };
    const relay = async (pieces: readonly string[]) => {
      for (const piece of pieces) {
        client.send(piece);
        expect(await upstream.take(piece.length)).toBe(piece);
      }
    };
    const large = 'L'.repeat(48 * 1024);
    await relay(['a', 'b', 'c.', 'd']);
    // Small ones are copied out of the shared one.
    expect(bases.size).toBe(1);
    await relay([large, 'b', 'c.', large, 'e.', 'f.']);
    // The shared one, and the one that was taken, given back and taken again.
    expect(bases.size).toBe(2);
    there.destroy();
  });
});

class Idle implements WireHandler {
  onConnect(): void {}
  onBytes(): void {}
  onEnd(): void {}
  onDrain(): void {}
  onClose(): void {}
}

const digest = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

/** Reads to the end, resting now and then. */
function slowDigest(socket: Peer['socket']): Promise<string> {
  const hash = createHash('sha256');
  let count = 0;
  let rested = 0;
  return new Promise((resolve, reject) => {
    socket.on('data', (bytes: Buffer | string) => {
      hash.update(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes);
      count += bytes.length;
      if (count - rested < 512 * 1024) return;
      rested = count;
      socket.pause();
      setTimeout(() => socket.resume(), 3);
    });
    socket.on('end', () => resolve(hash.digest('hex')));
    socket.on('error', reject);
  });
}

describe.each([
  ["the system's handles", true],
  ['sockets of Node', false],
])('wires that connect by %s', (_, isFast) => {
  const connectTo = (port: number, address = '127.0.0.1'): Recorder => {
    const options = { ...connecting, isFast };
    const recorder = new Recorder();
    recorder.wire = connectWire({ address, port }, recorder, options);
    return recorder;
  };

  it('tell of a refusal', async () => {
    const endpoint = await listenEndpoint();
    endpoint.close();
    const seen = connectTo(endpoint.port);
    await seen.until(() => seen.events.length > 0);
    expect(seen.events).toEqual(['close ECONNREFUSED']);
  });

  it('end each side by itself', async () => {
    const endpoint = await listenEndpoint();
    const seen = connectTo(endpoint.port);
    const peer = await endpoint.accept();
    await seen.until(() => seen.events.length > 0);
    expect(seen.wire.write(Buffer.from('ask'))).toBe(true);
    seen.wire.end();
    expect(await peer.take(3)).toBe('ask');
    expect(await peer.ended()).toBe('end');
    peer.send('answer');
    await seen.until(() => seen.bytes === 'answer');
    peer.end();
    await seen.until(() => seen.events.length > 2);
    expect(seen.events).toEqual(['connect', 'end', 'close']);
  });

  it('close when they end after their peer', async () => {
    const endpoint = await listenEndpoint();
    const seen = connectTo(endpoint.port);
    const peer = await endpoint.accept();
    peer.end();
    await seen.until(() => seen.events.includes('end'));
    seen.wire.write(Buffer.from('last'));
    seen.wire.end();
    expect(await peer.take(4)).toBe('last');
    expect(await peer.ended()).toBe('end');
    await seen.until(() => seen.events.length > 2);
    expect(seen.events).toEqual(['connect', 'end', 'close']);
  });

  it('send their end behind what the kernel did not take yet', async () => {
    const endpoint = await listenEndpoint();
    const seen = connectTo(endpoint.port);
    const peer = await endpoint.accept();
    peer.socket.pause();
    peer.end();
    await seen.until(() => seen.events.includes('end'));
    const size = 32 * 1024 * 1024;
    expect(seen.wire.write(Buffer.alloc(size, 'x'))).toBe(false);
    seen.wire.end();
    peer.socket.resume();
    expect((await peer.take(size)).length).toBe(size);
    expect(await peer.ended()).toBe('end');
    await seen.until(() => seen.events.includes('close'));
  });

  it('read nothing when they were paused before they were open', async () => {
    const endpoint = await listenEndpoint();
    const seen = connectTo(endpoint.port);
    seen.wire.pause();
    const peer = await endpoint.accept();
    peer.send('early');
    await seen.until(() => seen.events.length > 0);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(seen.bytes).toBe('');
    seen.wire.resume();
    await seen.until(() => seen.bytes === 'early');
  });

  it('say nothing more when they are destroyed while they connect', async () => {
    const endpoint = await listenEndpoint();
    const seen = connectTo(endpoint.port);
    seen.wire.destroy();
    await seen.until(() => seen.events.length > 0);
    expect(seen.events).toEqual(['close']);
    expect(seen.wire.descriptor).toBeLessThan(0);
  });

  it('tell of a reset, and reset', async () => {
    const endpoint = await listenEndpoint();
    const seen = connectTo(endpoint.port);
    const peer = await endpoint.accept();
    await seen.until(() => seen.events.length > 0);
    peer.reset();
    await seen.until(() => seen.events.length > 1);
    expect(seen.events).toEqual(['connect', 'close ECONNRESET']);
    const other = connectTo(endpoint.port);
    const second = await endpoint.accept();
    await other.until(() => other.events.length > 0);
    other.wire.reset();
    expect(await second.ended()).toBe('reset');
    await other.until(() => other.events.length > 1);
    expect(other.events).toEqual(['connect', 'close']);
  });
});

describe('listening', () => {
  it('rejects with the error of the system', async () => {
    const { server } = await listen(true);
    const again = listenWires({
      address: loopback(server.port),
      reusePort: false,
      buffers,
      log: silentLogger,
      onWire() {},
    });
    await expect(again).rejects.toMatchObject({ code: 'EADDRINUSE' });
  });

  it.each([true, false])('works on a unix socket (fast: %s)', async (isFast) => {
    const path = join(tmpdir(), `upriver-wire-${process.pid}-${isFast}.sock`);
    rmSync(path, { force: true });
    const server = await listenWires({
      address: { kind: 'unix', path },
      reusePort: true,
      buffers,
      log: silentLogger,
      isFast,
      onWire: (wire) => {
        const seen = new Recorder(wire);
        seen.onBytes = (base, start, end) => {
          wire.write(Buffer.from(base.subarray(start, end)));
          wire.reset();
        };
      },
    });
    servers.push(server);
    expect(server.port).toBe(0);
    const client = new Peer(connect(path));
    client.send('ping');
    expect(await client.take(4)).toBe('ping');
    await client.ended();
  });
});
