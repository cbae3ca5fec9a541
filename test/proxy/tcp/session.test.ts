// TCP sessions over loopback, between raw clients and scripted endpoints.
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { reason } from '../../../src/model/reason.ts';
import { SHORT_MAX } from '../../../src/proxy/limits/memory.ts';
import { freePorts } from '../../support/ports.ts';
import { makeService, makeTcp } from '../../support/service.ts';
import { ending, readAll, TcpStage } from '../../support/tcp-stage.ts';

let stage: TcpStage;

beforeEach(() => {
  stage = new TcpStage();
});
afterEach(() => stage.close());

describe('a relay', () => {
  it('carries both directions and counts exactly', async () => {
    const port = await stage.listenPeer((socket) => {
      socket.on('data', (bytes) => socket.write(`<${bytes}>`));
      socket.on('end', () => socket.end('bye'));
    });
    await stage.serve([port]);
    const client = await stage.dial();
    client.write('hello');
    const [first] = (await once(client, 'data')) as [Buffer];
    expect(`${first}`).toBe('<hello>');
    expect(stage.ledger.inFlight(0)).toBe(1);
    expect(stage.ledger.connections(0)).toBe(1);
    client.end();
    expect(`${await readAll(client)}`).toBe('bye');
    await stage.quiet();
    expect(stage.ledger.inFlight(0)).toBe(0);
    expect(stage.ledger.connections(0)).toBe(0);
    expect(stage.serviceCount('connections')).toBe(1);
    expect(stage.serviceCount('requests')).toBe(1);
    expect(stage.serviceCount('bytesIn')).toBe(5);
    expect(stage.serviceCount('bytesOut')).toBe(10);
    expect(stage.endpointCount(0, 'bytesIn')).toBe(5);
    expect(stage.endpointCount(0, 'bytesOut')).toBe(10);
    expect(stage.endpointCount(0, 'attempts')).toBe(1);
    expect(stage.endpointCount(0, 'connects')).toBe(1);
    expect(stage.endpointCount(0, 'failures')).toBe(0);
  });

  it('lets an endpoint answer after the client has ended its side', async () => {
    const port = await stage.listenPeer(async (socket) => {
      const asked = await readAll(socket);
      // Well after the end has arrived: the client's end must not close the way back.
      setTimeout(() => socket.end(`${asked.length} bytes`), 50);
    });
    await stage.serve([port]);
    const client = await stage.dial();
    client.end('x'.repeat(100_000));
    expect(`${await readAll(client)}`).toBe('100000 bytes');
    await stage.quiet();
  });

  it('lets a client send on after the endpoint has ended its side', async () => {
    let received: Promise<Buffer> | null = null;
    const port = await stage.listenPeer((socket) => {
      socket.end('greeting');
      received = readAll(socket);
    });
    await stage.serve([port]);
    const client = await stage.dial();
    expect(`${await readAll(client)}`).toBe('greeting');
    client.write('still ');
    await new Promise((resolve) => setTimeout(resolve, 20));
    client.end('here');
    expect(`${await received}`).toBe('still here');
    await stage.quiet();
  });

  it('carries an endpoint that speaks first, and one that closes at once', async () => {
    const port = await stage.listenPeer((socket) => void socket.end('220 ready\r\n'));
    await stage.serve([port]);
    const client = await stage.dial();
    const all = readAll(client);
    client.end();
    expect(`${await all}`).toBe('220 ready\r\n');
    await stage.quiet();
  });

  it('is byte-exact under back-pressure, both ways at once', async () => {
    const up = randomBytes(12 * 1024 * 1024);
    const down = randomBytes(12 * 1024 * 1024);
    let received: Promise<string> | null = null;
    const port = await stage.listenPeer((socket) => {
      received = slowDigest(socket);
      socket.end(down);
    });
    await stage.serve([port]);
    const client = await stage.dial();
    const answered = slowDigest(client);
    client.end(up);
    expect(await answered).toBe(digest(down));
    expect(await received).toBe(digest(up));
    await stage.quiet();
    expect(stage.serviceCount('bytesIn')).toBe(up.length);
    expect(stage.serviceCount('bytesOut')).toBe(down.length);
  });

  it('holds the sender back while the receiver does not read', async () => {
    let endpoint: Socket | null = null;
    const port = await stage.listenPeer((socket) => {
      endpoint = socket.pause();
    });
    await stage.serve([port]);
    const client = await stage.dial();
    const piece = Buffer.alloc(1024 * 1024);
    let sent = 0;
    const push = (): void => {
      while (sent < 64 && client.write(piece)) sent += 1;
    };
    client.on('drain', () => {
      sent += 1;
      push();
    });
    push();
    // Nothing moves any more: the buffers in between are full, and they are bounded.
    await expect
      .poll(async () => {
        const before = stage.serviceCount('bytesIn');
        await new Promise((resolve) => setTimeout(resolve, 100));
        return before > 0 && stage.serviceCount('bytesIn') === before;
      })
      .toBe(true);
    expect(stage.serviceCount('bytesIn')).toBeLessThan(32 * 1024 * 1024);
    const before = stage.serviceCount('bytesIn');
    endpoint!.resume();
    await expect.poll(() => stage.serviceCount('bytesIn')).toBeGreaterThan(before);
  });

  it('passes a reset on, to either side', async () => {
    const resetByEndpoint = await stage.listenPeer((socket) => {
      socket.once('data', () => socket.resetAndDestroy());
    });
    await stage.serve([resetByEndpoint]);
    const client = await stage.dial();
    const end = ending(client);
    client.write('x');
    expect(await end).toBe('ECONNRESET');
    await stage.quiet();
    await stage.ended('session-refused').toBe(1);

    let endpointEnd: Promise<string> | null = null;
    stage.servers.pop()!.close();
    stage.listener.abort();
    await stage.listener.drain();
    const port = await stage.listenPeer((socket) => {
      endpointEnd = ending(socket);
      socket.write('hello');
    });
    await stage.serve([port]);
    const other = await stage.dial();
    await once(other, 'data');
    other.resetAndDestroy();
    await stage.quiet();
    expect(await endpointEnd).toBe('ECONNRESET');
  });
});

