import { type IncomingMessage, request } from 'node:http';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type StatsPort, startStatsPort } from '../support/stats-port.ts';

let port: StatsPort;
beforeEach(async () => {
  port = await startStatsPort();
});
afterEach(() => port.close());

interface Stream {
  readonly status: number;
  readonly response: IncomingMessage;
  text: string;
  isEnded: boolean;
  close(): void;
}

async function open(
  headers: Record<string, string> = {},
  { localAddress = '127.0.0.1', path = '/api/v1/events' } = {},
): Promise<Stream> {
  const sent = request(`${port.url}${path}`, { headers, localAddress, agent: false });
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    sent.once('response', resolve).once('error', reject).end();
  });
  const stream: Stream = {
    ...{ status: response.statusCode ?? 0, response, text: '', isEnded: false },
    close: () => void sent.destroy(),
  };
  response.setEncoding('utf8').on('data', (part: string) => {
    stream.text += part;
  });
  const end = (): void => {
    stream.isEnded = true;
  };
  sent.on('error', end);
  response.on('error', end).on('close', end);
  return stream;
}

function happens(endpoint: string): void {
  port.events.add({
    ...{ atMs: 1, service: 'web', endpoint, from: 'up', to: 'down', reason: 'a\nb' },
    cause: { kind: 'check', text: 'check' },
  });
}

/** Ids and endpoints of what has come, in order. */
function came({ text }: Stream): string[] {
  return text
    .split('\n\n')
    .map((block) => /^id: (\d+)\ndata: (.+)$/.exec(block))
    .filter((match) => match !== null)
    .map(([, id, data]) => {
      const event = JSON.parse(data!) as { id: number; endpoint: string };
      expect(event.id).toBe(Number(id));
      return `${id} ${event.endpoint}`;
    });
}

describe('the stream of events', () => {
  it('tells each change as it happens, to everyone', async () => {
    happens('before');
    const streams = [await open(), await open()];
    for (const { response, status } of streams) {
      expect(status).toBe(200);
      expect(response.headers['content-type']).toMatch(/^text\/event-stream/);
      expect(response.headers['cache-control']).toBe('no-store');
    }
    happens('one');
    happens('two');
    for (const stream of streams) {
      await expect.poll(() => came(stream)).toEqual(['2 one', '3 two']);
      expect(stream.text).toMatch(/^retry: \d+\n\n/);
    }
  });

  it('begins after Last-Event-ID, and with what was missed', async () => {
    for (const endpoint of ['one', 'two', 'three']) happens(endpoint);
    const stream = await open({ 'last-event-id': '1' });
    happens('four');
    await expect.poll(() => came(stream)).toEqual(['2 two', '3 three', '4 four']);
    const all = await open({ 'last-event-id': '0' });
    await expect.poll(() => came(all)).toHaveLength(4);
  });

  it('takes a Last-Event-ID that is no number for none', async () => {
    happens('one');
    const stream = await open({ 'last-event-id': 'abc' });
    happens('two');
    await expect.poll(() => came(stream)).toEqual(['2 two']);
  });

  it('tells everything again to a client of a process before this one', async () => {
    for (const endpoint of ['one', 'two']) happens(endpoint);
    const stream = await open({ 'last-event-id': '977' });
    await expect.poll(() => came(stream)).toEqual(['1 one', '2 two']);
  });

  it('is refused when a hundred are open, until one closes', async () => {
    const streams = await Promise.all(Array.from({ length: 100 }, () => open()));
    expect(streams.every(({ status }) => status === 200)).toBe(true);
    expect((await open()).status).toBe(503);
    streams[0]!.close();
    const statusOfOneMore = async () => (await open()).status;
    await expect.poll(statusOfOneMore).toBe(200);
  });

  it.each(['/api/v1/events', '/stats/live'])(
    '%s is open to another address, when one has a hundred',
    async (path) => {
      const greedy = await Promise.all(
        Array.from({ length: 100 }, () => open({}, { localAddress: '127.0.0.2', path })),
      );
      const open3 = () => open({}, { localAddress: '127.0.0.3', path });
      const others = [await open3(), await open3()];
      expect(others.map(({ status }) => status)).toEqual([200, 200]);
      // The oldest have yielded; one address does not make room for itself.
      await expect.poll(() => greedy.filter(({ isEnded }) => isEnded).length).toBe(2);
      expect((await open({}, { localAddress: '127.0.0.2', path })).status).toBe(503);
      expect(others.some(({ isEnded }) => isEnded)).toBe(false);
    },
  );

  it('ends when the port closes', async () => {
    const stream = await open();
    await port.close();
    await expect.poll(() => stream.isEnded).toBe(true);
    port = await startStatsPort();
  });
});
