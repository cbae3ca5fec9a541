// Which failed attempts are made again, where, and how often.
import { afterEach, describe, expect, it } from 'vitest';
import { EndpointColumn } from '../../../src/ledger/layout.ts';
import type { ReasonCode } from '../../../src/model/reason.ts';
import type { Endpoint } from '../../support/peer.ts';
import { listenEndpoint } from '../../support/peer.ts';
import {
  answer,
  closePlanes,
  openPair,
  openPlane,
  type Policy,
  request,
  serviceOf,
} from '../../support/plane.ts';
import { freePorts } from '../../support/ports.ts';
import { makePassive, makeSnapshot } from '../../support/service.ts';

afterEach(closePlanes);

const POST = request('POST /', 'Content-Length: 3\r\n', 'abc');
const GET = request('GET /');

const RESPONSE_MS = 60_000;

/**
 * Two endpoints; the first in turn treats requests as `bad` says, the second answers `good`. `pass` makes the time pass
 * that an answer may take.
 */
async function openTwo(bad: (endpoint: Endpoint, pass: () => void) => void, policy: Policy = {}) {
  const [first, second] = [await listenEndpoint(), await listenEndpoint()];
  bad(first, () => plane.advance(RESPONSE_MS));
  second.serve(async (peer) => {
    const { body } = await peer.message();
    peer.send(answer(`good${body}`));
  });
  const plane = await openPlane([first.port, second.port], policy);
  return { plane, first, second };
}

const resetting = (endpoint: Endpoint): void => {
  endpoint.serve(async (peer) => {
    await peer.message();
    peer.reset();
  });
};
const silent = (endpoint: Endpoint, pass: () => void): void => {
  endpoint.serve(async (peer) => {
    await peer.message();
    pass();
    await peer.ended();
  });
};
const saying = (reply: string) => (endpoint: Endpoint) => {
  endpoint.serve(async (peer) => {
    await peer.message();
    peer.send(reply);
  });
};

/** Asks until both endpoints had their turn; all answers. */
async function askTwice(plane: Awaited<ReturnType<typeof openPlane>>, sent: string) {
  const answers = [await plane.ask(sent), await plane.ask(sent)];
  await plane.quiet();
  return answers.map(({ head, body }) => ({
    status: Number(head.slice(9, 12)),
    reason: /X-Upriver-Reason: (\S+)/.exec(head)?.[1] ?? '',
    body,
  }));
}

describe('a kept connection that the endpoint closed meanwhile', () => {
  it('is replaced unnoticed for GET', async () => {
    const { plane, endpoint } = await openPair();
    const client = await plane.client();
    client.send(GET);
    const first = await endpoint.accept();
    await first.head();
    first.send(answer('1'));
    await client.message();
    // It closes just when the second request comes.
    client.send(GET);
    await first.head();
    first.reset();
    const second = await endpoint.accept();
    await second.head();
    second.send(answer('2'));
    expect((await client.message()).body).toBe('2');
    await plane.quiet();
    expect(plane.retries('stale-connection')).toBe(1);
    expect(plane.endpointCount(0, 'failures')).toBe(0);
  });

  it('fails a POST, which may have been acted on', async () => {
    const { plane, endpoint } = await openPair();
    const client = await plane.client();
    client.send(GET);
    const first = await endpoint.accept();
    await first.head();
    first.send(answer('1'));
    await client.message();
    client.send(POST);
    await first.message();
    first.reset();
    const { head } = await client.message();
    expect(head).toContain('HTTP/1.1 502 ');
    expect(head).toContain('X-Upriver-Reason: stale-connection\r\n');
    await plane.quiet();
    expect(endpoint.connections).toBe(1);
  });
});

