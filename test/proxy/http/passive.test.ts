// What a worker makes of real requests that fail: which streaks it counts, when it tells control,
// and which endpoint it passes over meanwhile.
import { afterEach, describe, expect, it } from 'vitest';
import type { PassiveHealth } from '../../../src/model/service.ts';
import type { StreakReport } from '../../../src/model/streak.ts';
import { type Endpoint, listenEndpoint, type Peer } from '../../support/peer.ts';
import {
  answer,
  closePlanes,
  openPair,
  openPlane,
  type Plane,
  type Policy,
  request,
} from '../../support/plane.ts';
import { freePorts } from '../../support/ports.ts';
import { makePassive } from '../../support/service.ts';

afterEach(closePlanes);

const GET = request('GET /');
const ONCE = { attempts: 1 };
/** As long as an answer may take: passes where a test says so. */
const RESPONSE_MS = 60_000;
const OFF = { consecutiveFailures: 0, connectFailures: 0, timeouts: 0 };

function policyOf(passive: Partial<PassiveHealth>, parts: Policy = {}): Policy {
  return { retry: ONCE, ...parts, passive: makePassive({ ...OFF, ...passive }) };
}

/** What control was told of streaks, without the slot. */
function streaks(plane: Plane): Pick<StreakReport, 'kind' | 'count' | 'reason'>[] {
  return plane.reports.flatMap((report) =>
    report.type === 'streak'
      ? [{ kind: report.kind, count: report.count, reason: report.reason }]
      : [],
  );
}

const serving = (reply: (peer: Peer, turn: number) => void) => (endpoint: Endpoint) => {
  let turn = 0;
  endpoint.serve(async (peer) => {
    await peer.message();
    reply(peer, turn);
    turn += 1;
  });
};
const SEND_500 = answer('', 'Connection: close\r\n', '500 Internal Server Error');
const SEND_503 = answer('', 'Connection: close\r\n', '503 Service Unavailable');
const SEND_200 = answer('', 'Connection: close\r\n');

async function askTimes(plane: Plane, times: number): Promise<void> {
  for (let i = 0; i < times; i += 1) await plane.ask(GET);
  await plane.quiet();
}

describe('failures in a row are told to control by kind', () => {
  it('resets', async () => {
    const { plane, endpoint } = await openPair(policyOf({ resets: 2 }));
    serving((peer) => peer.reset())(endpoint);
    await askTimes(plane, 2);
    expect(streaks(plane)).toEqual([{ kind: 'reset', count: 2, reason: 'reset' }]);
    expect(plane.endpointCount(0, 'resets')).toBe(2);
  });

  it('connects', async () => {
    const [dead] = await freePorts(1);
    const plane = await openPlane([dead!], policyOf({ connectFailures: 3, resets: 1 }));
    await askTimes(plane, 3);
    expect(streaks(plane)).toEqual([{ kind: 'connect', count: 3, reason: 'connect-refused' }]);
    expect(plane.endpointCount(0, 'connectFailures')).toBe(3);
  });

  it('any kind together, and the kind of each', async () => {
    const { plane, endpoint } = await openPair(
      policyOf({ consecutiveFailures: 2, resets: 2 }, { timeouts: { responseMs: RESPONSE_MS } }),
    );
    serving((peer, turn) => {
      if (turn === 1) peer.reset();
      else plane.advance(RESPONSE_MS);
    })(endpoint);
    await askTimes(plane, 2);
    expect(streaks(plane)).toEqual([{ kind: 'failure', count: 2, reason: 'reset' }]);
    expect(plane.endpointCount(0, 'timeouts')).toBe(1);
  });

  it('5xx answers only where they have a limit, gateway errors apart', async () => {
    const { plane, endpoint } = await openPair(policyOf({ serverErrors: 4, gatewayErrors: 2 }));
    const turns = [SEND_503, SEND_500, SEND_503, SEND_503];
    serving((peer, turn) => peer.send(turns[turn]!))(endpoint);
    await askTimes(plane, 4);
    expect(streaks(plane)).toEqual([
      { kind: 'server', count: 4, reason: '503' },
      { kind: 'gateway', count: 2, reason: '503' },
    ]);
  });

  it('not errors that are not to count', async () => {
    const { plane, endpoint } = await openPair(policyOf({ consecutiveFailures: 1 }));
    serving((peer) => peer.send(SEND_500))(endpoint);
    await askTimes(plane, 3);
    expect(streaks(plane)).toEqual([]);
  });

  it('a good answer ends every row', async () => {
    const limits = { consecutiveFailures: 2, resets: 2, serverErrors: 2 };
    const { plane, endpoint } = await openPair(policyOf(limits));
    serving((peer, turn) => {
      if (turn % 2 === 1) peer.send(SEND_200);
      else if (turn === 0) peer.reset();
      else peer.send(SEND_500);
    })(endpoint);
    await askTimes(plane, 6);
    expect(streaks(plane)).toEqual([]);
  });

  it('a status that is tried again is a failure, and no reset', async () => {
    const bad = await listenEndpoint();
    const good = await listenEndpoint();
    serving((peer) => peer.send(SEND_503))(bad);
    serving((peer) => peer.send(SEND_200))(good);
    const retry = { onStatus: new Set([503]) };
    const policy = policyOf({ consecutiveFailures: 2, gatewayErrors: 3, resets: 1 }, { retry });
    const plane = await openPlane([bad.port, good.port], policy);
    await askTimes(plane, 3);
    expect(streaks(plane)).toEqual([
      { kind: 'failure', count: 2, reason: 'retry-status' },
      { kind: 'gateway', count: 3, reason: '503' },
    ]);
    expect(plane.endpointCount(0, 'resets')).toBe(0);
  });
});

