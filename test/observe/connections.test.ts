// What one client, or many of them, can take of the stats port, and who is served all the same.
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
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

  it('are not even parsed, however many there are', async () => {
    await start();
    fill();
    const count = counting();
    let parsed = 0;
    const note = (): void => {
      parsed += 1;
    };
    const all = await Promise.all(Array.from({ length: 10 }, () => client()));
    subscribe('http.server.request.start', note);
    try {
      for (const one of all) one.write(get(PAGE).repeat(400));
      await expect.poll(() => parsed, PATIENT).toBe(all.length);
      await expect.poll(() => count.pages, PATIENT).toBeGreaterThan(0);
    } finally {
      unsubscribe('http.server.request.start', note);
    }
    for (let i = 0; i < 5; i += 1) expect((await port.ask('/healthz')).status).toBe(200);
    // One of each client, of 4000 that were asked for, and no connection was lost by it.
    expect(parsed).toBe(all.length);
    expect(all.every((one) => !one.closed)).toBe(true);
  });

  it('are all answered where they are read, more than were ever kept', async () => {
    await start();
    const socket = await client(get('/healthz').repeat(5000));
    let text = '';
    socket.setEncoding('latin1').on('data', (part: string) => {
      text += part;
    });
    socket.resume();
    await expect.poll(() => text.split('HTTP/1.1 200').length - 1, PATIENT).toBe(5000);
  });

  it('may follow the body of a change', async () => {
    await start();
    const body = `{"reason":"${'x'.repeat(600)}"}`;
    const head = `POST /api/v1/services/web/endpoints/a/drain HTTP/1.1\r\nHost: localhost\r\n`;
    const post = `${head}Content-Length: ${body.length}\r\n\r\n${body}`;
    const socket = await client(`${post}${get('/healthz')}${post}${get('/readyz')}`);
    let text = '';
    socket.setEncoding('latin1').on('data', (part: string) => {
      text += part;
    });
    socket.resume();
    await expect.poll(() => text.match(/HTTP\/1\.1 \d+/g)?.length, PATIENT).toBe(4);
    const [first, second, third, fourth] = text.match(/HTTP\/1\.1 \d+/g) ?? [];
    expect([second, fourth]).toEqual(['HTTP/1.1 200', 'HTTP/1.1 200']);
    expect(third).toBe(first);
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

  it('are free at once when they are lost; those who had them are closed at a pace', async () => {
    await start({ places: { places: 20, reserved: 1 } });
    const lost = await Promise.all(Array.from({ length: 20 }, () => client()));
    let closedCount = 0;
    for (const one of lost) {
      one.resume().once('close', () => {
        closedCount += 1;
      });
    }
    const begunMs = performance.now();
    const taken = await Promise.all(Array.from({ length: 20 }, () => client(get('/healthz'))));
    for (const one of taken) await new Promise((done) => one.once('data', done).resume());
    await Promise.all(lost.map(closed));
    expect(closedCount).toBe(20);
    // The first at once, and the others after five milliseconds each.
    expect(performance.now() - begunMs).toBeGreaterThan(19 * 5 - 1);
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
