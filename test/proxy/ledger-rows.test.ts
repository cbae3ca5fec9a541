// Every row of the ledger's layout, counted by the data plane itself: for each there is a story that
// real clients and endpoints play, and the figure that it must leave behind.
import { afterEach, describe, expect, it } from 'vitest';
import {
  EndpointColumn,
  type EndpointCounter,
  endpointRows,
  ServiceColumn,
  type ServiceCounter,
  serviceRows,
} from '../../src/ledger/layout.ts';
import { listenEndpoint } from '../support/peer.ts';
import {
  answer,
  closePlanes,
  openPair,
  openPlane,
  type Plane,
  type Policy,
  request,
} from '../support/plane.ts';
import { freePorts } from '../support/ports.ts';
import { makeUdp } from '../support/service.ts';
import { UdpStage } from '../support/udp-stage.ts';

const stages: UdpStage[] = [];
afterEach(async () => {
  for (const stage of stages.splice(0)) await stage.close();
  await closePlanes();
});

const POST = request('POST /', 'Content-Length: 5\r\n', 'hello');
const UPGRADE = request('GET /', 'Connection: upgrade\r\nUpgrade: x\r\n');
const SWITCHING = 'HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n';

/** One request to one endpoint, which answers with `reply`. */
async function one(reply: string, text = request('GET /'), policy: Policy = {}): Promise<Plane> {
  const { plane, endpoint } = await openPair(policy);
  const client = await plane.client();
  client.send(text);
  const peer = await endpoint.accept();
  await peer.message();
  peer.send(reply);
  await client.message();
  await plane.quiet();
  return plane;
}

/** Two requests with bodies, the first of which is tried twice. */
async function bodies(): Promise<Plane> {
  const put = request('PUT /', 'Content-Length: 5\r\n', 'hello');
  const { plane, endpoint } = await openPair({ retry: { attempts: 2 } });
  const client = await plane.client();
  client.send(put);
  const broken = await endpoint.accept();
  await broken.message();
  broken.reset();
  const peer = await endpoint.accept();
  await peer.message();
  peer.send(answer('answer'));
  await client.message();
  client.send(POST);
  await peer.message();
  peer.send('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n');
  await client.until('\r\n0\r\n\r\n');
  await plane.quiet();
  return plane;
}

/** A tunnel that is still open: seven bytes in, three out. */
async function tunnel(): Promise<Plane> {
  const { plane, endpoint } = await openPair();
  const client = await plane.client();
  client.send(UPGRADE);
  const peer = await endpoint.accept();
  await peer.head();
  peer.send(SWITCHING);
  await client.head();
  client.send('seventy');
  await peer.take(7);
  peer.send('out');
  await client.take(3);
  return plane;
}

/** The first endpoint breaks off, or never answers; a GET is not repeated. */
async function broken(policy: Policy, isSilent: boolean): Promise<Plane> {
  const { plane, endpoint } = await openPair({ ...policy, retry: { attempts: 1 } });
  const client = await plane.client();
  client.send(request('GET /'));
  const peer = await endpoint.accept();
  await peer.head();
  if (!isSilent) peer.reset();
  await client.message();
  await plane.quiet();
  return plane;
}

async function refused(): Promise<Plane> {
  const [port] = await freePorts(1);
  const plane = await openPlane([port!], { retry: { attempts: 1 } });
  expect((await plane.ask(request('GET /'))).head).toContain('connect-refused');
  await plane.quiet();
  return plane;
}

/** Whichever endpoint is asked first is silent, and the second try beside it answers. */
async function hedged(): Promise<Plane> {
  let asked = 0;
  const endpoints = [await listenEndpoint(), await listenEndpoint()].map((endpoint) =>
    endpoint.serve(async (peer) => {
      await peer.head();
      asked += 1;
      if (asked === 1) await peer.ended();
      else peer.send(answer('second'));
    }),
  );
  const ports = endpoints.map(({ port }) => port);
  const plane = await openPlane(ports, { retry: { hedge: { afterMs: 25 } } });
  expect((await plane.ask(request('GET /'))).body).toBe('second');
  await plane.quiet();
  return plane;
}

