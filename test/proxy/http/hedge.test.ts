// A second try beside one that is slow: when it comes, which of the two is heard, and what becomes
// of the other.
import { afterEach, describe, expect, it } from 'vitest';
import { ServiceColumn } from '../../../src/ledger/layout.ts';
import { type Endpoint, listenEndpoint } from '../../support/peer.ts';
import { answer, closePlanes, openPlane, type Policy, request } from '../../support/plane.ts';

afterEach(closePlanes);

const GET = request('GET /');
const HEDGE: Policy = { retry: { hedge: { afterMs: 20 } } };

async function openTwo(policy: Policy = HEDGE) {
  const endpoints = [await listenEndpoint(), await listenEndpoint()];
  const ports = endpoints.map(({ port }) => port);
  return { plane: await openPlane(ports, policy), endpoints };
}

/** The connection of the first try, the endpoint that did not get it, and its first connection. */
async function firstOf(endpoints: readonly Endpoint[]) {
  const [a, b] = endpoints as [Endpoint, Endpoint];
  const accepted = [a.accept(), b.accept()] as const;
  // The one that nobody comes to must not fail the test.
  for (const one of accepted) one.catch(() => {});
  const first = await Promise.race([accepted[0].then(() => 0), accepted[1].then(() => 1)]);
  const peer = await accepted[first]!;
  return { peer, other: [b, a][first]!, accepted: accepted[1 - first]! };
}

type OpenPlane = Awaited<ReturnType<typeof openPlane>>;

const hedges = (plane: OpenPlane) => plane.ledger.serviceTotal(0, ServiceColumn.hedges);
const won = (plane: OpenPlane) => plane.ledger.serviceTotal(0, ServiceColumn.hedgesWon);

describe('a slow first try', () => {
  it('is overtaken by a second one, and given up', async () => {
    const { plane, endpoints } = await openTwo();
    let asked = 0;
    for (const endpoint of endpoints) {
      endpoint.serve(async (peer) => {
        await peer.head();
        asked += 1;
        // Whoever is asked first stays silent, however late its turn comes; the second answers.
        if (asked === 2) peer.send(answer('second'));
      });
    }
    const { body } = await plane.ask(GET);
    expect(body).toBe('second');
    await plane.quiet();
    expect(hedges(plane)).toBe(1);
    expect(won(plane)).toBe(1);
    expect(plane.endpointCount(0, 'failures') + plane.endpointCount(1, 'failures')).toBe(0);
  });

  it('may answer first all the same', async () => {
    const { plane, endpoints } = await openTwo();
    const client = await plane.client();
    client.send(GET);
    const { peer, accepted } = await firstOf(endpoints);
    const second = await accepted;
    await second.head();
    peer.send(answer('first'));
    expect((await client.message()).body).toBe('first');
    await second.ended();
    await plane.quiet();
    expect(hedges(plane)).toBe(1);
    expect(won(plane)).toBe(0);
  });

  it('may fail: the second one is waited for, and nothing is sent a third time', async () => {
    const { plane, endpoints } = await openTwo();
    const client = await plane.client();
    client.send(GET);
    const { peer, accepted } = await firstOf(endpoints);
    const second = await accepted;
    await second.head();
    peer.reset();
    await new Promise((resolve) => setTimeout(resolve, 20));
    second.send(answer('second'));
    expect((await client.message()).body).toBe('second');
    await plane.quiet();
    expect(plane.endpointCount(0, 'attempts') + plane.endpointCount(1, 'attempts')).toBe(2);
  });

  it('goes on alone when the second one fails', async () => {
    const { plane, endpoints } = await openTwo();
    const client = await plane.client();
    client.send(GET);
    const { peer, accepted } = await firstOf(endpoints);
    const second = await accepted;
    await second.head();
    second.reset();
    await expect.poll(() => plane.inFlight()).toBe(1);
    peer.send(answer('first'));
    expect((await client.message()).body).toBe('first');
    await plane.quiet();
  });

  it('ends with its second one when the client leaves', async () => {
    const { plane, endpoints } = await openTwo();
    const client = await plane.client();
    client.send(GET);
    const { peer, accepted } = await firstOf(endpoints);
    const second = await accepted;
    await second.head();
    client.reset();
    await Promise.all([peer.ended(), second.ended()]);
    await plane.quiet();
  });

  it('keeps the connection of the second one for the next request', async () => {
    const { plane, endpoints } = await openTwo();
    const client = await plane.client();
    client.send(GET);
    const { other, accepted } = await firstOf(endpoints);
    const second = await accepted;
    await second.head();
    second.send(answer('1'));
    await client.message();
    // The turn may come to the silent endpoint first, and its hedge then comes here.
    client.send(GET);
    await second.head();
    second.send(answer('2'));
    expect((await client.message()).body).toBe('2');
    expect(other.connections).toBe(1);
    await plane.quiet();
  });
});

describe('no second try', () => {
  const rows = [
    ['for what may not be repeated', request('POST /', 'Content-Length: 1\r\n', 'x'), HEDGE],
    ['where hedging is off', GET, {}],
    [
      'where the budget is used up',
      GET,
      { retry: { hedge: { afterMs: 20 }, budgetShare: 0, budgetMinPerSecond: 0 } },
    ],
    ['before it is known what is slow', GET, { retry: { hedge: { afterMs: 0 } } }],
  ] as const;
  it.each(rows)('%s', async (name, sent, policy) => {
    const { plane, endpoints } = await openTwo(policy);
    if (name.includes('budget')) {
      const { retryBudget } = plane.context.services.get('web')!;
      while (retryBudget.spend(plane.wheel.nowMs));
    }
    const client = await plane.client();
    client.send(sent);
    const { peer, other } = await firstOf(endpoints);
    await new Promise((resolve) => setTimeout(resolve, 120));
    expect(other.connections).toBe(0);
    peer.send(answer('first'));
    expect((await client.message()).body).toBe('first');
    await plane.quiet();
    expect(hedges(plane)).toBe(0);
  });
});

it('comes after the time that 95% of the responses take', async () => {
  const { plane, endpoints } = await openTwo({ retry: { hedge: { afterMs: 0 } } });
  let isSlow = false;
  for (const endpoint of endpoints) {
    endpoint.serve(async (peer) => {
      await peer.head();
      if (isSlow) isSlow = false;
      else peer.send(answer('fast'));
    });
  }
  const client = await plane.client();
  for (let i = 0; i < 40; i += 1) {
    client.send(GET);
    await client.message();
  }
  // One of those may have been slow by itself.
  const before = won(plane);
  isSlow = true;
  client.send(GET);
  expect((await client.message()).body).toBe('fast');
  await plane.quiet();
  expect(won(plane)).toBe(before + 1);
});
