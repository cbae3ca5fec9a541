// Wires over loopback, accepted in both ways, and connected.
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  canAcceptFast,
  HEADROOM,
  listenWires,
  TAILROOM,
  type Wire,
  type WireServer,
} from '../../src/proxy/wire.ts';
import { closePeers, dial, type Peer } from '../support/peer.ts';
import { loopback } from '../support/service.ts';

/** More than the kernel takes at once. */
const MANY = 24 * 1024 * 1024;

/** What a wire told, in order; bytes are gathered. */
class Recorder {
  readonly events: string[] = [];
  text = '';
  readonly wire: Wire;

  constructor(wire: Wire) {
    this.wire = wire;
    wire.handler = this;
  }

  onBytes(base: Buffer, start: number, end: number): void {
    this.text += base.toString('latin1', start, end);
    // The room around the bytes is the handler's.
    base.fill(0, start - HEADROOM, start);
    base.fill(0, end, end + TAILROOM);
  }

  onEnd(): void {
    this.events.push('end');
  }

  onDrain(): void {
    this.events.push('drain');
  }

  onClose(error: NodeJS.ErrnoException | null): void {
    this.events.push(`close ${error?.code ?? 'ok'}`);
  }
}

it('this Node lets us accept the fast way', async () => {
  expect(await canAcceptFast()).toBe(true);
});

describe.each([
  ['fast', 'own'],
  ['fast', 'shared'],
  ['by events', 'own'],
  ['by events', 'shared'],
] as const)('a wire accepted %s, its buffer %s', (way, readBuffer) => {
  let server: WireServer;
  let recorder: Recorder;
  let peer: Peer;

  beforeEach(async () => {
    const accepted = new Promise<Recorder>((resolve) => {
      void listenWires({
        address: loopback(),
        reusePort: false,
        readBuffer,
        isFast: way === 'fast',
        onWire: (wire) => resolve(new Recorder(wire)),
      }).then(async (opened) => {
        server = opened;
        peer = await dial(opened.port);
      });
    });
    recorder = await accepted;
    await expect.poll(() => peer?.socket.readyState).toBe('open');
  });
  afterEach(() => {
    recorder.wire.destroy();
    closePeers();
    server.close();
  });

  it('delivers bytes, then the end, and sends on after it', async () => {
    for (const text of ['a', 'b', 'c']) await peer.sendPieces([text]);
    peer.end();
    await expect.poll(() => recorder.events).toEqual(['end']);
    expect(recorder.text).toBe('abc');
    expect(recorder.wire.write(Buffer.from('late'))).toBe(true);
    recorder.wire.end();
    expect(await peer.rest()).toBe('late');
    await expect.poll(() => recorder.events).toEqual(['end', 'close ok']);
  });

  it('knows both addresses', () => {
    expect(recorder.wire.remoteAddress).toBe('127.0.0.1');
    expect(recorder.wire.remotePort).toBe(peer.socket.localPort);
    expect(recorder.wire.localPort).toBe(server.port);
  });

  it('says when what it could not send at once is sent', async () => {
    peer.socket.pause();
    expect(recorder.wire.write(Buffer.alloc(MANY, 'x'))).toBe(false);
    expect(recorder.wire.isFlushed).toBe(false);
    peer.socket.resume();
    await peer.take(MANY);
    await expect.poll(() => recorder.events).toEqual(['drain']);
    expect(recorder.wire.isFlushed).toBe(true);
  });

  it('sends all that was written before its end', async () => {
    peer.socket.pause();
    recorder.wire.write(Buffer.alloc(MANY, 'x'));
    recorder.wire.write(Buffer.alloc(MANY, 'y'));
    recorder.wire.end();
    peer.socket.resume();
    const all = await peer.rest();
    expect(all.length).toBe(2 * MANY);
    expect(all.endsWith('y')).toBe(true);
    await expect.poll(() => recorder.events).toContain('drain');
    expect(recorder.events).not.toContain('close EPIPE');
  });

  it('stops the peer while it is paused', async () => {
    recorder.wire.pause();
    peer.send('x'.repeat(MANY));
    peer.end();
    await new Promise((resolve) => setTimeout(resolve, 50));
    // One read may have been under way.
    expect(recorder.text.length).toBeLessThanOrEqual(64 * 1024);
    expect(recorder.events).toEqual([]);
    recorder.wire.resume();
    await expect.poll(() => recorder.events, { timeout: 5000 }).toEqual(['end']);
    expect(recorder.text.length).toBe(MANY);
  });

  it('tells of a reset', async () => {
    peer.reset();
    await expect.poll(() => recorder.events).toEqual(['close ECONNRESET']);
  });

  it('resets its peer', async () => {
    recorder.wire.reset();
    expect(await peer.ended()).toBe('reset');
    await expect.poll(() => recorder.events).toEqual(['close ok']);
  });
});
