// What becomes of TCP sessions when their endpoint goes down, drains or leaves; and that peers which
// are gone without a word are probed for.
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { TimerEntry } from '../../../src/base/timer-wheel.ts';
import type { EndpointState } from '../../../src/model/endpoint.ts';
import type { TcpPolicy } from '../../../src/model/service.ts';
import type { LiveService } from '../../../src/proxy/live-service.ts';
import { makeService, makeTcp } from '../../support/service.ts';
import { ending, TcpStage } from '../../support/tcp-stage.ts';

let stage: TcpStage;

beforeEach(() => {
  stage = new TcpStage();
});
afterEach(() => stage.close());

/** Says its name, then echoes. */
function named(name: string, seen: string[] = []): Promise<number> {
  return stage.listenPeer((socket) => {
    socket.on('data', (bytes: Buffer) => {
      seen.push(bytes.toString());
      socket.write(`${name}:${bytes.toString()}`);
    });
    socket.on('end', () => socket.end());
  });
}

async function ask(client: Socket, text: string): Promise<string> {
  client.write(text);
  const [bytes] = (await once(client, 'data')) as [Buffer];
  return bytes.toString();
}

/** The endpoint at this place is in that state from now on; `gone`: it is not there any more. */
function turn(live: LiveService, at: number, state: EndpointState | 'gone', isSpare = false): void {
  const { snapshot } = live;
  const endpoints = snapshot.endpoints.flatMap((one, i) => {
    if (i !== at) return [one];
    return state === 'gone' ? [] : [{ ...one, state, isSpare }];
  });
  live.apply({ ...snapshot, endpoints, isPanicking: isSpare });
}

async function serveTwo(tcp: Partial<TcpPolicy>): Promise<LiveService> {
  const ports = [await named('one'), await named('other')];
  return stage.serve(ports, { tcp: makeTcp(tcp) }, [1, 0.001]);
}

/** A session on the first endpoint. */
async function session(): Promise<Socket> {
  const client = await stage.dial();
  expect(await ask(client, 'hi')).toBe('one:hi');
  return client;
}