describe('a refused connection', () => {
  it.each([GET, POST])('sends any request elsewhere: %s', async (sent) => {
    const [closed] = await freePorts(1);
    const good = await listenEndpoint();
    good.serve(async (peer) => {
      const { body } = await peer.message();
      peer.send(answer(`good${body}`));
    });
    const plane = await openPlane([closed!, good.port]);
    for (const { status, body } of await askTwice(plane, sent)) {
      expect(status).toBe(200);
      expect(body).toMatch(/^good(abc)?$/);
    }
    expect(plane.retries('connect-refused')).toBe(1);
  });

  it('is a 502 where there is no other endpoint', async () => {
    const [closed] = await freePorts(1);
    const plane = await openPlane([closed!]);
    const { head } = await plane.ask(GET);
    expect(head).toContain('HTTP/1.1 502 ');
    expect(head).toContain('X-Upriver-Reason: connect-refused\r\n');
    await plane.quiet();
  });
});

describe('a failed attempt', () => {
  const rows: readonly (readonly [
    string,
    (endpoint: Endpoint, pass: () => void) => void,
    ReasonCode,
    number,
    Policy,
  ])[] = [
    ['a reset', resetting, 'reset', 502, {}],
    [
      'a response timeout',
      silent,
      'response-timeout',
      504,
      // Or the endpoint would not be asked again.
      { timeouts: { responseMs: RESPONSE_MS }, passive: makePassive({ timeouts: 0 }) },
    ],
    [
      'a malformed response',
      saying('nonsense\r\n\r\n'),
      'bad-response',
      502,
      { retry: { on: new Set(['bad-response']) } },
    ],
  ];
  it.each(rows)('by %s is repeated for GET, not for POST', async (_, bad, code, status, policy) => {
    const { plane } = await openTwo(bad, policy);
    for (const one of await askTwice(plane, GET)) expect(one.body).toBe('good');
    // A retry takes the second endpoint's turn, so that each request began with the first.
    expect(plane.retries(code)).toBe(2);
    const posts = await askTwice(plane, POST);
    expect(posts.map((one) => one.status).sort()).toEqual([200, status]);
    expect(posts.find((one) => one.status === status)!.reason).toBe(code);
    expect(plane.retries(code)).toBe(2);
  });

  it('of a PUT is repeated with its whole body', async () => {
    const { plane } = await openTwo(resetting);
    for (const fields of ['Content-Length: 3\r\n\r\nabc', 'Content-Length: 3\r\nX: 1\r\n\r\nabc']) {
      const sent = `PUT / HTTP/1.1\r\nHost: a\r\n${fields}`;
      for (const { body } of await askTwice(plane, sent)) expect(body).toBe('goodabc');
    }
  });

  it('of a body that is too large to keep is not repeated', async () => {
    const { plane } = await openTwo(
      (endpoint) => {
        endpoint.serve(async (peer) => {
          await peer.until('END');
          peer.reset();
        });
      },
      { retry: { bodyBytesMax: 10 } },
    );
    const body = `${'x'.repeat(5000)}END`;
    const answers = await askTwice(
      plane,
      request('PUT /', `Content-Length: ${body.length}\r\n`, body),
    );
    expect(answers.map((one) => one.status).sort()).toEqual([200, 502]);
    expect(plane.retries('reset')).toBe(0);
  });

  it('is not repeated once a byte of the response is through', async () => {
    const { plane } = await openTwo((endpoint) => {
      endpoint.serve(async (peer) => {
        await peer.head();
        peer.send('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc');
        await new Promise((resolve) => setTimeout(resolve, 20));
        peer.reset();
      });
    });
    const client = await plane.client();
    client.send(GET);
    const seen = await client.head();
    // Either endpoint may have been the first.
    if (seen.includes('Content-Length: 9')) await client.ended();
    await plane.quiet();
    expect(plane.retries('reset') + plane.retries('response-cut')).toBe(0);
  });

  it('stops at the number of attempts', async () => {
    const endpoints = [await listenEndpoint(), await listenEndpoint(), await listenEndpoint()];
    for (const endpoint of endpoints) resetting(endpoint);
    const plane = await openPlane(
      endpoints.map((endpoint) => endpoint.port),
      { retry: { attempts: 2 } },
    );
    const { head } = await plane.ask(GET);
    expect(head).toContain('X-Upriver-Reason: reset\r\n');
    await plane.quiet();
    const attempts = [0, 1, 2].map((slot) => plane.endpointCount(slot, 'attempts'));
    expect(attempts.reduce((sum, one) => sum + one)).toBe(2);
  });

  it('stops when the budget is used up', async () => {
    const { plane } = await openTwo(resetting, {
      retry: { budgetShare: 0, budgetMinPerSecond: 0 },
      passive: makePassive({ consecutiveFailures: 0, maxEjectedShare: 0 }),
    });
    // 100 are saved up from the start; after them every other request meets the first endpoint.
    const statuses: number[] = [];
    for (let i = 0; i < 150; i += 1) {
      statuses.push(...(await askTwice(plane, GET)).map((one) => one.status));
    }
    expect(plane.retries('reset')).toBe(100);
    expect(statuses.filter((status) => status === 502)).toHaveLength(100);
  });
});

