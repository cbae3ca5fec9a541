// UDP sessions over loopback: who gets what, and what becomes of datagrams that have no answer when the
// endpoint is not there, goes, or is silent.
import { createSocket, type RemoteInfo } from 'node:dgram';
import { once } from 'node:events';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { probeHandles } from '../../../src/proxy/wire/udp-handles.ts';
import { freePorts } from '../../support/ports.ts';
import { makeService, makeUdp } from '../../support/service.ts';
import { turn, UdpStage } from '../../support/udp-stage.ts';

let stage: UdpStage;

beforeEach(() => {
  stage = new UdpStage();
});
afterEach(() => stage.close());

const plain = makeService();
const limits = (parts: Partial<typeof plain.limits>) => ({ limits: { ...plain.limits, ...parts } });
const timeouts = (parts: Partial<typeof plain.timeouts>) => ({
  timeouts: { ...plain.timeouts, ...parts },
});

/** An endpoint that takes everything and says nothing. */
const mute = (got: RemoteInfo[] = []) => stage.endpoint('mute', (_, from) => void got.push(from));

describe('a session', () => {
  it('stays with its endpoint, and another source has another one', async () => {
    const ports = [stage.endpoint('a').port, stage.endpoint('b').port];
    await stage.serve(ports, { balance: { policy: 'least-conn', hash: null } });
    const [one, other] = [stage.client(), stage.client()];
    const first = (await one.ask('1')).slice(0, 1);
    expect(await one.ask('2')).toBe(`${first}:2`);
    expect((await other.ask('3')).slice(0, 1)).not.toBe(first);
    expect(await one.ask('4')).toBe(`${first}:4`);
    expect(stage.ledger.inFlight(0)).toBe(1);
    expect(stage.ledger.inFlight(1)).toBe(1);
    expect(stage.listener.sessionCount).toBe(2);
  });

  it('goes by its source with hash(source)', async () => {
    const ports = ['a', 'b', 'c'].map((name) => stage.endpoint(name).port);
    await stage.serve(ports, { balance: { policy: 'hash', hash: { on: 'source', name: '' } } });
    const answers = new Set<string>();
    for (let i = 0; i < 8; i += 1) answers.add((await stage.client().ask('?')).slice(0, 1));
    expect(answers.size).toBe(1);
  });

  it('carries empty and large datagrams as they are', async () => {
    const echo = stage.endpoint('echo', (bytes, from, socket) => {
      socket.send(bytes, from.port, from.address);
    });
    await stage.serve([echo.port]);
    const client = stage.client();
    expect(await client.ask('')).toBe('');
    const large = 'x'.repeat(60_000);
    expect(await client.ask(large)).toBe(large);
    expect(stage.serviceCount('bytesIn')).toBe(60_000);
    expect(stage.serviceCount('bytesOut')).toBe(60_000);
    expect(stage.serviceCount('datagramsIn')).toBe(2);
    expect(stage.serviceCount('datagramsOut')).toBe(2);
  });

  it('ends when it is idle, and is counted and logged once', async () => {
    await stage.serve([stage.endpoint('a').port], timeouts({ idleUdpMs: 5000 }));
    const client = stage.client();
    await client.ask('1');
    stage.advance(4000);
    await client.ask('2');
    stage.advance(4000);
    expect(stage.listener.sessionCount).toBe(1);
    stage.advance(2000);
    await stage.quiet();
    expect(stage.serviceCount('requests')).toBe(1);
    expect(stage.access).toEqual([
      expect.objectContaining({
        ...{ client: '127.0.0.1', service: 'web', endpoint: 'e0', reason: '', attempts: 1 },
        ...{ bytesIn: 2, bytesOut: 6 },
      }),
    ]);
    expect(await client.ask('3')).toBe('a:3');
    expect(stage.serviceCount('connections')).toBe(2);
  });

  it('ends with the last answer where their number is known', async () => {
    const twice = stage.endpoint('twice', (bytes, from, socket) => {
      socket.send(`1${bytes}`, from.port, from.address);
      socket.send(`2${bytes}`, from.port, from.address);
    });
    await stage.serve([twice.port], { udp: makeUdp({ responses: 2 }) });
    const client = stage.client();
    client.send('a');
    client.send('b');
    await stage.quiet();
    await expect.poll(() => client.got).toEqual(['1a', '2a', '1b', '2b']);
    expect(stage.endpointCount(0, 'outcomes')).toBe(1);
  });
});