describe('sessions of an endpoint that takes no more work', () => {
  it.each(['down', 'ejected', 'drain', 'maint', 'gone'] as const)(
    'go on by default: %s',
    async (state) => {
      const live = await serveTwo({});
      const client = await session();
      turn(live, 0, state);
      expect(await ask(client, 'still')).toBe('one:still');
      client.end();
      expect(await ending(client)).toBe('end');
    },
  );

  it.each([
    ['down', { onDownMs: 0 }],
    ['ejected', { onDownMs: 0 }],
    ['drain', { onDrainMs: 0 }],
    ['maint', { onDrainMs: 0 }],
    ['gone', { onDrainMs: 0 }],
  ] as const)('are cut at once with close: %s', async (state, policy) => {
    const live = await serveTwo(policy);
    const client = await session();
    const end = ending(client);
    turn(live, 0, state);
    expect(await end).toBe('ECONNRESET');
    await stage.ended('endpoint-left').toBe(1);
    await stage.quiet();
    // The endpoint is not to blame, and the next session goes to another.
    expect(stage.endpointCount(0, 'failures')).toBe(0);
    expect(await ask(await stage.dial(), 'next')).toBe('other:next');
  });

  it.each([
    ['down', { onDrainMs: 0 }],
    ['drain', { onDownMs: 0 }],
  ] as const)('are not concerned by the other policy: %s', async (state, policy) => {
    const live = await serveTwo(policy);
    const client = await session();
    turn(live, 0, state);
    expect(await ask(client, 'still')).toBe('one:still');
  });

  it('are cut after the time, which further changes do not put off', async () => {
    const live = await serveTwo({ onDrainMs: 300 });
    const client = await session();
    const fromMs = performance.now();
    const end = ending(client);
    turn(live, 0, 'drain');
    const again = setInterval(() => turn(live, 0, 'drain'), 50);
    expect(await end).toBe('ECONNRESET');
    clearInterval(again);
    expect(performance.now() - fromMs).toBeGreaterThan(250);
  });

  it('are cut at once where it goes down while it drains', async () => {
    const live = await serveTwo({ onDrainMs: 60_000, onDownMs: 0 });
    const client = await session();
    const end = ending(client);
    turn(live, 0, 'drain');
    turn(live, 0, 'down');
    expect(await end).toBe('ECONNRESET');
  });

  it('go on where it is back in time, or works in a panic', async () => {
    const live = await serveTwo({ onDownMs: 100 });
    const client = await session();
    turn(live, 0, 'down');
    turn(live, 0, 'up');
    await new Promise((resolve) => stage.wheel.schedule(entry(resolve), 200));
    expect(await ask(client, 'back')).toBe('one:back');
    turn(live, 0, 'down', true);
    await new Promise((resolve) => stage.wheel.schedule(entry(resolve), 200));
    expect(await ask(client, 'spare')).toBe('one:spare');
  });

  it.each([
    ['drains', (live: LiveService) => turn(live, 0, 'drain')],
    ['leaves', (live: LiveService) => turn(live, 0, 'gone')],
  ])('are cut after the time of a check where it then %s, and they may stay', async (_, next) => {
    const live = await serveTwo({ onDownMs: 200 });
    const client = await session();
    const end = ending(client);
    turn(live, 0, 'down');
    next(live);
    expect(await end).toBe('ECONNRESET');
  });

  it('may stay from then on where a reload says so', async () => {
    const live = await serveTwo({ onDownMs: 100 });
    const client = await session();
    turn(live, 0, 'down');
    const { snapshot } = live;
    live.apply({ ...snapshot, service: { ...snapshot.service, tcp: makeTcp() } });
    await new Promise((resolve) => stage.wheel.schedule(entry(resolve), 200));
    expect(await ask(client, 'still')).toBe('one:still');
  });

  it('end or stay as a reload says when their endpoint has left before', async () => {
    const live = await serveTwo({ onDrainMs: 100 });
    const client = await session();
    turn(live, 0, 'gone');
    const reload = (tcp: Partial<TcpPolicy>): void => {
      const { snapshot } = live;
      live.apply({ ...snapshot, service: { ...snapshot.service, tcp: makeTcp(tcp) } });
    };
    reload({ onDrainMs: null });
    await new Promise((resolve) => stage.wheel.schedule(entry(resolve), 200));
    expect(await ask(client, 'still')).toBe('one:still');
    const end = ending(client);
    reload({ onDrainMs: 0 });
    expect(await end).toBe('ECONNRESET');
  });

  it('are its sessions again where it has left and is back', async () => {
    const live = await serveTwo({ onDrainMs: 100, onDownMs: 0 });
    const { snapshot } = live;
    const client = await session();
    turn(live, 0, 'gone');
    live.apply(snapshot);
    await new Promise((resolve) => stage.wheel.schedule(entry(resolve), 200));
    expect(await ask(client, 'back')).toBe('one:back');
    const end = ending(client);
    turn(live, 0, 'down');
    expect(await end).toBe('ECONNRESET');
  });

  it('are cut where the service is gone and back, and its endpoint is then down', async () => {
    const live = await serveTwo({ onDownMs: 0 });
    const { snapshot } = live;
    const client = await session();
    const worker = stage.worker(live);
    const { name } = live;
    await worker.apply({ version: 1, upsert: [], remove: [name], listeners: null });
    await worker.apply({ version: 2, upsert: [snapshot], remove: [], listeners: null });
    expect(await ask(client, 'still')).toBe('one:still');
    const [first, second] = snapshot.endpoints;
    const endpoints = [{ ...first!, state: 'down' as const }, second!];
    const end = ending(client);
    await worker.apply({
      version: 3,
      upsert: [{ ...snapshot, endpoints }],
      remove: [],
      listeners: null,
    });
    expect(await end).toBe('ECONNRESET');
  });

  it('are cut at once where who leaves was the primary', async () => {
    const ports = [await named('one'), await named('other')];
    const primary = { by: 'tag' as const, tag: 'primary', lock: '' };
    const live = await stage.serve(ports, { primary }, [1, 0.001]);
    const client = await session();
    const end = ending(client);
    turn(live, 0, 'gone');
    expect(await end).toBe('ECONNRESET');
    await stage.ended('not-primary').toBe(1);
  });

  it('do not begin a second time elsewhere: what was sent is not repeated', async () => {
    const seen: string[] = [];
    const silent = await stage.listenPeer((socket) => socket.resume());
    const live = await stage.serve(
      [silent, await named('other', seen)],
      { tcp: makeTcp({ onDownMs: 0 }) },
      [1, 0.001],
    );
    const client = await stage.dial();
    client.write('INSERT');
    await expect.poll(() => stage.endpointCount(0, 'bytesIn')).toBe(6);
    const end = ending(client);
    turn(live, 0, 'down');
    expect(await end).toBe('ECONNRESET');
    await stage.quiet();
    expect(seen).toEqual([]);
    expect(stage.endpointCount(1, 'attempts')).toBe(0);
  });

  it('that are still connecting move, with what the client sent', async () => {
    const seen: string[] = [];
    // TEST-NET-1: nothing answers there.
    const ports = [await named('one'), await named('other', seen)];
    const live = await stage.serve(ports, { tcp: makeTcp({ onDownMs: 0 }) }, [1, 0.001]);
    const { snapshot } = live;
    const [first, second] = snapshot.endpoints;
    live.apply({
      ...snapshot,
      endpoints: [{ ...first!, id: 'nowhere', address: '192.0.2.1' }, second!],
    });
    const client = await stage.dial();
    client.write('early');
    await expect.poll(() => stage.ledger.inFlight(0)).toBe(1);
    const answer = once(client, 'data');
    turn(live, 0, 'down');
    expect(`${((await answer) as [Buffer])[0]}`).toBe('other:early');
    expect(seen).toEqual(['early']);
    expect(stage.endpointCount(0, 'failures')).toBe(0);
  });
});

