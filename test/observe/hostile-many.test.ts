// Ten thousand endpoints whose names are hostile: nothing of a page acts, and none holds up the thread.
import { afterAll, beforeAll, expect, it } from 'vitest';
import { HOSTILE_NAMES, looksHarmless } from '../support/hostile-names.ts';
import {
  makeEndpointView,
  makeServiceView,
  type StatsPort,
  startStatsPort,
} from '../support/stats-port.ts';
import { watchTurns } from '../support/turn-times.ts';

const ENDPOINTS = 10_000;
const NAMES = Object.values(HOSTILE_NAMES).filter((name) => name.length < 1000);

let port: StatsPort;
beforeAll(async () => {
  port = await startStatsPort();
  const endpoints = Array.from({ length: ENDPOINTS }, (_, i) => {
    const name = NAMES[i % NAMES.length]!;
    const check = { isGood: false, text: name, durationMs: 1, atMs: 1 };
    return makeEndpointView(`${name}${i}`, { state: 'down', reason: name, check, address: name });
  });
  for (let i = 0; i < 10; i += 1) {
    const some = endpoints.slice(i * 1000, (i + 1) * 1000);
    port.services.push(makeServiceView(`${NAMES[i]}${i}`, { endpoints: some }));
  }
});
afterAll(() => port.close());

it.each(['/stats', '/metrics', '/api/v1/services'])(
  '%s is harmless, and made in turns',
  async (path) => {
    const turns = watchTurns();
    const { status, text } = await port.ask(path);
    turns.stop();
    expect(status).toBe(200);
    expect(turns.longest()).toBeLessThan(100);
    const wrong = text.split('\n').find((line) => !looksHarmless(line));
    expect(wrong?.slice(0, 300)).toBeUndefined();
    // Where endpoints are named, each of them is.
    if (/services/.test(path)) expect(text.split(/9999\b/).length).toBeGreaterThan(1);
  },
);