describe('answers', () => {
  it('of a foreign source never reach the client', async () => {
    const seen: RemoteInfo[] = [];
    const endpoint = mute(seen);
    await stage.serve([endpoint.port]);
    const client = stage.client();
    client.send('?');
    await expect.poll(() => seen.length).toBe(1);
    const stranger = createSocket('udp4');
    await new Promise<void>((resolve) =>
      stranger.send('forged', seen[0]!.port, '127.0.0.1', () => resolve()),
    );
    stranger.close();
    // What comes later from the endpoint is the first that the client sees.
    endpoint.socket.send('true', seen[0]!.port, '127.0.0.1');
    expect(await client.next()).toBe('true');
    expect(client.got).toEqual(['true']);
  });

  it('that come late, after the session has ended, reach nobody', async () => {
    const seen: RemoteInfo[] = [];
    const endpoint = mute(seen);
    await stage.serve([endpoint.port], timeouts({ idleUdpMs: 1000 }));
    const client = stage.client();
    client.send('first');
    await expect.poll(() => seen.length).toBe(1);
    stage.advance(2000);
    await stage.quiet();
    // The same source again, or another client that got its port.
    client.send('second');
    await expect.poll(() => seen.length).toBe(2);
    expect(seen[1]!.port).not.toBe(seen[0]!.port);
    endpoint.socket.send('late', seen[0]!.port, '127.0.0.1');
    endpoint.socket.send('answer', seen[1]!.port, '127.0.0.1');
    expect(await client.next()).toBe('answer');
    expect(client.got).toEqual(['answer']);
  });

  it('after the last that was expected are not relayed', async () => {
    const seen: RemoteInfo[] = [];
    const endpoint = stage.endpoint('a', (bytes, from, socket) => {
      seen.push(from);
      socket.send(`a${bytes}`, from.port, from.address);
    });
    await stage.serve([endpoint.port], { udp: makeUdp({ responses: 1 }) });
    const client = stage.client();
    expect(await client.ask('1')).toBe('a1');
    await stage.quiet();
    endpoint.socket.send('more', seen[0]!.port, '127.0.0.1');
    expect(await client.ask('2')).toBe('a2');
    expect(client.got).toEqual(['a1', 'a2']);
  });

  it('to a source that may be made up are no more than its datagrams allow', async () => {
    const loud = stage.endpoint('loud', (_, from, socket) => {
      for (let i = 0; i < 5; i += 1) socket.send('x'.repeat(100), from.port, from.address);
    });
    await stage.serve([loud.port], { udp: makeUdp({ amplificationMax: 3 }) });
    const client = stage.client();
    client.send('y'.repeat(100));
    await expect.poll(() => stage.serviceCount('datagramsDropped')).toBe(2);
    await expect.poll(() => client.got.length).toBe(3);
    // It has heard the answers: now it is there.
    client.send('y'.repeat(100));
    await expect.poll(() => client.got.length).toBe(8);
    expect(stage.serviceCount('datagramsDropped')).toBe(2);
  });
});

describe('an answer that is too much for its source', () => {
  it('is an answer all the same: the endpoint is not blamed, and the session ends', async () => {
    const loud = stage.endpoint('loud', (_, from, socket) => {
      socket.send('x'.repeat(100), from.port, from.address);
    });
    const udp = makeUdp({ responses: 1, amplificationMax: 3 });
    const other = stage.endpoint('b');
    await stage.serve(
      [loud.port, other.port],
      { udp, ...timeouts({ responseMs: 1000 }) },
      [1, 0.001],
    );
    stage.client().send('small');
    await expect.poll(() => stage.serviceCount('datagramsDropped')).toBe(1);
    await stage.quiet();
    stage.advance(1100);
    expect(stage.endpointCount(0, 'failures')).toBe(0);
    expect(other.got).toEqual([]);
  });
});

