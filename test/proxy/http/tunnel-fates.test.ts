// What becomes of tunnels (WebSocket and other upgrades) when their endpoint goes down, drains or leaves
// (`tunnels`).
import { once } from 'node:events';
import { afterEach, describe, expect, it } from 'vitest';
import { ErrorCode } from '../../../src/http2/protocol.ts';
import type { EndpointState } from '../../../src/model/endpoint.ts';
import type { TunnelPolicy } from '../../../src/model/service.ts';
import { answerOf, ask, closeHttp2, connectHttp2 } from '../../support/http2.ts';
import { closeHttp2Endpoints, serveHttp2 } from '../../support/http2-endpoint.ts';
import { type Endpoint, listenEndpoint, type Peer } from '../../support/peer.ts';
import {
  answer,
  closePlanes,
  openPlane,
  type Plane,
  type Policy,
  request,
  serviceOf,
} from '../../support/plane.ts';
import { makeSnapshot, makeTcp } from '../../support/service.ts';

afterEach(async () => {
  closeHttp2();
  await closePlanes();
  closeHttp2Endpoints();
});

const UPGRADE = request('GET /ws', 'Connection: Upgrade\r\nUpgrade: websocket\r\n');
const SWITCHING =
  'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n';

interface Cast {
  readonly plane: Plane;
  readonly endpoint: Endpoint;
  /** The endpoint is in that state from now on; `gone`: it is not there any more. */
  turn(state: EndpointState | 'gone'): Promise<void>;
}

async function openCast(tunnels: Partial<TunnelPolicy>, more: Policy = {}): Promise<Cast> {
  const endpoint = await listenEndpoint();
  const policy = { ...more, tunnels: { onDownMs: null, onDrainMs: null, ...tunnels } };
  const plane = await openPlane([endpoint.port], policy);
  const whole = makeSnapshot(serviceOf(policy), [endpoint.port]);
  const turn = (state: EndpointState | 'gone') => {
    const endpoints = whole.endpoints.flatMap((one) =>
      state === 'gone' ? [] : [{ ...one, state }],
    );
    return plane.apply([{ ...whole, endpoints }]);
  };
  return { plane, endpoint, turn };
}

/** A tunnel through which a byte has passed both ways. */
async function tunnel({ plane, endpoint }: Cast): Promise<{ client: Peer; upstream: Peer }> {
  const client = await plane.client();
  client.send(UPGRADE);
  const upstream = await endpoint.accept();
  await upstream.head();
  upstream.send(SWITCHING);
  await client.head();
  await echo(client, upstream);
  return { client, upstream };
}

async function echo(client: Peer, upstream: Peer): Promise<void> {
  client.send('ping');
  expect(await upstream.take(4)).toBe('ping');
  upstream.send('pong');
  expect(await client.take(4)).toBe('pong');
}