describe('connecting', () => {
  it('goes to the next endpoint, with what the client sent meanwhile', async () => {
    const [dead] = await freePorts(1);
    const alive = await stage.listenPeer((socket) => void socket.pipe(socket));
    // The heavier one is asked first.
    const live = await stage.serve([dead!, alive], {}, [9, 1]);
    const client = await stage.dial();
    client.end('early bytes');
    expect(`${await readAll(client)}`).toBe('early bytes');
    await stage.quiet();
    expect(live.usableCount).toBe(2);
    expect(stage.endpointCount(0, 'connectFailures')).toBe(1);
    expect(stage.endpointCount(0, 'failures')).toBe(1);
    expect(stage.endpointCount(0, 'retries')).toBe(1);
    expect(stage.endpointCount(1, 'connects')).toBe(1);
    expect(stage.ledger.retryTotal(0, reason('connect-refused').index)).toBe(1);
    expect(stage.messages).toEqual([{ type: 'suspect', slot: 0, reason: 'connect-refused' }]);
  });

  it('closes with RST when every endpoint refuses, each tried once at least', async () => {
    const dead = await freePorts(4);
    await stage.serve(dead);
    const client = await stage.dial();
    expect(await ending(client)).toBe('ECONNRESET');
    await stage.quiet();
    expect([0, 1, 2, 3].map((slot) => stage.endpointCount(slot, 'attempts'))).toEqual([1, 1, 1, 1]);
    expect([0, 1, 2, 3].map((slot) => stage.ledger.inFlight(slot))).toEqual([0, 0, 0, 0]);
    await stage.ended('connect-refused').toBe(1);
  });

  it('asks a lone endpoint as often as the policy says', async () => {
    const [dead] = await freePorts(1);
    const live = await stage.serve([dead!]);
    const client = await stage.dial();
    expect(await ending(client)).toBe('ECONNRESET');
    await stage.quiet();
    expect(stage.endpointCount(0, 'attempts')).toBe(live.service.retry.attempts);
  });

  it('closes with RST where there is no endpoint', async () => {
    await stage.serve([]);
    expect(await ending(await stage.dial())).toBe('ECONNRESET');
    await stage.quiet();
    await stage.ended('no-endpoint').toBe(1);
    expect(stage.ledger.connections(0)).toBe(0);
  });

  it('queues while every endpoint is at its limit', async () => {
    const port = await stage.listenPeer((socket) => void socket.pipe(socket));
    const { limits } = makeService();
    await stage.serve([port], { limits: { ...limits, perEndpoint: 1 } });
    const first = await stage.dial();
    first.write('a');
    await once(first, 'data');
    const second = await stage.dial();
    second.end('b');
    const answer = readAll(second);
    await expect.poll(() => stage.ledger.connections(0)).toBe(2);
    expect(stage.ledger.inFlight(0)).toBe(1);
    first.end();
    expect(`${await answer}`).toBe('b');
    await stage.quiet();
    expect(stage.ledger.inFlight(0)).toBe(0);
  });

  it('gives up the queue after its time', async () => {
    const port = await stage.listenPeer((socket) => void socket.pipe(socket));
    const { limits } = makeService();
    await stage.serve([port], { limits: { ...limits, perEndpoint: 1, queueTimeoutMs: 50 } });
    const first = await stage.dial();
    first.write('a');
    await once(first, 'data');
    expect(await ending(await stage.dial())).toBe('ECONNRESET');
    await stage.ended('queue-timeout').toBe(1);
    expect(stage.ledger.connections(0)).toBe(1);
  });
});