describe('when no socket can be had', () => {
  /** The next `count` sockets can't be opened. */
  function starve(count: number): void {
    const { datagrams } = stage.context;
    let left = count;
    Object.assign(stage.context, {
      datagrams: {
        ...datagrams,
        connect: (...args: Parameters<typeof datagrams.connect>) => {
          if (left === 0) return datagrams.connect(...args);
          left -= 1;
          throw Object.assign(new Error('too many open files'), { code: 'EMFILE' });
        },
      },
    });
  }

  it('the session that was silent for longest makes room', async () => {
    await stage.serve([stage.endpoint('a').port]);
    await stage.client().ask('1');
    starve(1);
    expect(await stage.client().ask('2')).toBe('a:2');
    expect(stage.reasons('too-many-connections')).toBe(1);
    expect(stage.listener.sessionCount).toBe(1);
  });

  it('but the last that are kept back, each new session takes the place of another', async () => {
    await stage.serve([stage.endpoint('a').port]);
    await stage.client().ask('1');
    Object.assign(stage.context.network, { isFromReserve: () => true });
    expect(await stage.client().ask('2')).toBe('a:2');
    expect(await stage.client().ask('3')).toBe('a:3');
    expect(stage.listener.sessionCount).toBe(1);
    expect(stage.reasons('too-many-connections')).toBe(2);
    stage.listener.abort();
  });

  it('but the last, and nobody gives way, the datagram is lost', async () => {
    await stage.serve([stage.endpoint('a').port]);
    Object.assign(stage.context.network, { isFromReserve: () => true });
    stage.client().send('1');
    await expect.poll(() => stage.reasons('out-of-descriptors')).toBe(1);
    expect(stage.serviceCount('datagramsDropped')).toBe(1);
  });

  it('a session does not make room for itself: its datagrams are lost, and the endpoint is not blamed', async () => {
    await stage.serve([stage.endpoint('a').port]);
    starve(1);
    const client = stage.client();
    client.send('1');
    await expect.poll(() => stage.reasons('out-of-descriptors')).toBe(1);
    await stage.quiet();
    expect(stage.reasons('too-many-connections')).toBe(0);
    expect(stage.endpointCount(0, 'failures')).toBe(0);
    expect(await client.ask('2')).toBe('a:2');
  });
});

describe('an endpoint that is not there', () => {
  it('is refused by its host, and another gets the datagram', async () => {
    const [dead] = (await freePorts(1)) as [number];
    await stage.serve([dead, stage.endpoint('b').port], {}, [1, 0.001]);
    const client = stage.client();
    expect(await client.ask('hi')).toBe('b:hi');
    expect(stage.retries('connect-refused')).toBe(1);
    expect(stage.endpointCount(0, 'connectFailures')).toBe(1);
    expect(stage.endpointCount(0, 'retries')).toBe(1);
    expect(stage.messages).toContainEqual({ type: 'suspect', slot: 0, reason: 'connect-refused' });
    expect(stage.reasons('connect-refused')).toBe(0);
    // This worker passes it over.
    for (let i = 0; i < 5; i += 1) expect(await stage.client().ask('x')).toBe('b:x');
    expect(stage.endpointCount(0, 'connectFailures')).toBe(1);
  });

  it('gets none of several datagrams: another gets them all, in their order', async () => {
    const [dead] = (await freePorts(1)) as [number];
    const b = stage.endpoint('b');
    await stage.serve([dead, b.port], {}, [1, 0.001]);
    const client = stage.client();
    for (const text of ['1', '2', '3', '4']) client.send(text);
    await expect.poll(() => client.got).toEqual(['b:1', 'b:2', 'b:3', 'b:4']);
    expect(b.got).toEqual(['1', '2', '3', '4']);
  });

  it('goes while a session is under way: the session moves', async () => {
    const a = stage.endpoint('a');
    await stage.serve([a.port, stage.endpoint('b').port], {}, [1, 0.001]);
    const client = stage.client();
    expect(await client.ask('1')).toBe('a:1');
    a.socket.close();
    await once(a.socket, 'close');
    expect(await client.ask('2')).toBe('b:2');
    expect(await client.ask('3')).toBe('b:3');
    expect(stage.serviceCount('connections')).toBe(1);
    expect(stage.retries('connect-refused')).toBe(1);
  });

  it('is all there is: the datagram is lost, which is counted', async () => {
    const [dead] = (await freePorts(1)) as [number];
    await stage.serve([dead]);
    stage.client().send('?');
    await expect.poll(() => stage.reasons('connect-refused')).toBe(1);
    await stage.quiet();
    expect(stage.serviceCount('datagramsDropped')).toBe(1);
    expect(stage.warnings).toEqual(['connect-refused: The endpoint refused the connection.']);
  });

  it('is tried once where retries are off', async () => {
    const [dead] = (await freePorts(1)) as [number];
    const retry = { ...plain.retry, attempts: 1 };
    const b = stage.endpoint('b');
    await stage.serve([dead, b.port], { retry }, [1, 0.001]);
    stage.client().send('?');
    await expect.poll(() => stage.reasons('connect-refused')).toBe(1);
    expect(b.got).toEqual([]);
  });

  it('costs nothing where none is up: each datagram is counted, few are logged', async () => {
    const live = await stage.serve([stage.endpoint('a').port]);
    turn(live, 0, 'down');
    const client = stage.client();
    for (let i = 0; i < 20; i += 1) client.send('?');
    await expect.poll(() => stage.reasons('no-endpoint')).toBe(20);
    expect(stage.serviceCount('datagramsDropped')).toBe(20);
    expect(stage.warnings.length).toBe(1);
    turn(live, 0, 'up');
    expect(await client.ask('!')).toBe('a:!');
  });
});

