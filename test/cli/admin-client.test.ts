// What the commands print and send of names that could act in a terminal.
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { explain } from '../../src/cli/explain.ts';
import { operate } from '../../src/cli/operate.ts';
import { status } from '../../src/cli/status.ts';
import { looksHarmless } from '../support/hostile-names.ts';
import {
  makeEndpointView,
  makeServiceView,
  type StatsPort,
  startStatsPort,
} from '../support/stats-port.ts';

const HOSTILE = 'node/\u001b[2J\u202e$(id)\u009b1m';
let port: StatsPort;
let printed: string[];

beforeEach(async () => {
  port = await startStatsPort();
  port.services.push(makeServiceView('web', { endpoints: [makeEndpointView(HOSTILE)] }));
  printed = [];
  const print = (text: string): void => {
    printed.push(text);
  };
  vi.spyOn(console, 'log').mockImplementation(print);
  vi.spyOn(console, 'error').mockImplementation(print);
});
afterEach(async () => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
  await port.close();
});

const given = (words: string[], flags: Record<string, string | boolean> = {}) => ({
  ...{ words, flags: { stats: port.url, ...flags } },
});
const isHarmless = () => printed.join('\n').split('\n').every(looksHarmless);

it('--json prints the data as it is, escaped as JSON does it', async () => {
  expect(await explain(given(['web'], { json: true }))).toBe(0);
  const service = JSON.parse(printed.join('')) as { endpoints: { id: string }[] };
  expect(service.endpoints.map(({ id }) => id)).toEqual([HOSTILE]);
  expect(isHarmless()).toBe(true);

  printed = [];
  expect(await status(given([], { json: true }))).toBe(0);
  const { services } = JSON.parse(printed.join('')) as { services: (typeof service)[] };
  expect(services[0]!.endpoints[0]!.id).toBe(HOSTILE);
  expect(isHarmless()).toBe(true);
});

it('the tables hold nothing that acts', async () => {
  expect(await explain(given(['web']))).toBe(0);
  expect(await status(given([]))).toBe(0);
  expect(printed.join('\n')).toContain('$(id)');
  expect(isHarmless()).toBe(true);
});

it('a command names the endpoint as the instance knows it', async () => {
  expect(await operate('drain', given(['web', '10.0.0.1:80']))).toBe(0);
  expect(port.operated).toEqual([['web', HOSTILE, { kind: 'drain' }]]);
  expect(isHarmless()).toBe(true);

  expect(await operate('drain', given(['web', 'none']))).toBe(1);
  expect(printed.at(-1)).toMatch(/has no endpoint 'none'; it has:\n {2}node\//);
  expect(isHarmless()).toBe(true);
});

it('the token for reading reads, and is not sent with a change', async () => {
  await port.close();
  port = await startStatsPort({ access: { read: ['token'], readToken: 'r3ad' } });
  expect(await status(given([]))).toBe(1);
  vi.stubEnv('UPRIVER_READ_TOKEN', 'r3ad');
  expect(await status(given([]))).toBe(0);
});