function entry(resolve: (value: unknown) => void) {
  return new TimerEntry({ onTimer: () => resolve(null) });
}

/** Timers of the kernel for connections with this local or remote port. */
function timersOf(port: number): string[] {
  const lines = execFileSync(
    'ss',
    ['-Htnoe', 'state', 'established', `( sport = :${port} or dport = :${port} )`],
    { encoding: 'utf8' },
  ).split('\n');
  return lines.filter((line) => line.includes(`:${port} `) && line.includes('timer:(keepalive'));
}

describe('keep-alive probes', () => {
  it('are set on both sides of a session that lasts, with the times that are configured', async () => {
    const keepAlive = { idleMs: 40_000, intervalMs: 7000, count: 3 };
    const port = await named('one');
    await stage.serve([port], { tcp: makeTcp({ keepAlive }) });
    const client = await session();
    // One end of each connection is ours; the other is Node's in this test and has no probes.
    const sides = () => [timersOf(stage.listener.port).length, timersOf(port).length];
    await expect.poll(sides).toEqual([1, 1]);
    expect(timersOf(port)[0]).toMatch(/timer:\(keepalive,(3\d|40)sec,0\)/);
    client.end();
  });

  it('are not set where they are off', async () => {
    const port = await named('one');
    const live = await stage.serve([port], { tcp: makeTcp({ keepAlive: null }) });
    await session();
    await new Promise((resolve) => stage.wheel.schedule(entry(resolve), 1500));
    expect([timersOf(stage.listener.port), timersOf(port)]).toEqual([[], []]);
    expect(live.service.tcp.keepAlive).toBeNull();
  });

  it('do not lengthen or shorten the time without a byte', async () => {
    const keepAlive = { idleMs: 40_000, intervalMs: 7000, count: 3 };
    const { timeouts } = makeService();
    await stage.serve([await named('one')], {
      tcp: makeTcp({ keepAlive }),
      timeouts: { ...timeouts, idleTcpMs: 1500 },
    });
    const fromMs = performance.now();
    const client = await session();
    expect(await ending(client)).toBe('end');
    expect(performance.now() - fromMs).toBeGreaterThan(1400);
    client.end();
    await stage.ended('client-idle').toBe(1);
  });
});