describe('an endpoint that is silent', () => {
  it('loses the datagram to another one after timeouts.response', async () => {
    const silent = mute();
    await stage.serve(
      [silent.port, stage.endpoint('b').port],
      { udp: makeUdp({ responses: 1 }), ...timeouts({ responseMs: 1000 }) },
      [1, 0.001],
    );
    const client = stage.client();
    client.send('q');
    await expect.poll(() => silent.got.length).toBe(1);
    stage.advance(1100);
    await expect.poll(() => client.got).toEqual(['b:q']);
    await stage.quiet();
    expect(stage.endpointCount(0, 'timeouts')).toBe(1);
    expect(stage.retries('response-timeout')).toBe(1);
  });

  it('is blamed where there is no other, and the session ends', async () => {
    const silent = mute();
    await stage.serve([silent.port], {
      ...{ udp: makeUdp({ responses: 1 }), retry: { ...plain.retry, attempts: 1 } },
      ...timeouts({ responseMs: 1000 }),
    });
    stage.client().send('q');
    await expect.poll(() => silent.got.length).toBe(1);
    stage.advance(1100);
    await stage.quiet();
    expect(stage.reasons('response-timeout')).toBe(1);
  });

  it('is not blamed where it is not known that it answers', async () => {
    const silent = mute();
    await stage.serve([silent.port], timeouts({ responseMs: 1000, idleUdpMs: 2000 }));
    stage.client().send('log line');
    await expect.poll(() => silent.got.length).toBe(1);
    stage.advance(3000);
    await stage.quiet();
    expect(stage.endpointCount(0, 'failures')).toBe(0);
    expect(stage.access[0]!.reason).toBe('');
  });
});

describe('a session that moves', () => {
  it('takes along what may have no answer yet, and gets all of it', async () => {
    const half = stage.endpoint('half', (bytes, from, socket) => {
      if (String(bytes) === '1') socket.send('half:1', from.port, from.address);
    });
    const udp = makeUdp({ responses: 1 });
    const live = await stage.serve([half.port, stage.endpoint('b').port], { udp }, [1, 0.001]);
    const client = stage.client();
    client.send('1');
    client.send('2');
    await expect.poll(() => half.got.length).toBe(2);
    await expect.poll(() => client.got).toEqual(['half:1']);
    turn(live, 0, 'down');
    await expect.poll(() => client.got).toEqual(['half:1', 'b:1', 'b:2']);
    await stage.quiet();
  });

  it('may do so again, as often as endpoints serve it', async () => {
    const retry = { ...plain.retry, attempts: 2, connectAttempts: 2 };
    let [a, b] = [stage.endpoint('a'), stage.endpoint('b')];
    await stage.serve([a.port, b.port], { retry, passive: { ...plain.passive } });
    const client = stage.client();
    const first = (await client.ask('1')).slice(0, 1);
    for (let i = 0; i < 3; i += 1) {
      const isOnA = i % 2 === (first === 'a' ? 0 : 1);
      const dying = isOnA ? a : b;
      dying.socket.close();
      await once(dying.socket, 'close');
      expect(await client.ask(`${i}`)).toBe(`${isOnA ? 'b' : 'a'}:${i}`);
      if (isOnA) a = stage.endpoint('a', undefined, a.port);
      else b = stage.endpoint('b', undefined, b.port);
    }
    expect(stage.serviceCount('connections')).toBe(1);
    expect(stage.retries('connect-refused')).toBe(3);
  });
});

