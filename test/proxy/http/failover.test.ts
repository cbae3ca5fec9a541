// Priorities as a worker serves them: who gets requests, what goes on to the fallback, and that the
// fallback helps in a panic before anything that checks took out.
import { afterEach, describe, expect, it } from 'vitest';
import type { EndpointState } from '../../../src/model/endpoint.ts';
import type { ServiceSnapshot } from '../../../src/model/snapshot.ts';
import { type Endpoint, listenEndpoint } from '../../support/peer.ts';
import {
  answer,
  closePlanes,
  openPlane,
  type Plane,
  type Policy,
  request,
  serviceOf,
} from '../../support/plane.ts';
import { freePorts } from '../../support/ports.ts';
import { makeSnapshot } from '../../support/service.ts';

afterEach(closePlanes);

const GET = request('GET /');

interface Member {
  readonly port: number;
  readonly priority: number;
  readonly state?: EndpointState;
  readonly isSpare?: boolean;
}

function snapshotOf(members: readonly Member[], facts: Partial<ServiceSnapshot>, policy: Policy) {
  const snapshot = makeSnapshot(
    serviceOf(policy),
    members.map(({ port }) => port),
  );
  const endpoints = snapshot.endpoints.map((one, i) => ({ ...one, ...members[i]! }));
  return { ...snapshot, ...facts, endpoints };
}

/** The plane, and a way to give it another priority or another state. */
async function open(members: readonly Member[], policy: Policy = {}) {
  const plane = await openPlane(
    members.map(({ port }) => port),
    policy,
  );
  const apply = (facts: Partial<ServiceSnapshot>, now = members) =>
    plane.apply([snapshotOf(now, facts, policy)]);
  await apply({ priority: 1 });
  return { plane, apply };
}

async function serving(body: string): Promise<Endpoint> {
  const endpoint = await listenEndpoint();
  endpoint.serve(async (peer) => {
    await peer.message();
    peer.send(answer(body, 'Connection: close\r\n'));
  });
  return endpoint;
}

async function bodies(plane: Plane, times: number): Promise<string[]> {
  const got: string[] = [];
  for (let i = 0; i < times; i += 1) got.push((await plane.ask(GET)).body);
  await plane.quiet();
  return [...new Set(got)].sort();
}

describe('priorities', () => {
  it('give all requests to the one that is in use, and to another when that is', async () => {
    const [near, far] = [await serving('near'), await serving('far')];
    const { plane, apply } = await open([
      { port: near.port, priority: 1 },
      { port: far.port, priority: 2 },
    ]);
    expect(await bodies(plane, 6)).toEqual(['near']);
    await apply({ priority: 2 });
    expect(await bodies(plane, 6)).toEqual(['far']);
    await apply({ priority: 1 });
    expect(await bodies(plane, 6)).toEqual(['near']);
  });

  it('lose no request that fails on every endpoint of the first', async () => {
    const far = await serving('far');
    const dead = await freePorts(2);
    const { plane } = await open([
      ...dead.map((port) => ({ port, priority: 1 })),
      { port: far.port, priority: 2 },
    ]);
    expect(await bodies(plane, 8)).toEqual(['far']);
  });

  it('try the better of two fallbacks first', async () => {
    const [second, third] = [await serving('second'), await serving('third')];
    const [dead = 0] = await freePorts(1);
    const { plane } = await open([
      { port: dead, priority: 1 },
      { port: third.port, priority: 3 },
      { port: second.port, priority: 2 },
    ]);
    expect(await bodies(plane, 6)).toEqual(['second']);
    second.close();
    expect(await bodies(plane, 6)).toEqual(['third']);
  });

  it('keep a request in the queue of the first, whose places are taken', async () => {
    const [near, far] = [await listenEndpoint(), await serving('far')];
    const { plane } = await open(
      [
        { port: near.port, priority: 1 },
        { port: far.port, priority: 2 },
      ],
      { limits: { perEndpoint: 1 } },
    );
    const first = plane.ask(GET);
    const held = await near.accept();
    await held.message();
    const second = plane.ask(GET);
    held.send(answer('near', 'Connection: close\r\n'));
    expect((await first).body).toBe('near');
    const next = await near.accept();
    await next.message();
    next.send(answer('near again', 'Connection: close\r\n'));
    expect((await second).body).toBe('near again');
    await plane.quiet();
  });

  it('answer 503 with the reason while the traffic is held where nothing works', async () => {
    const far = await serving('far');
    const [dead = 0] = await freePorts(1);
    const { plane, apply } = await open([
      { port: dead, priority: 1, state: 'down' },
      { port: far.port, priority: 2 },
    ]);
    const { head, body } = await plane.ask(GET);
    expect(head).toMatch(/^HTTP\/1\.1 503 /);
    expect(body).toContain('1 down, 1 up of priority 2');
    await apply({ priority: 2 });
    expect(await bodies(plane, 2)).toEqual(['far']);
  });
});

describe('a panic with a fallback', () => {
  const all = async (spread: 'spill' | 'all', limits: Policy['limits'] = {}) => {
    const [near, far, sick] = [await listenEndpoint(), await serving('far'), await serving('sick')];
    const members: readonly Member[] = [
      { port: near.port, priority: 1 },
      { port: sick.port, priority: 1, state: 'down', isSpare: true },
      { port: far.port, priority: 2 },
    ];
    const opened = await open(members, { panic: { threshold: 0.6, spread }, limits });
    await opened.apply({ priority: 1, isPanicking: true });
    return { ...opened, near, far, sick, members };
  };

  it('lets the fallback have what the working cannot take, and no sick one', async () => {
    const { plane, near } = await all('spill', { perEndpoint: 1 });
    const first = plane.ask(GET);
    const held = await near.accept();
    await held.message();
    expect(await bodiesOf(plane, 4)).toEqual(['far']);
    held.send(answer('near', 'Connection: close\r\n'));
    expect((await first).body).toBe('near');
    await plane.quiet();
  });

  it('balances over the fallback too where it is to be spread', async () => {
    const { plane, near } = await all('all');
    near.serve(async (peer) => {
      await peer.message();
      peer.send(answer('near', 'Connection: close\r\n'));
    });
    expect(await bodies(plane, 8)).toEqual(['far', 'near']);
  });

  it('uses the sick after all when the fallback is gone', async () => {
    const { plane, near, far, apply, members } = await all('spill', { perEndpoint: 1 });
    far.close();
    await apply({ isPanicking: true }, members.slice(0, 2));
    const first = plane.ask(GET);
    const held = await near.accept();
    await held.message();
    expect(await bodiesOf(plane, 4)).toEqual(['sick']);
    held.send(answer('near', 'Connection: close\r\n'));
    await first;
    await plane.quiet();
  });

  /** While another request is under way. */
  async function bodiesOf(plane: Plane, times: number): Promise<string[]> {
    const got: string[] = [];
    for (let i = 0; i < times; i += 1) got.push((await plane.ask(GET)).body);
    return [...new Set(got)];
  }
});