describe('tunnels on an endpoint that takes no more work', () => {
  it.each(['down', 'ejected', 'drain', 'maint', 'gone'] as const)(
    'go on by default, whatever tcp says: %s',
    async (state) => {
      const cast = await openCast({}, { tcp: makeTcp({ onDownMs: 0, onDrainMs: 0 }) });
      const { client, upstream } = await tunnel(cast);
      await cast.turn(state);
      await echo(client, upstream);
    },
  );

  it.each([
    ['down', { onDownMs: 0 }],
    ['ejected', { onDownMs: 0 }],
    ['drain', { onDrainMs: 0 }],
    ['maint', { onDrainMs: 0 }],
    ['gone', { onDrainMs: 0 }],
  ] as const)('are reset on both sides where that is wanted: %s', async (state, policy) => {
    const cast = await openCast(policy);
    const { client, upstream } = await tunnel(cast);
    const { client: other, upstream: its } = await tunnel(cast);
    other.end();
    await its.ended();
    its.end();
    expect(await other.ended()).toBe('end');
    await cast.turn(state);
    expect(await client.ended()).toBe('reset');
    expect(await upstream.ended()).toBe('reset');
    await cast.plane.quiet();
    // The one that had ended before is none of them.
    expect(cast.plane.reasons('endpoint-left')).toBe(1);
    if (state !== 'gone') expect(cast.plane.endpointCount(0, 'failures')).toBe(0);
  });

  it.each([
    ['down', { onDrainMs: 0 }],
    ['drain', { onDownMs: 0 }],
  ] as const)('go on where the other case is told of: %s', async (state, policy) => {
    const cast = await openCast(policy);
    const { client, upstream } = await tunnel(cast);
    await cast.turn(state);
    await echo(client, upstream);
  });

  it('are reset after a time, unless it is back before', async () => {
    const cast = await openCast({ onDownMs: 300 });
    const { client, upstream } = await tunnel(cast);
    await cast.turn('down');
    await echo(client, upstream);
    await cast.turn('up');
    const { client: second } = await tunnel(cast);
    await cast.turn('down');
    const [ends, began] = [await client.ended(), await second.ended()];
    expect([ends, began]).toEqual(['reset', 'reset']);
    expect(cast.plane.reasons('endpoint-left')).toBe(2);
  });

  it('end where the policy changes while it is out, also after it has left and is back', async () => {
    const cast = await openCast({});
    const { plane, endpoint } = cast;
    const { client, upstream } = await tunnel(cast);
    const { client: second } = await tunnel(cast);
    await cast.turn('gone');
    await cast.turn('drain');
    await echo(client, upstream);
    const tunnels = { onDownMs: null, onDrainMs: 0 };
    const snapshot = makeSnapshot(serviceOf({ tunnels }), [endpoint.port]);
    const endpoints = snapshot.endpoints.map((one) => ({ ...one, state: 'drain' as const }));
    await plane.apply([{ ...snapshot, endpoints }]);
    expect([await client.ended(), await second.ended()]).toEqual(['reset', 'reset']);
    expect(plane.reasons('endpoint-left')).toBe(2);
  });

  it('leave requests in flight alone, and end those that become tunnels late', async () => {
    const cast = await openCast({ onDownMs: 0 }, { retry: { attempts: 1 } });
    const { plane, endpoint } = cast;
    const [asking, late] = [await plane.client(), await plane.client()];
    asking.send(request('POST /', 'Content-Length: 3\r\n', 'abc'));
    const upstream = await endpoint.accept();
    await upstream.message();
    late.send(UPGRADE);
    const other = await endpoint.accept();
    await other.head();
    await cast.turn('down');
    upstream.send(answer('done'));
    expect((await asking.message()).body).toBe('done');
    other.send(SWITCHING);
    expect(await late.ended()).toBe('reset');
    expect(await other.ended()).toBe('reset');
  });

  it('are streams of HTTP/2 that end alone: from the client, and to the endpoint', async () => {
    const codes: number[] = [];
    const { port } = await serveHttp2(
      (stream, headers) => {
        stream.respond({ ':status': 200 });
        if (headers[':method'] !== 'CONNECT') stream.end('ok');
        else stream.on('close', () => codes.push(stream.rstCode ?? -1));
      },
      { enableConnectProtocol: true },
    );
    const upstream = { protocol: 'h2c', sendProxy: 'off', tls: null, host: 'client' } as const;
    const policy = { upstream, tunnels: { onDownMs: null, onDrainMs: 0 } };
    const plane = await openPlane([port], policy);
    const session = connectHttp2(plane.port);
    await once(session, 'remoteSettings');
    const fields = { ':method': 'CONNECT', ':protocol': 'websocket', ':path': '/ws' };
    const stream = session.request(fields, { endStream: false });
    const cut = answerOf(stream);
    await once(stream, 'response');
    const whole = makeSnapshot(serviceOf(policy), [port]);
    const turn = (state: EndpointState) =>
      plane.apply([{ ...whole, endpoints: whole.endpoints.map((one) => ({ ...one, state })) }]);
    await turn('drain');
    expect((await cut).code).toBe(ErrorCode.cancel);
    await expect.poll(() => codes, { interval: 2 }).toEqual([ErrorCode.cancel]);
    await turn('up');
    expect((await ask(session, { ':path': '/' })).body).toBe('ok');
    expect(plane.reasons('endpoint-left')).toBe(1);
  });
});