describe('when an endpoint goes', () => {
  it('down, what it has not answered goes to another', async () => {
    const silent = mute();
    const live = await stage.serve([silent.port, stage.endpoint('b').port], {}, [1, 0.001]);
    const client = stage.client();
    client.send('q');
    await expect.poll(() => silent.got).toEqual(['q']);
    turn(live, 0, 'down');
    await expect.poll(() => client.got).toEqual(['b:q']);
    expect(await client.ask('next')).toBe('b:next');
    expect(stage.ledger.inFlight(0)).toBe(0);
  });

  it.each(['drain', 'maint', 'gone'] as const)(
    '%s, what it still answers is relayed, and the next datagram goes to another',
    async (state) => {
      const seen: RemoteInfo[] = [];
      const slow = mute(seen);
      const live = await stage.serve([slow.port, stage.endpoint('b').port], {}, [1, 0.001]);
      const client = stage.client();
      client.send('q');
      await expect.poll(() => seen.length).toBe(1);
      turn(live, 0, state);
      expect(await client.ask('next')).toBe('b:next');
      slow.socket.send('late but good', seen[0]!.port, '127.0.0.1');
      expect(await client.next()).toBe('late but good');
      expect(await client.ask('again')).toBe('b:again');
      expect(slow.got).toEqual(['q']);
      // It does not stay for ever.
      stage.advance(6000);
      expect(stage.ledger.inFlight(0)).toBe(0);
    },
  );

  it.each(['down', 'drain'] as const)('%s, sessions go on with keep', async (state) => {
    const udp = makeUdp({ onDownMs: null, onDrainMs: null });
    const live = await stage.serve(
      [stage.endpoint('a').port, stage.endpoint('b').port],
      { udp },
      [1, 0.001],
    );
    const client = stage.client();
    await client.ask('1');
    turn(live, 0, state);
    expect(await client.ask('2')).toBe('a:2');
    expect(await stage.client().ask('3')).toBe('b:3');
  });

  it('down, sessions move after a time', async () => {
    const udp = makeUdp({ onDownMs: 5000 });
    const ports = [stage.endpoint('a').port, stage.endpoint('b').port];
    const live = await stage.serve(ports, { udp }, [1, 0.001]);
    const client = stage.client();
    await client.ask('1');
    turn(live, 0, 'down');
    stage.advance(3000);
    expect(await client.ask('2')).toBe('a:2');
    stage.advance(3000);
    expect(await client.ask('3')).toBe('b:3');
  });
});

