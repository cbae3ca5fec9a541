// The whole program without a registry: fixed endpoints, given by flags. What holds here holds for
// every provider; theirs tests are about what they find out.
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { type EndpointProcess, startEndpoint } from '../support/endpoint.ts';
import { startLoad } from '../support/load.ts';
import { freePorts } from '../support/ports.ts';
import { startUpriver, type UpriverProcess } from '../support/upriver.ts';

let upriver: UpriverProcess | null = null;
const endpoints: EndpointProcess[] = [];
const servers: Server[] = [];
const sockets = new Set<Socket>();

afterEach(async () => {
  await upriver?.stop();
  upriver = null;
  await Promise.all(endpoints.splice(0).map((endpoint) => endpoint.kill()));
  for (const socket of sockets) socket.destroy();
  sockets.clear();
  for (const server of servers.splice(0)) server.close();
});

async function launch(count: number): Promise<EndpointProcess[]> {
  const names = ['one', 'two', 'three', 'four'].slice(0, count);
  const started = await Promise.all(names.map((name) => startEndpoint(name)));
  endpoints.push(...started);
  return started;
}

/** Flags for a service `web` on `port`, with these endpoints. */
function web(port: number, to: readonly { port: number }[], more = ''): string[] {
  const addresses = to.map((endpoint) => `127.0.0.1:${endpoint.port}`).join(',');
  return ['--static', `web=${addresses}`, '--service', `web=127.0.0.1:${port}${more}`];
}

describe('an HTTP service', () => {
  it('is balanced over its endpoints from the first request on', async () => {
    const [port] = (await freePorts(1)) as [number];
    upriver = await startUpriver({ args: web(port, await launch(2), ',balance=round-robin') });
    const counts = new Map<string | null, number>();
    for (let i = 0; i < 20; i += 1) {
      const response = await fetch(`http://127.0.0.1:${port}/`);
      expect(response.status).toBe(200);
      const by = response.headers.get('x-endpoint');
      expect(await response.text()).toBe(`${by} GET 0\n`);
      counts.set(by, (counts.get(by) ?? 0) + 1);
    }
    // Each worker has its own turn, so the halves are not exact.
    expect(counts.get('one')).toBeGreaterThan(4);
    expect(counts.get('two')).toBeGreaterThan(4);
    const ready = upriver.log.find((line) => line.msg === 'ready');
    expect(ready?.listeners).toEqual([`127.0.0.1:${port}`]);
  });

  it('relays a body both ways', async () => {
    const [port] = (await freePorts(1)) as [number];
    upriver = await startUpriver({ args: web(port, await launch(1)) });
    const body = 'x'.repeat(3_000_000);
    const response = await fetch(`http://127.0.0.1:${port}/`, { method: 'PUT', body });
    expect(await response.text()).toBe('one PUT 3000000\n');
  });

  it('loses no request when an endpoint is killed without a word', async () => {
    const [port] = (await freePorts(1)) as [number];
    const [victim, ...others] = (await launch(4)) as [EndpointProcess, ...EndpointProcess[]];
    upriver = await startUpriver({ args: web(port, [victim, ...others]) });
    const load = startLoad({ url: `http://127.0.0.1:${port}/`, perSecond: 300, timeoutMs: 15_000 });
    await load.next(200);
    await victim.kill();
    await load.next(300);
    const result = await load.stop();
    expect(result.failures).toEqual([]);
    expect([...result.byEndpoint.keys()].sort()).toEqual(['four', 'one', 'three', 'two']);
  });

  it('says why it has no answer', async () => {
    const [port, dead] = (await freePorts(2)) as [number, number];
    upriver = await startUpriver({ args: web(port, [{ port: dead }]) });
    const response = await fetch(`http://127.0.0.1:${port}/`);
    expect(response.status).toBe(502);
    expect(response.headers.get('x-upriver-reason')).toBe('connect-refused');
    expect(await response.text()).toContain('refused');
  });
});

describe('a TCP service', () => {
  it('is relayed with half-close, and its sessions are finished by a drain', async () => {
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      sockets.add(socket);
      let size = 0;
      socket.on('data', (bytes: Buffer) => {
        size += bytes.length;
      });
      socket.on('end', () => socket.end(`${size} bytes`));
    });
    servers.push(server);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const [port, dead] = (await freePorts(2)) as [number, number];
    const to = [{ port: dead }, server.address() as { port: number }];
    upriver = await startUpriver({ args: web(port, to, ',protocol=tcp') });

    const client = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    sockets.add(client);
    client.write('x'.repeat(1_000_000));
    await expect.poll(() => sockets.size).toBe(2);
    upriver.signal('SIGTERM');
    await upriver.waitForLog((line) => line.msg === 'draining', 'that it drains');
    client.end('y'.repeat(234_567));
    const pieces: Buffer[] = [];
    client.on('data', (bytes: Buffer) => pieces.push(bytes));
    await once(client, 'end');
    expect(Buffer.concat(pieces).toString()).toBe('1234567 bytes');
    expect(await upriver.exited).toBe(0);
  });
});

describe('a registry that does not answer', () => {
  it('keeps the process from being ready, and not from ending', async () => {
    const [port] = (await freePorts(1)) as [number];
    const args = ['--consul', 'http://127.0.0.1:1', '--service', `web=127.0.0.1:${port}`];
    upriver = await startUpriver({ args, isReady: false });
    await upriver.waitForLog((line) => line.msg === 'stats port open', 'that stats are open');
    const response = await fetch(`${upriver.statsUrl}/readyz`);
    expect(response.status).toBe(503);
    expect(await response.text()).toContain('waiting for the first answer of consul');
    upriver.signal('SIGTERM');
    expect(await upriver.exited).toBe(0);
  });
});

describe('two processes on the same ports', () => {
  it('hand over without a lost request', async () => {
    const [port, otherStats] = (await freePorts(2)) as [number, number];
    const args = web(port, await launch(2));
    upriver = await startUpriver({ args });
    const url = `http://127.0.0.1:${port}/`;
    const load = startLoad({ url, perSecond: 200, timeoutMs: 15_000 });
    await load.next(100);
    const next = await startUpriver({ args, statsPort: otherStats });
    try {
      upriver.signal('SIGTERM');
      expect(await upriver.exited).toBe(0);
      await load.next(100);
      expect((await load.stop()).failures).toEqual([]);
    } finally {
      await next.stop();
    }
  });
});
