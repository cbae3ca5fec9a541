// What one peer can make the worker do: bounds on work that is cheap to ask for.
import { afterEach, describe, expect, it } from 'vitest';
import { CHUNKS_MAX } from '../../../src/proxy/limits/rest.ts';
import { dial, listenEndpoint, type Peer } from '../../support/peer.ts';
import {
  answer,
  closePlanes,
  openPair,
  openPlane,
  openRouter,
  request,
} from '../../support/plane.ts';
import { freePorts } from '../../support/ports.ts';

afterEach(closePlanes);

const GET = request('GET /');

describe('an endpoint that sends interim responses without end', () => {
  it('is a bad one', async () => {
    const { plane, endpoint } = await openPair({ retry: { attempts: 1 } });
    const client = await plane.client();
    client.send(GET);
    const peer = await endpoint.accept();
    await peer.head();
    peer.send('HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n'.repeat(33));
    for (let i = 0; i < 32; i += 1) expect(await client.head()).toMatch(/^HTTP\/1\.1 103 /);
    const { head } = await client.message();
    expect(head).toMatch(/^HTTP\/1\.1 502 /);
    expect(head).toContain('X-Upriver-Reason: bad-response\r\n');
    await peer.ended();
    await plane.quiet();
  });

  it('may send some', async () => {
    const { plane, endpoint } = await openPair();
    const client = await plane.client();
    client.send(GET);
    const peer = await endpoint.accept();
    await peer.head();
    peer.send('HTTP/1.1 103 Early Hints\r\n\r\n'.repeat(32) + answer('done'));
    for (let i = 0; i < 32; i += 1) await client.head();
    expect((await client.message()).body).toBe('done');
    // The count is that of a request, not of a connection.
    client.send(GET);
    await peer.head();
    peer.send(`HTTP/1.1 103 Early Hints\r\n\r\n${answer('again')}`);
    await client.head();
    expect((await client.message()).body).toBe('again');
    await plane.quiet();
  });
});

describe('a request among many endpoints that refuse', () => {
  it('gives up after some', async () => {
    const [port] = await freePorts(1);
    const ports = Array.from({ length: 200 }, () => port!);
    const plane = await openPlane(ports, { retry: { connectAttempts: 20 } });
    const { head } = await plane.ask(GET);
    expect(head).toContain('X-Upriver-Reason: connect-refused\r\n');
    const asked = ports.reduce((sum, _, slot) => sum + plane.endpointCount(slot, 'attempts'), 0);
    expect(asked).toBe(20);
    await plane.quiet();
  });

  it('is saved where one of them answers within the bound', async () => {
    const [dead] = await freePorts(1);
    const endpoint = await listenEndpoint();
    endpoint.serve(async (peer) => {
      await peer.head();
      peer.send(answer('saved'));
    });
    const ports = [...Array.from({ length: 19 }, () => dead!), endpoint.port];
    const plane = await openPlane(ports, { retry: { connectAttempts: 20 } });
    expect((await plane.ask(GET)).body).toBe('saved');
    await plane.quiet();
  });

  it('gives up when its time for it is over', async () => {
    const [port] = await freePorts(1);
    const plane = await openPlane([port!, port!], { retry: { attempts: 5, connectTimeMs: 1 } });
    // The clock of timers stands still within a turn: the first retries are free.
    const { head } = await plane.ask(GET);
    expect(head).toContain('X-Upriver-Reason: connect-refused\r\n');
    await plane.quiet();
  });
});

describe('a body in chunks of one byte', () => {
  // Several reads, each with more chunks than are taken without a rest.
  const COUNT = CHUNKS_MAX * 40;
  const CHUNKS = `${'1\r\nx\r\n'.repeat(COUNT)}0\r\n\r\n`;
  const FIELDS = 'Transfer-Encoding: chunked\r\n';

  it('arrives whole at the endpoint, and the connection goes on', async () => {
    const { plane, endpoint } = await openPair();
    const client = await plane.client();
    client.send(request('POST /', FIELDS, CHUNKS) + GET);
    const peer = await endpoint.accept();
    await peer.head();
    const body = await peer.until('\r\n0\r\n\r\n');
    expect(body.split('x').length - 1).toBe(COUNT);
    peer.send(answer('took it'));
    expect((await client.message()).body).toBe('took it');
    await peer.head();
    peer.send(answer('next'));
    expect((await client.message()).body).toBe('next');
    await plane.quiet();
  });

  it('arrives whole at the client, and the upstream connection is kept', async () => {
    const { plane, endpoint } = await openPair();
    const client = await plane.client();
    client.send(GET);
    const peer = await endpoint.accept();
    await peer.head();
    peer.send(`HTTP/1.1 200 OK\r\n${FIELDS}\r\n${CHUNKS}`);
    await client.head();
    const body = await client.until('\r\n0\r\n\r\n');
    expect(body.split('x').length - 1).toBe(COUNT);
    client.send(GET);
    await peer.head();
    peer.send(answer('next'));
    expect((await client.message()).body).toBe('next');
    expect(endpoint.connections).toBe(1);
    await plane.quiet();
  });

  it('may be given up while its connection rests', async () => {
    const { plane, endpoint } = await openPair();
    const client = await plane.client();
    client.send(request('POST /', FIELDS, CHUNKS.slice(0, 100_000)));
    const peer = await endpoint.accept();
    await peer.until('x');
    client.reset();
    await peer.ended();
    await plane.quiet();
  });
});

describe('requests that are answered here', () => {
  it('are all answered, in order, however many come at once', async () => {
    const plane = await openRouter([], {});
    const client = await plane.client();
    const count = 1000;
    const asks = Array.from({ length: count }, (_none, i) => request(`GET /${i}`));
    client.send(asks.join(''));
    for (let i = 0; i < count; i += 1) {
      expect((await client.message()).head).toContain('X-Upriver-Reason: no-service\r\n');
    }
    client.send(GET);
    expect((await client.message()).head).toContain('HTTP/1.1 404 ');
    await plane.quiet();
  });
});