describe('limits', () => {
  it('per endpoint make sources wait, and what they have sent comes in its order', async () => {
    const endpoint = stage.endpoint('a');
    await stage.serve([endpoint.port], {
      ...{ udp: makeUdp({ responses: 1 }) },
      ...limits({ perEndpoint: 1, queueTimeoutMs: 5000 }),
    });
    const clients = Array.from({ length: 5 }, () => stage.client());
    for (const client of clients) client.send('x');
    await expect.poll(() => clients.map(({ got }) => got.length)).toEqual([1, 1, 1, 1, 1]);
    expect(stage.serviceCount('datagramsDropped')).toBe(0);
  });

  it('per endpoint drop what waits for too long', async () => {
    await stage.serve([mute().port], limits({ perEndpoint: 1, queueTimeoutMs: 1000 }));
    stage.client().send('x');
    await expect.poll(() => stage.inFlight()).toBe(1);
    const waiting = stage.client();
    waiting.send('y');
    waiting.send('z');
    await expect.poll(() => stage.serviceCount('datagramsIn')).toBe(3);
    stage.advance(1100);
    await expect.poll(() => stage.reasons('queue-timeout')).toBe(1);
    expect(stage.serviceCount('datagramsDropped')).toBe(2);
  });

  it('of datagrams that wait for an endpoint: the oldest are let go, which is counted', async () => {
    const a = stage.endpoint('a');
    await stage.serve([a.port], {
      ...limits({ perEndpoint: 1 }),
      ...timeouts({ idleUdpMs: 1000 }),
    });
    await stage.client().ask('x');
    const waiting = stage.client();
    for (let i = 0; i < 10; i += 1) waiting.send(`${i}`);
    await expect.poll(() => stage.serviceCount('datagramsIn')).toBe(11);
    expect(stage.serviceCount('datagramsDropped')).toBe(2);
    stage.advance(1100);
    await expect.poll(() => a.got).toEqual(['x', '2', '3', '4', '5', '6', '7', '8', '9']);
  });

  it('of the service: who waits in the queue and gives way, leaves the queue', async () => {
    const live = await stage.serve([mute().port], limits({ perEndpoint: 1, connections: 2 }));
    stage.client().send('x');
    await expect.poll(() => stage.inFlight()).toBe(1);
    for (let i = 0; i < 3; i += 1) {
      stage.client().send(`${i}`);
      await expect.poll(() => stage.serviceCount('connections')).toBe(i + 2);
    }
    expect(stage.listener.sessionCount).toBe(2);
    expect(live.waitingCount + stage.inFlight()).toBe(2);
  });

  it('of one address refuse it more sessions, and nobody else', async () => {
    await stage.serve([stage.endpoint('a').port], limits({ connectionsPerClient: 2 }));
    const clients = [stage.client(), stage.client(), stage.client()];
    for (const client of clients.slice(0, 2)) await client.ask('x');
    clients[2]!.send('x');
    await expect.poll(() => stage.reasons('client-connections')).toBe(1);
    expect(await stage.client(0, '127.0.0.2').ask('x')).toBe('a:x');
    expect(await clients[0]!.ask('y')).toBe('a:y');
  });

  it.each([
    ['sessions', null],
    ['one way', 0],
  ])(
    'of one address a second are dropped beyond, and no other address: %s',
    async (_, responses) => {
      const got: string[] = [];
      const sink = stage.endpoint('sink', (bytes) => void got.push(bytes.toString()));
      await stage.serve([sink.port], { udp: makeUdp({ responses, ratePerClient: 4 }) });
      stage.stopClock();
      const [one, same, other] = [stage.client(), stage.client(), stage.client(0, '127.0.0.2')];
      for (let i = 0; i < 10; i += 1) (i % 2 === 0 ? one : same).send('x');
      await expect.poll(() => stage.serviceCount('datagramsDropped')).toBe(6);
      expect(stage.reasons('client-datagrams')).toBe(6);
      for (let i = 0; i < 4; i += 1) other.send('y');
      await expect.poll(() => got.length).toBe(8);
      // A second's worth has come back after a second, one after a quarter of it.
      stage.advance(250);
      one.send('z');
      one.send('z');
      await expect.poll(() => stage.serviceCount('datagramsDropped')).toBe(7);
      await expect.poll(() => got.join('')).toBe('xxxxyyyyz');
      expect(stage.serviceCount('datagramsIn')).toBe(9);
    },
  );

  it('of the service: who has sent once gives way, who has answered an answer does not', async () => {
    await stage.serve([stage.endpoint('a').port], limits({ connections: 3 }));
    const real = stage.client();
    await real.ask('1');
    await real.ask('2');
    const floods = Array.from({ length: 20 }, () => stage.client());
    for (const client of floods) await client.ask('x');
    expect(stage.listener.sessionCount).toBe(3);
    expect(stage.reasons('too-many-connections')).toBe(18);
    expect(stage.ledger.connections(0)).toBe(3);
    await real.ask('3');
    // Its session has gone on all the while.
    expect(stage.serviceCount('connections')).toBe(21);
  });

  it('of the service refuse newcomers where nobody gives way', async () => {
    await stage.serve([stage.endpoint('a').port], limits({ connections: 2 }));
    for (const client of [stage.client(), stage.client()]) {
      await client.ask('1');
      await client.ask('2');
    }
    stage.client().send('x');
    await expect.poll(() => stage.reasons('too-many-connections')).toBe(1);
    expect(stage.listener.sessionCount).toBe(2);
  });
});

