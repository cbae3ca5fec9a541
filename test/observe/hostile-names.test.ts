// The pages of the stats port with hostile names everywhere where a registry, an endpoint or a check
// can put one.
import { afterAll, beforeAll, expect, it } from 'vitest';
import { HOSTILE_NAMES, looksHarmless } from '../support/hostile-names.ts';
import {
  makeEndpointView,
  makeServiceView,
  type StatsPort,
  startStatsPort,
} from '../support/stats-port.ts';

let port: StatsPort;
beforeAll(async () => {
  port = await startStatsPort();
  for (const name of Object.values(HOSTILE_NAMES)) {
    const check = { isGood: false, text: name, durationMs: 1, atMs: 1 };
    const endpoint = makeEndpointView(name, { state: 'down', reason: name, check, address: name });
    port.services.push(makeServiceView(name, { endpoints: [endpoint], problems: [name] }));
    port.problems.push(name);
    const cause = { kind: 'registry', text: name } as const;
    const change = { service: name, endpoint: name, from: 'up', to: 'down', reason: name };
    port.events.add({ atMs: 1, cause, ...change });
  }
  const all = Object.values(HOSTILE_NAMES).join(' ');
  port.config = { error: all, loadedMs: 1 };
  port.live = { ok: false, reason: all };
  port.ready = { ready: false, reason: all };
  port.providers = [
    {
      name: all,
      isSynced: false,
      lastSyncMs: 0,
      errors: 1,
      lastError: all,
      address: all,
      watches: 1,
    },
  ];
});
afterAll(() => port.close());

it.each([
  ...['/healthz', '/readyz', '/stats', '/stats;csv', '/metrics'],
  ...['/api/v1/status', '/api/v1/services', '/api/v1/events?format=json', '/nothing\x1b[2J'],
])('%s holds nothing that acts where it is looked at', async (path) => {
  const { status, text, headers } = await port.ask(encodeURI(path));
  const expected = path.endsWith('z') ? 503 : path.startsWith('/nothing') ? 404 : 200;
  expect(status).toBe(expected);
  for (const line of text.split('\n')) expect(looksHarmless(line), line.slice(0, 300)).toBe(true);
  for (const value of Object.values(headers)) expect(looksHarmless(String(value))).toBe(true);
});

it('the CSV has a row for each, and no more', async () => {
  const { text } = await port.ask('/stats;csv');
  const count = Object.keys(HOSTILE_NAMES).length;
  expect(text.trimEnd().split('\n')).toHaveLength(1 + 3 * count);
});

it('the data of the API is what it was', async () => {
  const services = (await port.json('/api/v1/services')) as { name: string }[];
  // JSON knows no half of a pair: it is replaced where text becomes bytes.
  const names = Object.values(HOSTILE_NAMES).filter((name) => !name.includes('\ud800'));
  expect(services.map(({ name }) => name)).toEqual(expect.arrayContaining(names));
});

it.each(['/api/v1/events', '/stats/live'])('%s streams no event that was not one', async (path) => {
  const response = await fetch(port.url + path, { headers: { 'last-event-id': '0' } });
  const reader = response.body!.getReader();
  const decoder = new TextDecoder();
  let text = '';
  while (!text.includes(path.endsWith('live') ? 'event: cells' : `id: ${port.services.length}\n`)) {
    const { value, done } = await reader.read();
    if (done) break;
    text += decoder.decode(value, { stream: true });
  }
  await reader.cancel();
  for (const line of text.split('\n')) {
    expect(line).toMatch(/^(?:(?:id|data|event|retry): .*|: alive)?$/s);
    expect(looksHarmless(line)).toBe(true);
  }
});

it('a service called __proto__ is a name like any other', async () => {
  const response = await fetch(`${port.url}/stats/live`);
  const reader = response.body!.getReader();
  const decoder = new TextDecoder();
  let text = '';
  const until = async (mark: RegExp): Promise<void> => {
    while (!mark.test(text)) text += decoder.decode((await reader.read()).value, { stream: true });
  };
  await until(/event: cells/);
  const index = port.services.findIndex(({ service }) => service.name === '__proto__');
  const endpoints = [makeEndpointView('other', { state: 'up' })];
  port.services[index] = makeServiceView('__proto__', { endpoints });
  await until(/event: cells[\s\S]*event: cells/);
  await reader.cancel();
  expect(Object.keys(Object.prototype)).toEqual([]);
  expect(({} as Record<string, unknown>).up).toBeUndefined();
});
