// Commands that ask another program than Upriver, which has taken the stats port's address: they end
// with one line, in bounded memory, whatever it answers.
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { send } from '../../src/cli/admin-client.ts';
import { explain } from '../../src/cli/explain.ts';
import { operate } from '../../src/cli/operate.ts';
import { status } from '../../src/cli/status.ts';
import { looksHarmless } from '../support/hostile-names.ts';

let server: Server | null = null;
let printed: string[];

beforeEach(() => {
  printed = [];
  vi.spyOn(console, 'log').mockImplementation(() => {});
  vi.spyOn(console, 'error').mockImplementation((text: string) => void printed.push(text));
});
afterEach(() => {
  vi.restoreAllMocks();
  server?.closeAllConnections();
  server?.close();
});

async function listen(answer: RequestListener): Promise<number> {
  server = createServer(answer);
  await new Promise<void>((done) => server!.listen(0, '127.0.0.1', done));
  return (server.address() as AddressInfo).port;
}

const DATES = { ...{ listen: [], problems: [] }, endpoints: [{ id: 'x', since: 1e300 }] };
const ANSWERS: readonly (readonly [string, unknown])[] = [
  ['null', null],
  ['a number', 7],
  ['an empty map', {}],
  ['lists of null', [null]],
  ['lists in the place of texts', [{ listen: 7, problems: 7, endpoints: [[]] }]],
  ['a map in the place of an error', { error: { toString: 1 } }],
  ['a time beyond all calendars', DATES],
];

it.each(ANSWERS)('%s', async (_, answer) => {
  const isError = typeof answer === 'object' && answer !== null && 'error' in answer;
  const port = await listen((_request, response) => {
    response.writeHead(isError ? 500 : 200).end(JSON.stringify(answer));
  });
  const given = (...words: string[]) => ({ words, flags: { stats: `127.0.0.1:${port}` } });
  for (const run of [
    () => status(given()),
    () => explain(given('web')),
    () => operate('drain', given('web', 'y')),
  ]) {
    printed = [];
    expect(await run()).toBe(1);
    expect(printed).toHaveLength(1);
    expect(printed[0]).toMatch(/^upriver: /);
    expect(printed[0]!.split('\n').every(looksHarmless)).toBe(true);
  }
});

const instanceOf = (port: number) => ({
  ...{ place: { host: '127.0.0.1', port }, name: 'it', tls: 'off' as const },
  ...{ token: '', readToken: '' },
});

it('an answer without an end', async () => {
  const piece = Buffer.alloc(2 ** 20, ' ');
  const port = await listen((_request, response) => {
    const more = (): void => {
      while (!response.destroyed && response.write(piece));
    };
    response.on('drain', more);
    more();
  });
  const asked = send(instanceOf(port), { path: '/', timeoutMs: 60_000 });
  await expect(asked).rejects.toThrow('an answer of more than 256 MiB');
});

it('another protocol', async () => {
  const port = await listen(() => {});
  server!.removeAllListeners('request');
  server!.on('request', ({ socket }) => {
    socket.write('HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n');
  });
  const asked = send(instanceOf(port), { path: '/', timeoutMs: 60_000 });
  await expect(asked).rejects.toThrow('it changes to another protocol');
});
