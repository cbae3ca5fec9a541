// A service with `select: primary` when another endpoint becomes the primary: nothing goes on with the
// old one, and what may be repeated goes to the new one.
import { once } from 'node:events';
import { afterEach, describe, expect, it } from 'vitest';
import { ErrorCode } from '../../../src/http2/protocol.ts';
import { EndpointColumn } from '../../../src/ledger/layout.ts';
import { answerOf, ask, closeHttp2, connectHttp2 } from '../../support/http2.ts';
import { closeHttp2Endpoints, serveHttp2 } from '../../support/http2-endpoint.ts';
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
import { makeSnapshot } from '../../support/service.ts';

afterEach(async () => {
  closeHttp2();
  await closePlanes();
  closeHttp2Endpoints();
});

const GET = request('GET /');
const POST = request('POST /', 'Content-Length: 3\r\n', 'abc');
const UPGRADE = request('GET /ws', 'Connection: Upgrade\r\nUpgrade: websocket\r\n');
const SWITCHING =
  'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n';

/** The service as it is while the endpoint at this place is the primary; -1: none is. */
function led(ports: readonly number[], primary: number, policy: Policy = {}) {
  const whole = makeSnapshot(serviceOf(policy), ports);
  const endpoints = whole.endpoints.map((one, i) =>
    i === primary ? one : { ...one, state: 'down' as const, reason: 'no primary', isStandby: true },
  );
  return { ...whole, endpoints };
}

interface Cast {
  readonly plane: Plane;
  readonly old: Endpoint;
  readonly next: Endpoint;
  /** The primary is the one at this place from now on. */
  elect(primary: number): Promise<void>;
}

/** Two endpoints; the first is the primary, the second answers `new` and the body that it got. */
async function openLed(policy: Policy = {}): Promise<Cast> {
  const [old, next] = [await listenEndpoint(), await listenEndpoint()];
  next.serve(async (peer) => {
    for (;;) {
      const { body } = await peer.message();
      peer.send(answer(`new${body}`));
    }
  });
  const ports = [old.port, next.port];
  const plane = await openPlane(ports, policy);
  const elect = (primary: number) => plane.apply([led(ports, primary, policy)]);
  await elect(0);
  return { plane, old, next, elect };
}

const reasonOf = (head: string) => /X-Upriver-Reason: (\S+)/.exec(head)?.[1] ?? '';

describe('a tunnel on an endpoint that is the primary no more', () => {
  it('is reset where the old one leaves the table', async () => {
    const primary = { by: 'tag' as const, tag: 'primary', lock: '' };
    const { plane, old, next } = await openLed({ primary });
    const client = await plane.client();
    client.send(UPGRADE);
    const upstream = await old.accept();
    await upstream.head();
    upstream.send(`${SWITCHING}hi`);
    await client.head();
    const service = serviceOf({ primary });
    const [, other] = makeSnapshot(service, [old.port, next.port]).endpoints;
    await plane.apply([{ ...makeSnapshot(service, []), endpoints: [other!] }]);
    expect(await client.ended()).toBe('reset');
    expect(await upstream.ended()).toBe('reset');
  });

  it('is reset on both sides, and the next one leads to the new one', async () => {
    const { plane, old, elect } = await openLed();
    const client = await plane.client();
    client.send(UPGRADE);
    const upstream = await old.accept();
    await upstream.head();
    upstream.send(`${SWITCHING}hi`);
    await client.head();
    expect(await client.take(2)).toBe('hi');
    await elect(1);
    expect(await client.ended()).toBe('reset');
    expect(await upstream.ended()).toBe('reset');
    await plane.quiet();
    expect(plane.reasons('not-primary')).toBe(1);
    expect(plane.endpointCount(0, 'failures')).toBe(0);
    expect((await plane.ask(GET)).body).toBe('new');
  });

  it('ends also where there is no new one, and one on another service goes on', async () => {
    const { plane, old, elect } = await openLed();
    const other = await listenEndpoint();
    const neighbour = await openPlane([other.port]);
    const clients = [await plane.client(), await neighbour.client()];
    const upstreams = [];
    for (const [i, endpoint] of [old, other].entries()) {
      clients[i]!.send(UPGRADE);
      const upstream = await endpoint.accept();
      await upstream.head();
      upstream.send(SWITCHING);
      await clients[i]!.head();
      upstreams.push(upstream);
    }
    await elect(-1);
    expect(await clients[0]!.ended()).toBe('reset');
    clients[1]!.send('ping');
    expect(await upstreams[1]!.take(4)).toBe('ping');
    const { head } = await plane.ask(GET);
    expect(head).toContain('HTTP/1.1 503 ');
    expect(reasonOf(head)).toBe('no-endpoint');
  });
});