describe('limits', () => {
  it('ends an idle session in order on both sides', async () => {
    let endpointEnd: Promise<string> | null = null;
    const port = await stage.listenPeer((socket) => {
      endpointEnd = ending(socket);
    });
    const { timeouts } = makeService();
    await stage.serve([port], { timeouts: { ...timeouts, idleTcpMs: 100 } });
    const startMs = performance.now();
    const client = await stage.dial();
    expect(await ending(client)).toBe('end');
    expect(performance.now() - startMs).toBeGreaterThan(90);
    expect(await endpointEnd).toBe('end');
    client.end();
    await stage.quiet();
    await stage.ended('client-idle').toBe(1);
    expect(stage.endpointCount(0, 'failures')).toBe(0);
  });

  it('refuses the connection that is one too many', async () => {
    const port = await stage.listenPeer((socket) => void socket.pipe(socket));
    const { limits } = makeService();
    await stage.serve([port], { limits: { ...limits, connections: 1 } });
    const first = await stage.dial();
    first.write('a');
    await once(first, 'data');
    expect(await ending(await stage.dial())).toBe('ECONNRESET');
    await expect.poll(() => stage.ledger.connections(0)).toBe(1);
    await stage.ended('too-many-connections').toBe(1);
    first.end();
    await stage.quiet();
  });

  it('closes a silent one for another address, where its own has more than half', async () => {
    const limits = { ...makeService({}).limits, connections: 3 };
    await stage.serve([await stage.listenPeer((socket) => void socket.pipe(socket))], { limits });
    const silent = [await stage.dial(), await stage.dial(), await stage.dial()];
    await expect.poll(() => stage.ledger.connections(0), { interval: 5 }).toBe(3);
    const talking = silent[1]!;
    talking.write('first');
    await once(talking, 'data');
    const refused = await stage.dial();
    expect(await ending(refused)).toBe('ECONNRESET');
    const ends = silent.map(ending);
    const other = await stage.dial('127.0.0.2');
    other.write('ping');
    expect(`${(await once(other, 'data'))[0]}`).toBe('ping');
    expect(await ends[0]).toBe('ECONNRESET');
    expect(stage.ledger.connections(0)).toBe(3);
    for (const socket of [...silent, other]) socket.destroy();
    await stage.quiet();
  });

  it('takes few sessions while memory is short', async () => {
    const port = await stage.listenPeer((socket) => void socket.pipe(socket));
    await stage.serve([port]);
    const open: Socket[] = [];
    // The first one was there before, and is not counted.
    for (let i = 0; i <= SHORT_MAX; i += 1) {
      stage.memory.isShort = i > 0;
      const client = await stage.dial();
      client.write('a');
      await once(client, 'data');
      open.push(client);
    }
    expect(await ending(await stage.dial())).toBe('ECONNRESET');
    await stage.ended('out-of-memory').toBe(1);
    stage.memory.isShort = false;
    const more = await stage.dial();
    more.write('b');
    await once(more, 'data');
    for (const client of [...open, more]) client.end();
    await stage.quiet();
  });

  it('lives through a drain, and is cut by an abort', async () => {
    const port = await stage.listenPeer((socket) => void socket.pipe(socket));
    await stage.serve([port]);
    const client = await stage.dial();
    client.write('a');
    await once(client, 'data');
    const drained = stage.listener.drain();
    client.write('b');
    const [echo] = (await once(client, 'data')) as [Buffer];
    expect(`${echo}`).toBe('b');
    const end = ending(client);
    expect(stage.listener.abort()).toBe(1);
    expect(await end).toBe('ECONNRESET');
    await drained;
    expect(stage.ledger.inFlight(0)).toBe(0);
  });
});