describe('a service at its limit of connections', () => {
  const limits = { connections: 4 };

  it('closes one that lies idle for one more, and keeps within the limit', async () => {
    const { plane, endpoint } = await openPair({ limits });
    endpoint.serve(async (peer) => {
      await peer.head();
      peer.send(answer('served'));
    });
    const idle: Peer[] = [];
    for (let i = 0; i < 4; i += 1) {
      const client = await plane.client();
      client.send(GET);
      await client.message();
      idle.push(client);
    }
    expect((await plane.ask(GET)).body).toBe('served');
    await idle[0]!.ended();
    await expect.poll(() => plane.ledger.connections(0), { interval: 2 }).toBe(3);
    for (const client of idle.slice(1)) {
      client.send(GET);
      expect((await client.message()).body).toBe('served');
    }
    expect(plane.reasons('too-many-connections')).toBe(0);
    for (const client of idle) client.end();
    await plane.quiet();
  });

  it('serves one that was to be closed, and asks for something before', async () => {
    const { plane, endpoint } = await openPair({ limits });
    endpoint.serve(async (peer) => {
      await peer.head();
      peer.send(answer('served'));
    });
    const clients = [await plane.client(), await plane.client()];
    clients.push(await plane.client(), await plane.client());
    await expect.poll(() => plane.ledger.connections(0), { interval: 2 }).toBe(4);
    // What is to be closed waits for the wheel's next tick, which does not come.
    plane.wheel.stop();
    expect((await plane.ask(GET)).body).toBe('served');
    await expect.poll(() => plane.ledger.connections(0), { interval: 2 }).toBe(3);
    const [evicted] = clients;
    evicted!.send(GET);
    expect((await evicted!.message()).body).toBe('served');
    await expect.poll(() => plane.ledger.connections(0), { interval: 2 }).toBe(4);
    plane.wheel.start(plane.context.clock);
    evicted!.send(GET);
    expect((await evicted!.message()).body).toBe('served');
    for (const client of clients) client.end();
    await plane.quiet();
  });

  it('closes nobody for an address that has the most, and uses all', async () => {
    const { plane, endpoint } = await openPair({ limits });
    const other = await dial(plane.port, '127.0.0.2');
    other.send(GET);
    const served = await endpoint.accept();
    await served.head();
    served.send(answer('served'));
    expect((await other.message()).body).toBe('served');
    const greedy = [await plane.client(), await plane.client(), await plane.client()];
    for (const client of greedy) client.send(GET);
    await expect.poll(() => plane.inFlight(), { interval: 2 }).toBe(3);
    expect((await plane.ask(GET)).head).toContain('X-Upriver-Reason: too-many-connections\r\n');
    other.send(GET);
    await expect.poll(() => plane.inFlight(), { interval: 2 }).toBe(4);
    for (const client of [...greedy, other]) client.reset();
    await plane.quiet();
  });

  it('closes none on which a request is going on', async () => {
    const { plane, endpoint } = await openPair({ limits });
    const busy: Peer[] = [];
    for (let i = 0; i < 4; i += 1) {
      const client = await plane.client();
      client.send(GET);
      busy.push(client);
    }
    const peers = [];
    for (const _ of busy) peers.push(await endpoint.accept());
    const { head } = await plane.ask(GET);
    expect(head).toContain('X-Upriver-Reason: too-many-connections\r\n');
    for (const peer of peers) {
      await peer.head();
      peer.send(answer('served'));
    }
    for (const client of busy) expect((await client.message()).body).toBe('served');
    await plane.quiet();
  });

  it('serves another address though one holds every place with half a head', async () => {
    const { plane, endpoint } = await openPair({ limits });
    endpoint.serve(async (peer) => {
      await peer.head();
      peer.send(answer('served'));
    });
    const own = await plane.client();
    own.send(GET);
    await own.message();
    const slow: Peer[] = [];
    for (let i = 0; i < 3; i += 1) {
      const client = await dial(plane.port, '127.0.0.2');
      client.send('GET / HTTP/1.1\r\nHo');
      slow.push(client);
    }
    own.send('GET / HTTP/1.1\r\nHost: a\r\nX: 1');
    await expect.poll(() => plane.ledger.connections(0), { interval: 2 }).toBe(4);
    // As soon as the worker has read the half heads, which is not to be seen from here.
    const served = async () => (await plane.ask(GET)).body;
    await expect.poll(served, { interval: 50 }).toBe('served');
    own.send('\r\n\r\n');
    expect((await own.message()).body).toBe('served');
    for (const client of slow) client.reset();
    await plane.quiet();
  });

  it('limits the connections of one address where it is asked to', async () => {
    const { plane, endpoint } = await openPair({ limits: { connectionsPerClient: 2 } });
    endpoint.serve(async (peer) => {
      await peer.head();
      peer.send(answer('served'));
    });
    const first = [await plane.client(), await plane.client()];
    for (const client of first) {
      client.send(GET);
      await client.message();
    }
    expect((await plane.ask(GET)).head).toMatch(/^HTTP\/1\.1 429 Too Many Requests\r\n/);
    const other = await dial(plane.port, '127.0.0.2');
    other.send(GET);
    expect((await other.message()).body).toBe('served');
    first[0]!.end();
    await expect.poll(() => plane.ledger.connections(0), { interval: 2 }).toBe(2);
    expect((await plane.ask(GET)).body).toBe('served');
    expect(plane.reasons('client-connections')).toBe(1);
    await plane.quiet();
  });
});
