// One of four endpoints is frozen (the kernel accepts, nobody answers): when it stops getting new
// requests, and what becomes of those that wait for it.
import { afterEach, describe, expect, it } from 'vitest';
import { type EndpointProcess, startEndpoint } from '../support/endpoint.ts';
import { type LoadResult, startLoad } from '../support/load.ts';
import { freePorts } from '../support/ports.ts';
import { startUpriver, type UpriverProcess } from '../support/upriver.ts';

let upriver: UpriverProcess | null = null;
const endpoints: EndpointProcess[] = [];

afterEach(async () => {
  await upriver?.stop();
  upriver = null;
  await Promise.all(endpoints.splice(0).map((endpoint) => endpoint.kill()));
});

interface Outcome {
  readonly result: LoadResult;
  /** From the freeze until the log says that the endpoint is out, ms. */
  readonly outMs: number;
  /** Why, as the log has it. */
  readonly reason: unknown;
  /** Requests that the frozen endpoint got in a second after that was live. */
  readonly late: number;
}

/** Freezes one of four under load, with these settings of the service. */
async function freezeOne(settings: string): Promise<Outcome> {
  const names = ['one', 'two', 'three', 'four'];
  endpoints.push(...(await Promise.all(names.map((name) => startEndpoint(name)))));
  const victim = endpoints[0]!;
  const [port] = (await freePorts(1)) as [number];
  const addresses = endpoints.map((endpoint) => `127.0.0.1:${endpoint.port}`).join(',');
  const service = `web=127.0.0.1:${port},${settings}`;
  upriver = await startUpriver({ args: ['--static', `web=${addresses}`, '--service', service] });
  const id = `127.0.0.1:${victim.port}`;
  // Checks, where there are any, have looked at all four.
  await expect.poll(async () => (await figures()).every(({ state }) => state === 'up')).toBe(true);
  const load = startLoad({ url: `http://127.0.0.1:${port}/`, perSecond: 100, timeoutMs: 15_000 });
  await load.next(100);
  const frozenMs = Date.now();
  victim.freeze();
  const { reason, time } = await upriver.waitForLog(
    (line) =>
      line.endpoint === id &&
      line.from === 'up' &&
      (line.to === 'ejected' || line.to === 'down') &&
      Date.parse(String(line.time)) >= frozenMs,
    'the frozen endpoint is out',
  );
  // By the program's own clock: this process may see the line late.
  const outMs = Date.parse(String(time)) - frozenMs;
  // What was under way between the decision and its being live in the workers.
  const more = async (): Promise<number> => {
    const count = await attemptsOf(id);
    await load.next(10);
    return (await attemptsOf(id)) - count;
  };
  await expect.poll(more).toBe(0);
  const before = await attemptsOf(id);
  await load.next(100);
  const late = (await attemptsOf(id)) - before;
  const result = await load.stop();
  return { result, outMs, reason, late };
}

interface Figures {
  readonly id: string;
  readonly state: string;
  readonly requests: number;
}

async function figures(): Promise<readonly Figures[]> {
  const response = await fetch(`${upriver!.statsUrl}/api/v1/services/web`);
  return ((await response.json()) as { readonly endpoints: readonly Figures[] }).endpoints;
}

async function attemptsOf(id: string): Promise<number> {
  return (await figures()).find((one) => one.id === id)!.requests;
}

describe('a frozen endpoint', () => {
  it.each(['least-conn', 'round-robin'])(
    'gets nothing more after one response timeout, and no request is lost (%s)',
    async (balance) => {
      const outcome = await freezeOne(`balance=${balance},timeouts.response=4s`);
      expect(outcome.result.failures).toEqual([]);
      // On a slow machine several are under way when it answers for the last time: these are in a row first.
      expect(outcome.reason).toMatch(
        /^no answer to any request for a whole response timeout$|in a row \(response-timeout\)$/,
      );
      // And not after a second one.
      expect(outcome.outMs).toBeLessThan(8000);
      expect(outcome.late).toBe(0);
    },
  );

  it('is found by its check long before a response timeout of a minute', async () => {
    const check = 'health.path=/health,health.interval=1s,health.timeout=500ms';
    const outcome = await freezeOne(`balance=round-robin,${check}`);
    expect(outcome.result.failures).toEqual([]);
    expect(outcome.reason).toBe('check: no answer within 500ms');
    expect(outcome.outMs).toBeLessThan(20_000);
    expect(outcome.late).toBe(0);
  });
});