function digest(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** Reads to the end with pauses, so that the other side has to wait. */
function slowDigest(socket: Socket): Promise<string> {
  const hash = createHash('sha256');
  let count = 0;
  socket.on('data', (piece: Buffer) => {
    hash.update(piece);
    count += 1;
    if (count % 20 !== 0) return;
    socket.pause();
    setTimeout(() => socket.resume(), 2);
  });
  return new Promise((resolve, reject) => {
    socket.once('end', () => resolve(hash.digest('hex')));
    socket.once('error', reject);
  });
}

describe('an endpoint that accepts and serves nobody', () => {
  const shut = () => stage.listenPeer((socket) => socket.end());
  const slam = () => stage.listenPeer((socket) => socket.resetAndDestroy());
  const slamFirstBytes = () =>
    stage.listenPeer((socket) => socket.once('data', () => socket.resetAndDestroy()));
  const echo = () => stage.listenPeer((socket) => void socket.pipe(socket));

  it('loses no session while another one serves, and is reported', async () => {
    const ports = [await shut(), await slam(), await slamFirstBytes(), await echo()];
    await stage.serve(ports);
    for (let i = 0; i < 30; i += 1) {
      const client = await stage.dial();
      client.write(`ping ${i}`);
      const [bytes] = (await once(client, 'data')) as [Buffer];
      expect(bytes.toString()).toBe(`ping ${i}`);
      client.end();
      expect(await ending(client)).toBe('end');
    }
    await stage.quiet();
    expect(stage.endpointCount(3, 'failures')).toBe(0);
    // After one refusal the worker passes an endpoint over for a moment, and control hears of it.
    const reported = stage.messages.filter((message) => message.type === 'suspect');
    expect(new Set(reported.map(({ slot }) => slot))).toEqual(new Set([0, 1, 2]));
    expect(stage.ledger.reasonTotal(0, reason('session-refused').index)).toBe(0);
  });

  it('sees by a reset that a session which moves on is not complete', async () => {
    const ends: string[] = [];
    const half = await stage.listenPeer((socket) => {
      socket.on('error', (error: NodeJS.ErrnoException) => ends.push(error.code ?? ''));
      socket.on('end', () => ends.push('end'));
      socket.once('data', () => socket.end());
    });
    await stage.serve([half, await echo()]);
    for (let i = 0; i < 4; i += 1) {
      const client = await stage.dial();
      client.write('some');
      const [bytes] = (await once(client, 'data')) as [Buffer];
      expect(bytes.toString()).toBe('some');
      client.end();
      expect(await ending(client)).toBe('end');
    }
    await stage.quiet();
    await expect.poll(() => ends.length).toBeGreaterThan(0);
    expect(new Set(ends)).toEqual(new Set(['ECONNRESET']));
  });

  it('is asked once where it is the only one, and the client sees that nothing is complete', async () => {
    await stage.serve([await slamFirstBytes()]);
    const client = await stage.dial();
    client.write('once');
    expect(await ending(client)).toBe('ECONNRESET');
    await stage.ended('session-refused').toBe(1);
    expect(stage.endpointCount(0, 'attempts')).toBe(1);
    await stage.quiet();
  });

  it('may close without a byte where the client has ended the session', async () => {
    const seen: string[] = [];
    const port = await stage.listenPeer((socket) => {
      void readAll(socket).then((bytes) => {
        seen.push(bytes.toString());
        socket.end();
      });
    });
    await stage.serve([port, port]);
    const client = await stage.dial();
    client.end('a line of a log');
    expect(await ending(client)).toBe('end');
    await stage.quiet();
    expect(seen).toEqual(['a line of a log']);
    expect(stage.endpointCount(0, 'failures') + stage.endpointCount(1, 'failures')).toBe(0);
  });

  it('counts for what it cuts early, though it sent something first', async () => {
    const port = await stage.listenPeer((socket) => {
      socket.write('hello', () => setImmediate(() => socket.resetAndDestroy()));
    });
    await stage.serve([port]);
    for (let i = 0; i < 5; i += 1) expect(await ending(await stage.dial())).toBe('ECONNRESET');
    await stage.quiet();
    expect(stage.endpointCount(0, 'failures')).toBe(5);
    expect(stage.messages.some((message) => message.type === 'streak')).toBe(true);
  });

  it('has one outcome a session beside its peers: served, or not', async () => {
    const answering = await stage.listenPeer((socket) => {
      // It ends the session itself, long before it would be trusted for its age.
      socket.once('data', () => socket.end('answer'));
    });
    await stage.serve([answering, await slamFirstBytes()]);
    for (let i = 0; i < 6; i += 1) {
      const client = await stage.dial();
      client.write('ask');
      expect(`${await readAll(client)}`).toBe('answer');
      client.end();
    }
    await stage.quiet();
    const refused = stage.endpointCount(1, 'attempts');
    expect([stage.endpointCount(0, 'outcomes'), stage.endpointCount(0, 'faults')]).toEqual([6, 0]);
    expect([stage.endpointCount(1, 'outcomes'), stage.endpointCount(1, 'faults')]).toEqual([
      refused,
      refused,
    ]);
  });

  it('is trusted at once with early_failure 0', async () => {
    await stage.serve([await shut(), await echo()], { tcp: makeTcp({ earlyFailureMs: 0 }) });
    const endings = [];
    for (let i = 0; i < 2; i += 1) {
      const client = await stage.dial();
      client.write('ping');
      endings.push(await Promise.race([ending(client), once(client, 'data').then(() => 'served')]));
      client.end();
    }
    expect(endings.sort()).toEqual(['end', 'served']);
    await stage.quiet();
    expect(stage.endpointCount(0, 'failures')).toBe(0);
  });
});