/** Two datagrams that are answered twice each, of which the second answer is more than is allowed. */
async function datagrams(): Promise<UdpStage> {
  const stage = new UdpStage();
  stages.push(stage);
  const twice = stage.endpoint('twice', (bytes, from, socket) => {
    for (let i = 0; i < 2; i += 1) socket.send(bytes, from.port, from.address);
  });
  await stage.serve([twice.port], { udp: makeUdp({ amplificationMax: 1 }) });
  const clients = [stage.client(), stage.client()];
  for (const client of clients) await client.ask('ping');
  await expect.poll(() => stage.serviceCount('datagramsDropped')).toBe(2);
  return stage;
}

type Story = readonly [play: () => Promise<Pick<Plane, 'ledger'>>, figure: number];
const status = (line: string) => () => one(answer('', '', line));

const ENDPOINT: Readonly<Record<EndpointCounter, Story>> = {
  attempts: [bodies, 3],
  connects: [bodies, 2],
  connectFailures: [refused, 1],
  resets: [() => broken({}, false), 1],
  timeouts: [() => broken({ timeouts: { responseMs: 50 } }, true), 1],
  failures: [() => broken({}, false), 1],
  retries: [bodies, 1],
  // Two of the attempts were answered, and one connection broke.
  outcomes: [bodies, 3],
  faults: [status('503 Busy'), 1],
  responses1xx: [tunnel, 1],
  responses2xx: [bodies, 2],
  responses3xx: [status('301 Moved'), 1],
  responses4xx: [status('404 Not Found'), 1],
  responses5xx: [status('500 Oh'), 1],
  // Each of the three attempts was sent a body of five bytes.
  bytesIn: [bodies, 15],
  bytesOut: [bodies, 9],
};

const SERVICE: Readonly<Record<ServiceCounter, Story>> = {
  requests: [bodies, 2],
  connections: [bodies, 1],
  bytesIn: [bodies, 10],
  bytesOut: [bodies, 9],
  latencySumUs: [bodies, Number.NaN],
  upgrades: [tunnel, 1],
  hedges: [hedged, 1],
  hedgesWon: [hedged, 1],
  datagramsIn: [datagrams, 2],
  datagramsOut: [datagrams, 2],
  datagramsDropped: [datagrams, 2],
};

describe('a row of the endpoint', () => {
  it.each(endpointRows.map(({ key }) => key))('%s is counted', async (key) => {
    const [play, figure] = ENDPOINT[key];
    const plane = await play();
    expect(plane.ledger.endpointTotal(0, EndpointColumn[key])).toBe(figure);
  });
});

describe('a row of the service', () => {
  it.each(serviceRows.map(({ key }) => key))('%s is counted', async (key) => {
    const [play, figure] = SERVICE[key];
    const plane = await play();
    const total = plane.ledger.serviceTotal(0, ServiceColumn[key]);
    if (Number.isNaN(figure)) expect(total).toBeGreaterThan(0);
    else expect(total).toBe(figure);
  });
});

describe('bytes of a tunnel', () => {
  it('are counted while it is open, once', async () => {
    const plane = await tunnel();
    expect(plane.inFlight()).toBe(1);
    const figures = () => [
      plane.ledger.endpointTotal(0, EndpointColumn.bytesIn),
      plane.ledger.endpointTotal(0, EndpointColumn.bytesOut),
      plane.ledger.serviceTotal(0, ServiceColumn.bytesIn),
      plane.ledger.serviceTotal(0, ServiceColumn.bytesOut),
    ];
    expect(figures()).toEqual([7, 3, 7, 3]);
    await plane.worker.drain(0);
    await plane.quiet();
    expect(figures()).toEqual([7, 3, 7, 3]);
  });
});