describe('datagrams without answers', () => {
  const udp = makeUdp({ responses: 0 });

  it('are balanced one by one, by one socket for each endpoint', async () => {
    const ends = ['a', 'b'].map((name) => stage.endpoint(name));
    await stage.serve(
      ends.map(({ port }) => port),
      { udp },
    );
    const client = stage.client();
    for (let i = 0; i < 10; i += 1) client.send(`${i}`);
    await expect.poll(() => ends.map(({ got }) => got.length)).toEqual([5, 5]);
    expect(stage.endpointCount(0, 'connects')).toBe(1);
    expect(stage.endpointCount(0, 'attempts')).toBe(5);
    expect(stage.serviceCount('requests')).toBe(10);
    expect(stage.listener.sessionCount).toBe(0);
    // They answered, though nobody had asked.
    expect(client.got).toEqual([]);
  });

  it('go to another endpoint where the host of the first refuses them', async () => {
    const a = stage.endpoint('a');
    const b = stage.endpoint('b');
    await stage.serve([a.port, b.port], { udp });
    const client = stage.client();
    for (let i = 0; i < 4; i += 1) client.send(`${i}`);
    await expect.poll(() => a.got.length + b.got.length).toBe(4);
    a.socket.close();
    await once(a.socket, 'close');
    for (let i = 4; i < 12; i += 1) client.send(`${i}`);
    await expect.poll(() => new Set([...a.got, ...b.got]).size).toBe(12);
    expect(stage.endpointCount(0, 'connectFailures')).toBeGreaterThan(0);
  });

  it('are lost where there is no endpoint, which is counted', async () => {
    const live = await stage.serve([stage.endpoint('a').port], { udp });
    turn(live, 0, 'down');
    const client = stage.client();
    for (let i = 0; i < 5; i += 1) client.send(`${i}`);
    await expect.poll(() => stage.serviceCount('datagramsDropped')).toBe(5);
    expect(stage.reasons('no-endpoint')).toBe(5);
  });
});

describe('sockets as Node documents them', () => {
  const serve = (ports: readonly number[], parts = {}) =>
    stage.serve(ports, parts, [1, 0.001], { isFast: false });

  it('are what is used where Node has changed: they do the same', async () => {
    const a = stage.endpoint('a');
    await serve([a.port, stage.endpoint('b').port]);
    const client = stage.client();
    expect(await client.ask('1')).toBe('a:1');
    expect(await client.ask('')).toBe('a:');
    a.socket.close();
    await once(a.socket, 'close');
    expect(await client.ask('2')).toBe('b:2');
    expect(stage.retries('connect-refused')).toBe(1);
  });

  it('take answers of the endpoint alone, and close', async () => {
    const seen: RemoteInfo[] = [];
    const endpoint = mute(seen);
    await serve([endpoint.port], timeouts({ idleUdpMs: 1000 }));
    const client = stage.client();
    client.send('?');
    await expect.poll(() => seen.length).toBe(1);
    stage.endpoint('stranger').socket.send('forged', seen[0]!.port, '127.0.0.1');
    endpoint.socket.send('true', seen[0]!.port, '127.0.0.1');
    expect(await client.next()).toBe('true');
    stage.advance(2000);
    await stage.quiet();
  });

  it('are not used now: this Node has what is relied on', async () => {
    expect(await probeHandles()).not.toBeNull();
    await stage.serve([mute().port]);
  });
});

describe('a rule of ours that is broken', () => {
  it('ends its session, and no other', async () => {
    const bad = stage.endpoint('bad');
    await stage.serve([bad.port]);
    const [one, other] = [stage.client(), stage.client()];
    expect(await other.ask('1')).toBe('bad:1');
    const errors: unknown[] = [];
    Object.assign(stage.context.log, { error: (fields: unknown) => errors.push(fields) });
    // Answered: no answer but the next one meets what is planted.
    expect(await one.ask('x')).toBe('bad:x');
    const session = [...stage.listener.table.sessions()][1]!;
    session.onAnswer = () => {
      throw new Error('planted');
    };
    one.send('y');
    await expect.poll(() => stage.reasons('bug')).toBe(1);
    expect(String(JSON.stringify(errors))).toContain('planted');
    expect(await other.ask('2')).toBe('bad:2');
    expect(stage.listener.sessionCount).toBe(1);
  });
});

describe('a listener that closes', () => {
  it('waits for the answers that are due', async () => {
    const seen: RemoteInfo[] = [];
    const slow = mute(seen);
    await stage.serve([slow.port]);
    const client = stage.client();
    client.send('q');
    await expect.poll(() => seen.length).toBe(1);
    const drained = stage.listener.drain();
    slow.socket.send('answer', seen[0]!.port, '127.0.0.1');
    expect(await client.next()).toBe('answer');
    await drained;
    expect(stage.listener.port).toBe(0);
    await stage.quiet();
  });
});
