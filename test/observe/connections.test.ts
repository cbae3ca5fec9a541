// What one client, or many of them, can take of the stats port, and who is served all the same.
import { connect, type Socket } from 'node:net';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { type StatsPort, type StatsPortOptions, startStatsPort } from '../support/stats-port.ts';

const sockets: Socket[] = [];
let port: StatsPort;
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await port.close();
});

async function start(options: StatsPortOptions = {}): Promise<void> {
  port = await startStatsPort(options);
}

/** A client that sends this and reads nothing, until it is resumed. */
async function client(text = ''): Promise<Socket> {
  const socket = connect(Number(new URL(port.url).port), '127.0.0.1');
  sockets.push(socket.pause());
  await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject));
  socket.on('error', () => {});
  if (text !== '') await new Promise((resolve) => socket.write(text, resolve));
  return socket;
}

function closed(socket: Socket): Promise<void> {
  socket.resume();
  return new Promise((resolve) => {
    if (socket.closed) resolve();
    else socket.once('close', () => resolve());
  });
}

/** Pages are made at a pace of their own, slower where other programs have the processor. */
const PATIENT = { timeout: 60_000 };
vi.setConfig({ testTimeout: 120_000 });

const PAGE = '/api/v1/events?format=json';

/** Counts how often the page of events is made. */
function counting(): { readonly pages: number } {
  const count = { pages: 0 };
  const since = port.events.since.bind(port.events);
  vi.spyOn(port.events, 'since').mockImplementation((id) => {
    // The sampler asks, too.
    if (new Error().stack?.includes('observe/port.ts')) count.pages += 1;
    return since(id);
  });
  return count;
}

/** Makes that page larger than what kernels keep for a client that does not read. */
function fill(): void {
  const reason = 'y'.repeat(50_000);
  const change = { atMs: 1, service: 'web', endpoint: 'a', from: 'up', to: 'down', reason };
  for (let i = 0; i < 400; i += 1)
    port.events.add({ ...change, cause: { kind: 'check', text: '' } });
}

const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`;

describe('requests ahead of their answers', () => {
  it('are answered in order', async () => {
    await start();
    const socket = await client(get('/healthz') + get('/readyz') + get('/nothing'));
    let text = '';
    socket.setEncoding('utf8').on('data', (part: string) => {
      text += part;
    });
    socket.resume();
    await expect.poll(() => text, PATIENT).toContain('nothing is served');
    expect(text.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 200', 'HTTP/1.1 200', 'HTTP/1.1 404']);
  });

  it('are not worked on before the answer ahead of them is read', async () => {
    await start();
    fill();
    const count = counting();
    const socket = await client(get(PAGE).repeat(3));
    await expect.poll(() => count.pages, PATIENT).toBe(1);
    for (let i = 0; i < 5; i += 1) expect((await port.ask('/healthz')).status).toBe(200);
    expect(count.pages).toBe(1);
    socket.resume();
    await expect.poll(() => count.pages, PATIENT).toBe(3);
  });

  it('cost a client its connection when there are hundreds', async () => {
    await start();
    fill();
    const count = counting();
    const all = await Promise.all(Array.from({ length: 10 }, () => client(get(PAGE).repeat(400))));
    await Promise.all(all.map(closed));
    expect((await port.ask('/healthz')).status).toBe(200);
    // One page per client at the most, of 4000 that were asked for.
    expect(count.pages).toBeLessThanOrEqual(10);
  });
});

describe('pages', () => {
  it('that nobody reads are bounded in all, at the cost of who reads nothing', async () => {
    await start();
    fill();
    const count = counting();
    const silent = [];
    for (let i = 1; i <= 3; i += 1) {
      silent.push(await client(get(PAGE)));
      // Each has a page of its own.
      await expect.poll(() => count.pages, PATIENT).toBe(i);
    }
    // A client counts as silent after a second.
    await expect.poll(async () => (await port.ask(PAGE)).status, PATIENT).toBe(200);
    await Promise.race(silent.map(closed));
  });
});

describe('places', () => {
  it('are taken from the oldest idle connection when they run short', async () => {
    await start({ places: { places: 3, reserved: 1 } });
    const [first, second] = [await client(), await client(), await client()];
    expect((await port.ask('/metrics')).status).toBe(200);
    await closed(first!);
    expect(second!.closed).toBe(false);
  });

  it('512 idle ones shut nobody out', async () => {
    await start();
    for (let i = 0; i < 600; i += 1) await client();
    for (const path of ['/healthz', '/readyz', '/metrics']) {
      expect((await port.ask(path)).status, path).toBe(200);
    }
  });

  const streams = async (count: number): Promise<void> => {
    for (let i = 0; i < count; i += 1) {
      const socket = await client(get('/api/v1/events'));
      await new Promise((resolve) => socket.once('data', resolve).resume());
    }
  };

  it('are kept for health checks where all others are at work', async () => {
    await start({ places: { places: 3, reserved: 2, isLocal: () => false } });
    await streams(3);
    for (const path of ['/healthz', '/livez', '/readyz']) {
      const answer = await port.ask(path);
      expect(answer.status, path).toBe(200);
      expect(answer.headers.connection).toBe('close');
    }
    const refused = await port.ask('/metrics');
    expect(refused.status).toBe(503);
    expect(refused.text).toContain('all connections of the stats port are in use');
    // Silent ones do not keep these places either.
    const idle = [await client(), await client()];
    expect((await port.ask('/healthz')).status).toBe(200);
    await closed(idle[0]!);
  });

  it('are kept for this machine as well', async () => {
    await start({ places: { places: 2, reserved: 1 } });
    await streams(2);
    expect((await port.ask('/api/v1/status')).status).toBe(200);
  });
});