describe('a status that is retried', () => {
  const policy: Policy = { retry: { onStatus: new Set([503]) } };
  const busy = saying(answer('busy', '', '503 Service Unavailable'));

  it('sends GET elsewhere and lets POST have its answer', async () => {
    const { plane } = await openTwo(busy, policy);
    for (const one of await askTwice(plane, GET)) expect(one.body).toBe('good');
    const posts = await askTwice(plane, POST);
    expect(posts.map((one) => one.body).sort()).toEqual(['busy', 'goodabc']);
    expect(plane.retries('retry-status')).toBe(2);
  });

  it('is relayed where nobody else is left to ask', async () => {
    const { plane, endpoint } = await openPair(policy);
    busy(endpoint);
    for (const one of await askTwice(plane, GET)) expect(one.body).toBe('busy');
  });

  it('is relayed where the budget is used up', async () => {
    const { plane } = await openTwo(busy, {
      retry: { onStatus: new Set([503]), budgetShare: 0, budgetMinPerSecond: 0 },
      passive: makePassive({ consecutiveFailures: 0, maxEjectedShare: 0 }),
    });
    const bodies = new Set<string>();
    for (let i = 0; i < 110; i += 1) {
      for (const one of await askTwice(plane, GET)) bodies.add(one.body);
    }
    expect([...bodies].sort()).toEqual(['busy', 'good']);
  });
});

describe('no endpoint', () => {
  it('is a 503 that says why', async () => {
    const plane = await openPlane([]);
    const { head, body } = await plane.ask(GET);
    expect(head).toContain('HTTP/1.1 503 ');
    expect(head).toContain('X-Upriver-Reason: no-endpoint\r\n');
    expect(body).toContain('none registered');
    await plane.quiet();
  });
});

describe('an endpoint that goes down by its check', () => {
  /** One endpoint that is silent, and goes down just when a request connects to it. */
  async function goDown(sent: string, policy: Policy = {}) {
    const [frozen, good] = [await listenEndpoint(), await listenEndpoint()];
    silent(frozen, () => {});
    good.serve(async (peer) => {
      const { body } = await peer.message();
      peer.send(answer(`good${body}`));
    });
    const plane = await openPlane([frozen.port], policy);
    const whole = makeSnapshot(serviceOf(policy), [frozen.port, good.port]);
    const endpoints = whole.endpoints.map((one, i) =>
      i === 0 ? { ...one, state: 'down' as const } : one,
    );
    const { ledger } = plane.context;
    const add = ledger.addEndpoint.bind(ledger);
    ledger.addEndpoint = (slot, column, by) => {
      add(slot, column, by);
      if (slot === 0 && column === EndpointColumn.connects) {
        void plane.apply([{ ...whole, endpoints }]);
      }
    };
    const { body } = await plane.ask(sent);
    await plane.quiet();
    return { plane, body };
  }

  it('gives back what is connecting to it, whatever the method', async () => {
    expect((await goDown(GET)).body).toBe('good');
    const { plane, body } = await goDown(POST);
    expect(body).toBe('goodabc');
    expect(plane.retries('endpoint-down')).toBe(1);
  });
});