describe('a tunnel by HTTP/2 on an endpoint that is the primary no more', () => {
  it('is cancelled on both sides, and its client goes on with the new one', async () => {
    const codes: number[] = [];
    const served = async (name: string) =>
      serveHttp2(
        (stream, headers) => {
          stream.respond({ ':status': 200 });
          if (headers[':method'] !== 'CONNECT') stream.end(name);
          else stream.on('close', () => codes.push(stream.rstCode ?? -1));
        },
        { enableConnectProtocol: true },
      );
    const ports = [(await served('old')).port, (await served('new')).port];
    const upstream = { protocol: 'h2c', sendProxy: 'off', tls: null, host: 'client' } as const;
    const plane = await openPlane(ports, { upstream });
    await plane.apply([led(ports, 0, { upstream })]);
    const client = connectHttp2(plane.port);
    await once(client, 'remoteSettings');
    const tunnel = client.request(
      { ':method': 'CONNECT', ':protocol': 'websocket', ':path': '/ws' },
      { endStream: false },
    );
    const cut = answerOf(tunnel);
    await once(tunnel, 'response');
    await plane.apply([led(ports, 1, { upstream })]);
    expect((await cut).code).toBe(ErrorCode.cancel);
    await expect.poll(() => codes, { interval: 2 }).toEqual([ErrorCode.cancel]);
    expect((await ask(client, { ':path': '/' })).body).toBe('new');
    expect(plane.reasons('not-primary')).toBe(1);
    await plane.quiet();
  });
});

