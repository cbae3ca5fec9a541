// No descriptor or port is left for a connection to an endpoint: that is no attempt, and blames nobody.
import { afterEach, expect, it } from 'vitest';
import { EndpointColumn } from '../../../src/ledger/layout.ts';
import type { WorkerContext } from '../../../src/proxy/context.ts';
import { closeHttp2Endpoints, serveHttp2 } from '../../support/http2-endpoint.ts';
import {
  answer,
  closePlanes,
  openPair,
  openPlane,
  type Plane,
  request,
} from '../../support/plane.ts';
import { freePorts } from '../../support/ports.ts';

afterEach(async () => {
  await closePlanes();
  closeHttp2Endpoints();
});

/** The next connection to an endpoint finds no descriptor; `idle` connections can be closed for it. */
async function starve(plane: Plane, idle: number): Promise<void> {
  const { context } = plane;
  const [closedPort = 0] = await freePorts(1);
  let isStarved = true;
  const { network } = context;
  const connect: WorkerContext['network']['connect'] = (endpoint, handler) => {
    if (!isStarved) return network.connect(endpoint, handler);
    isStarved = false;
    const onClose = handler.onClose.bind(handler);
    handler.onClose = (error) => onClose(Object.assign(error!, { code: 'EMFILE' }));
    return network.connect({ ...endpoint, port: closedPort }, handler);
  };
  Object.assign(context, { network: { ...network, connect } });
  Object.assign(context.room, { closeIdle: () => idle });
}

async function open(protocol: 'http1' | 'h2c'): Promise<Plane> {
  if (protocol === 'http1') {
    const { plane, endpoint } = await openPair();
    endpoint.serve(async (peer) => {
      await peer.head();
      peer.send(answer('ok'));
    });
    return plane;
  }
  const endpoint = await serveHttp2((stream) => {
    stream.respond({ ':status': 200 });
    stream.end('ok');
  });
  return openPlane([endpoint.port], {
    upstream: { protocol, sendProxy: 'off', tls: null, host: 'client' },
  });
}

const attempts = (plane: Plane) => plane.ledger.endpointTotal(0, EndpointColumn.attempts);

it.each(['http1', 'h2c'] as const)(
  '%s: the request is tried once room was made, and counts once',
  async (protocol) => {
    const plane = await open(protocol);
    await starve(plane, 1);
    const { head } = await plane.ask(request('GET /'));
    expect(head).toContain('HTTP/1.1 200 ');
    expect(attempts(plane)).toBe(1);
    plane.accessLog.flush();
    expect(plane.access).toMatchObject([{ status: 200, attempts: 1 }]);
  },
);

it.each(['http1', 'h2c'] as const)(
  '%s: without room it is refused, and nothing was tried',
  async (protocol) => {
    const plane = await open(protocol);
    await starve(plane, 0);
    const { head } = await plane.ask(request('GET /'));
    expect(head).toContain('X-Upriver-Reason: out-of-descriptors\r\n');
    expect(attempts(plane)).toBe(0);
    expect(plane.ledger.endpointTotal(0, EndpointColumn.failures)).toBe(0);
  },
);