describe('what counts beside the peers', () => {
  /** Outcomes of the endpoint in slot 0, and how many of them speak against it. */
  const counted = (plane: Plane) => [
    plane.endpointCount(0, 'outcomes'),
    plane.endpointCount(0, 'faults'),
  ];

  it.each([
    ['200 OK', 0],
    ['404 Not Found', 0],
    ['500 Internal Server Error', 1],
    ['501 Not Implemented', 0],
    ['503 Service Unavailable', 1],
    ['505 HTTP Version Not Supported', 0],
  ])('an answer %s: %i', async (status, faults) => {
    const { plane, endpoint } = await openPair(policyOf({}));
    serving((peer) => peer.send(answer('', 'Connection: close\r\n', status)))(endpoint);
    await askTimes(plane, 1);
    expect(counted(plane)).toEqual([1, faults]);
  });

  it('an answer that is tried again, once; one of the client asked for too much is no fault', async () => {
    const [busy, good] = [await listenEndpoint(), await listenEndpoint()];
    serving((peer, turn) =>
      peer.send(
        turn === 0 ? SEND_503 : answer('', 'Connection: close\r\n', '429 Too Many Requests'),
      ),
    )(busy);
    serving((peer) => peer.send(SEND_200))(good);
    const retry = { onStatus: new Set([429, 503]) };
    const plane = await openPlane([busy.port, good.port], policyOf({}, { retry }));
    while (plane.endpointCount(0, 'outcomes') < 2) await askTimes(plane, 1);
    expect(counted(plane)).toEqual([2, 1]);
  });

  it('an attempt without an answer', async () => {
    const [dead] = await freePorts(1);
    const plane = await openPlane([dead!], policyOf({}));
    await askTimes(plane, 2);
    expect(counted(plane)).toEqual([2, 2]);
  });

  it('an answer that breaks off is one outcome, and a fault', async () => {
    const { plane, endpoint } = await openPair(policyOf({}));
    serving((peer) => {
      peer.send('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbegun');
      peer.end();
    })(endpoint);
    const client = await plane.client();
    client.send(GET);
    await client.ended();
    await plane.quiet();
    expect(counted(plane)).toEqual([1, 1]);
  });
});

describe('an endpoint that accepts and never answers', () => {
  /** A silent endpoint and a good one; the time for an answer passes when all of `victims` are silent. */
  async function openFrozen(passive: Partial<PassiveHealth>, victims = 1) {
    const [frozen, good] = [await listenEndpoint(), await listenEndpoint()];
    let silent = 0;
    frozen.serve(async (peer) => {
      await peer.message();
      silent += 1;
      if (silent % victims === 0) {
        await expect.poll(() => plane.inFlight()).toBe(victims);
        plane.advance(RESPONSE_MS);
      }
      await peer.ended();
    });
    serving((peer) => peer.send(SEND_200))(good);
    const policy = policyOf(passive, { timeouts: { responseMs: RESPONSE_MS }, retry: {} });
    const plane = await openPlane([frozen.port, good.port], policy);
    return plane;
  }

  it('is told to control by its first victims, and gets nothing new', async () => {
    // Half of those that come at once.
    const plane = await openFrozen({ timeouts: 3 }, 4);
    const answers = await Promise.all(Array.from({ length: 8 }, () => plane.ask(GET)));
    for (const { head } of answers) expect(head).toContain('200 OK');
    expect(streaks(plane)[0]).toEqual({ kind: 'silence', count: 1, reason: 'response-timeout' });
    const before = plane.endpointCount(0, 'attempts');
    await askTimes(plane, 10);
    expect(plane.endpointCount(0, 'attempts')).toBe(before);
  });

  it('is passed over after a single victim, even if control has to let it stay', async () => {
    const plane = await openFrozen({ timeouts: 3 });
    await askTimes(plane, 10);
    expect(plane.endpointCount(0, 'attempts')).toBe(1);
    expect(streaks(plane)).toEqual([{ kind: 'silence', count: 1, reason: 'response-timeout' }]);
  });

  it('goes on getting its share where timeouts are not to count', async () => {
    const plane = await openFrozen({ timeouts: 0 });
    await askTimes(plane, 4);
    expect(plane.endpointCount(0, 'attempts')).toBeGreaterThan(1);
    expect(streaks(plane)).toEqual([]);
  });

  it('is not taken for silent where it answers others', async () => {
    const endpoint = await listenEndpoint();
    let turn = 0;
    endpoint.serve(async (peer) => {
      await peer.message();
      turn += 1;
      if (turn > 1) peer.send(SEND_200);
      else await peer.ended();
    });
    const policy = policyOf({ timeouts: 3 }, { timeouts: { responseMs: RESPONSE_MS } });
    const plane = await openPlane([endpoint.port], policy);
    const slow = plane.ask(GET);
    await expect.poll(() => turn).toBe(1);
    plane.advance(RESPONSE_MS / 2);
    plane.wheel.tick();
    await plane.ask(GET);
    plane.advance(RESPONSE_MS / 2);
    expect((await slow).head).toContain('504');
    expect(plane.reports.map(({ type }) => type)).toEqual(['suspect']);
    await plane.quiet();
  });
});