describe('a request in flight on an endpoint that is the primary no more', () => {
  it('goes to the new one where it may be repeated, without a charge', async () => {
    const { plane, old, elect } = await openLed({
      retry: { budgetShare: 0, budgetMinPerSecond: 0 },
    });
    const client = await plane.client();
    client.send(GET);
    const upstream = await old.accept();
    await upstream.head();
    await elect(1);
    expect((await client.message()).body).toBe('new');
    await upstream.ended();
    // The connection of the client goes on with the new one.
    client.send(POST);
    expect((await client.message()).body).toBe('newabc');
    await plane.quiet();
    expect(plane.retries('not-primary')).toBe(1);
    expect(plane.endpointCount(0, 'failures')).toBe(0);
  });

  it.each([
    ['the method', POST, {}],
    ['retry.attempts', GET, { retry: { attempts: 1 } }],
    ['retry.on', GET, { retry: { on: new Set(['connect', 'timeout'] as const) } }],
  ])(
    'gets 502 where %s forbids to repeat it, and its connection goes on',
    async (_, sent, policy) => {
      const { plane, old, elect } = await openLed(policy);
      const client = await plane.client();
      client.send(sent);
      const upstream = await old.accept();
      await upstream.message();
      await elect(1);
      const { head } = await client.message();
      expect(head).toContain('HTTP/1.1 502 ');
      expect(reasonOf(head)).toBe('not-primary');
      await upstream.ended();
      client.send(GET);
      expect((await client.message()).body).toBe('new');
      await plane.quiet();
      expect(plane.reasons('not-primary')).toBe(1);
    },
  );

  it('ends in mid-response so that it does not look complete', async () => {
    const { plane, old, elect } = await openLed();
    const client = await plane.client();
    client.send(GET);
    const upstream = await old.accept();
    await upstream.head();
    upstream.send('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nold\r\n');
    expect(await client.until('old\r\n')).toContain('200 OK');
    await elect(1);
    await upstream.ended();
    expect(await client.rest()).not.toContain('0\r\n\r\n');
    await plane.quiet();
    expect(plane.reasons('not-primary')).toBe(1);
    expect(plane.endpointCount(0, 'failures')).toBe(0);
  });

  it('is left alone where its endpoint stays the primary, and where it is only down', async () => {
    const { plane, old, next, elect } = await openLed();
    const client = await plane.client();
    client.send(POST);
    const upstream = await old.accept();
    await upstream.message();
    await elect(0);
    const { endpoints, ...rest } = led([old.port, next.port], 0);
    const down = endpoints.map((one) => ({ ...one, state: 'down' as const }));
    await plane.apply([{ ...rest, endpoints: down }]);
    upstream.send(answer('late'));
    expect((await client.message()).body).toBe('late');
    await plane.quiet();
  });

  it('is ended also where its endpoint was down before', async () => {
    const { plane, old, next, elect } = await openLed();
    const client = await plane.client();
    client.send(POST);
    const upstream = await old.accept();
    await upstream.message();
    const { endpoints, ...rest } = led([old.port, next.port], 0);
    const down = endpoints.map((one) => ({ ...one, state: 'down' as const }));
    await plane.apply([{ ...rest, endpoints: down }]);
    await elect(1);
    expect(reasonOf((await client.message()).head)).toBe('not-primary');
    await plane.quiet();
  });

  it('moves with its neighbours on one shared connection of HTTP/2', async () => {
    let held = 0;
    const old = await serveHttp2(() => {
      held += 1;
    });
    const next = await serveHttp2((stream) => {
      stream.respond({ ':status': 200, 'content-length': '3' });
      stream.end('new');
    });
    const upstream = { protocol: 'h2c', sendProxy: 'off', tls: null, host: 'client' } as const;
    const ports = [old.port, next.port];
    const plane = await openPlane(ports, { upstream });
    await plane.apply([led(ports, 0, { upstream })]);
    const sent = [GET, POST, request('GET /second')];
    const answers = sent.map((one) => plane.ask(one));
    await expect.poll(() => held, { interval: 2 }).toBe(3);
    await plane.apply([led(ports, 1, { upstream })]);
    const [first, second, third] = await Promise.all(answers);
    expect([first!.body, third!.body]).toEqual(['new', 'new']);
    expect(reasonOf(second!.head)).toBe('not-primary');
    await plane.quiet();
  });

  it('is ended before one that waited goes to the new one', async () => {
    const { plane, old, elect } = await openLed({ limits: { perEndpoint: 1, queue: 2 } });
    const [first, waiting] = [await plane.client(), await plane.client()];
    first.send(UPGRADE);
    const upstream = await old.accept();
    await upstream.head();
    upstream.send(SWITCHING);
    await first.head();
    waiting.send(GET);
    await expect.poll(() => plane.waiting(), { interval: 2 }).toBe(1);
    const { ledger } = plane.context;
    const add = ledger.addEndpoint.bind(ledger);
    const onOld: number[] = [];
    ledger.addEndpoint = (slot, column, by) => {
      add(slot, column, by);
      if (slot === 1 && column === EndpointColumn.connects) onOld.push(plane.ledger.inFlight(0));
    };
    await elect(1);
    expect((await waiting.message()).body).toBe('new');
    expect(await first.ended()).toBe('reset');
    expect(onOld).toEqual([0]);
    await plane.quiet();
  });
});
