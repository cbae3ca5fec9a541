// A service in panic as a worker serves it: who gets work, in which order, and that nothing is lost
// which could be saved.
import { afterEach, describe, expect, it } from 'vitest';
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

function serve(endpoint: Endpoint, body: string): void {
  endpoint.serve(async (peer) => {
    await peer.message();
    peer.send(answer(body, 'Connection: close\r\n'));
  });
}

/** The service in panic: the endpoints on `down` are out by their check, those on `up` work. */
function inPanic(up: readonly number[], down: readonly number[], policy: Policy): ServiceSnapshot {
  const snapshot = makeSnapshot(serviceOf(policy), [...up, ...down]);
  const endpoints = snapshot.endpoints.map((endpoint) =>
    endpoint.slot < up.length ? endpoint : { ...endpoint, state: 'down' as const, isSpare: true },
  );
  return { ...snapshot, isPanicking: true, endpoints };
}

interface Given {
  readonly up: readonly number[];
  readonly down: readonly number[];
  readonly policy?: Policy;
}

async function openPanic({ up, down, policy = {} }: Given): Promise<Plane> {
  const plane = await openPlane([...up, ...down], policy);
  await plane.apply([inPanic(up, down, policy)]);
  return plane;
}

async function bodies(plane: Plane, times: number): Promise<string[]> {
  const got: string[] = [];
  for (let i = 0; i < times; i += 1) got.push((await plane.ask(GET)).body);
  await plane.quiet();
  return got;
}

describe('a panic', () => {
  it('lets the working go first where they can', async () => {
    const [good, spare] = [await listenEndpoint(), await listenEndpoint()];
    serve(good, 'good');
    serve(spare, 'spare');
    const plane = await openPanic({ up: [good.port], down: [spare.port] });
    expect(new Set(await bodies(plane, 6))).toEqual(new Set(['good']));
  });

  it('gives the others what the working have no place for', async () => {
    const [good, spare] = [await listenEndpoint(), await listenEndpoint()];
    serve(spare, 'spare');
    const policy = { limits: { perEndpoint: 1 } };
    const plane = await openPanic({ up: [good.port], down: [spare.port], policy });
    const first = plane.ask(GET);
    const held = await good.accept();
    await held.message();
    expect((await plane.ask(GET)).body).toBe('spare');
    held.send(answer('good', 'Connection: close\r\n'));
    expect((await first).body).toBe('good');
    await plane.quiet();
  });

  it('uses the others where nobody works, however many of them are dead', async () => {
    const spare = await listenEndpoint();
    serve(spare, 'spare');
    const dead = await freePorts(3);
    const plane = await openPanic({ up: [], down: [...dead, spare.port] });
    expect(new Set(await bodies(plane, 10))).toEqual(new Set(['spare']));
  });

  it('shares over the others by weight where nobody works, instead of using the first', async () => {
    const spares = [await listenEndpoint(), await listenEndpoint(), await listenEndpoint()];
    spares.forEach((spare, i) => {
      serve(spare, `spare ${i}`);
    });
    const down = spares.map(({ port }) => port);
    const plane = await openPanic({ up: [], down });
    const snapshot = inPanic([], down, {});
    const endpoints = snapshot.endpoints.map((one, i) => ({ ...one, weight: [1, 1, 4][i]! }));
    await plane.apply([{ ...snapshot, endpoints }]);
    const got = await bodies(plane, 12);
    const counts = down.map((_, i) => got.filter((body) => body === `spare ${i}`).length);
    expect(counts).toEqual([2, 2, 8]);
  });

  it('gives a request that waits back to the only endpoint, though that had it before', async () => {
    const only = await listenEndpoint();
    const policy = { limits: { parkMs: 10_000 } };
    const plane = await openPlane([only.port], policy);
    const asked = plane.ask(GET);
    await (await only.accept()).head();
    // Its check fails, and the request waits for another one.
    const snapshot = inPanic([], [only.port], policy);
    await plane.apply([{ ...snapshot, isPanicking: false }]);
    await expect.poll(() => plane.waiting(), { interval: 2 }).toBe(1);
    await plane.apply([snapshot]);
    const again = await only.accept();
    await again.head();
    again.send(answer('again', 'Connection: close\r\n'));
    expect((await asked).body).toBe('again');
    await plane.quiet();
  });

  it('tries the others when the working fail', async () => {
    const spare = await listenEndpoint();
    serve(spare, 'spare');
    const [dead] = await freePorts(1);
    const plane = await openPanic({ up: [dead!], down: [spare.port] });
    expect(new Set(await bodies(plane, 4))).toEqual(new Set(['spare']));
  });

  it('prefers those whose check is good and that are only ejected', async () => {
    const [frozen, ejected] = [await listenEndpoint(), await listenEndpoint()];
    serve(ejected, 'ejected');
    let asked = 0;
    frozen.serve(async (peer) => {
      asked += 1;
      await peer.ended();
    });
    const [dead = 0] = await freePorts(1);
    const plane = await openPanic({ up: [dead], down: [frozen.port, ejected.port] });
    const snapshot = inPanic([dead], [frozen.port, ejected.port], {});
    const endpoints = snapshot.endpoints.map((one) =>
      one.port === ejected.port ? { ...one, state: 'ejected' as const } : one,
    );
    await plane.apply([{ ...snapshot, endpoints }]);
    expect(new Set(await bodies(plane, 4))).toEqual(new Set(['ejected']));
    expect(asked).toBe(0);
  });

  it('spreads over all alike where it is told to, and still loses nothing', async () => {
    const [good, spare] = [await listenEndpoint(), await listenEndpoint()];
    serve(good, 'good');
    serve(spare, 'spare');
    const [dead] = await freePorts(1);
    const policy = { panic: { threshold: 0.5, spread: 'all' as const } };
    const plane = await openPanic({ up: [good.port], down: [spare.port, dead!], policy });
    expect(new Set(await bodies(plane, 12))).toEqual(new Set(['good', 'spare']));
  });

  it('sends what failed once to those that work, even where it spreads over all', async () => {
    const good = await listenEndpoint();
    serve(good, 'good');
    const frozen = await Promise.all([1, 2, 3].map(() => listenEndpoint()));
    for (const endpoint of frozen) {
      endpoint.serve(async (peer) => {
        await peer.message();
        plane.advance(responseMs);
        await peer.ended();
      });
    }
    const responseMs = 60_000;
    const plane = await openPanic({
      up: [good.port],
      down: frozen.map(({ port }) => port),
      policy: {
        panic: { threshold: 0.5, spread: 'all' },
        timeouts: { responseMs },
        retry: { attempts: 2 },
      },
    });
    expect(new Set(await bodies(plane, 8))).toEqual(new Set(['good']));
  });

  it('ends: the others get nothing more', async () => {
    const [good, spare] = [await listenEndpoint(), await listenEndpoint()];
    serve(good, 'good');
    serve(spare, 'spare');
    const policy = { panic: { threshold: 0.5, spread: 'all' as const } };
    const plane = await openPanic({ up: [good.port], down: [spare.port], policy });
    expect(new Set(await bodies(plane, 6))).toEqual(new Set(['good', 'spare']));
    await plane.apply([{ ...inPanic([good.port], [spare.port], policy), isPanicking: false }]);
    expect(new Set(await bodies(plane, 6))).toEqual(new Set(['good']));
  });
});
