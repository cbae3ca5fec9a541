// The rules of blocking queries, against an agent that does what no real one can be made to do.
// Time runs fifty times as fast, so that waits of a minute can be waited for.
import { afterEach, describe, expect, it } from 'vitest';
import type { Clock } from '../../../src/base/clock.ts';
import type { ConsulError } from '../../../src/discovery/consul/answer.ts';
import { BlockingQuery, type QueryAnswer } from '../../../src/discovery/consul/blocking-query.ts';
import { ConsulClient } from '../../../src/discovery/consul/client.ts';
import { listOf } from '../../../src/discovery/consul/translate.ts';
import { consulDoors, consulSettings, keepingLogger, untilTrue } from '../../support/discovery.ts';
import { fastClock } from '../../support/fast-clock.ts';
import {
  type Asked,
  type Scripted,
  type ScriptedAgent,
  startScriptedAgent,
} from '../../support/scripted-agent.ts';

const FACTOR = 20;
const ends: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

interface Run {
  readonly agent: ScriptedAgent;
  /** Each time that was set by its clock: pauses, and deadlines of questions. */
  readonly timersMs: number[];
  readonly answers: QueryAnswer<readonly object[]>[];
  readonly errors: ConsulError[];
  readonly log: ReturnType<typeof keepingLogger>['lines'];
}

/** Follows an agent that gives these answers in turn and hangs after the last. */
async function follow(
  script: readonly Scripted[] | ((asked: Asked, n: number) => Scripted | null),
  onAnswer: (answer: QueryAnswer<readonly object[]>) => boolean = () => true,
  factor = FACTOR,
): Promise<Run> {
  const answer = typeof script === 'function' ? script : (_: Asked, n: number) => script[n] ?? null;
  const agent = await startScriptedAgent(answer);
  const fast = fastClock(factor);
  const timersMs: number[] = [];
  const setTimer: Clock['setTimer'] = (delayMs, then) => {
    timersMs.push(delayMs);
    return fast.setTimer(delayMs, then);
  };
  const clock = { ...fast, setTimer };
  const client = new ConsulClient(consulSettings(agent.url), clock, consulDoors.open);
  const { log, lines } = keepingLogger();
  const run: Run = { agent, timersMs, answers: [], errors: [], log: lines };
  const query = new BlockingQuery({
    context: { client, clock, random: () => 0.5, log, waitMs: 60_000 },
    path: '/v1/health/service/web',
    query: {},
    decode: (body) => listOf(body),
    onAnswer: (one) => {
      run.answers.push(one);
      return onAnswer(one);
    },
    onError: (error) => run.errors.push(error),
  });
  ends.push(() => agent.stop());
  ends.push(() => client.close());
  ends.push(() => query.stop());
  query.start();
  return run;
}

/** The index of each question, '' where it had none. */
const indexes = (run: Run) => run.agent.asked.map(({ query }) => query.get('index') ?? '');
const doubts = (run: Run) => run.answers.map(({ doubt }) => doubt);

describe('the index', () => {
  it('is that of the last answer, with the wait', async () => {
    const run = await follow([{ index: 41 }, { index: 42 }], () => true, 1);
    await run.agent.askedTimes(3);
    expect(indexes(run)).toEqual(['', '41', '42']);
    expect(run.agent.asked[1]!.query.get('wait')).toBe('60000ms');
    expect(run.agent.asked[0]!.query.has('stale')).toBe(true);
    expect(run.answers.map(({ change }) => change)).toEqual(['index 41', 'index 41 -> 42']);
    expect(run.answers.map(({ isFresh }) => isFresh)).toEqual([true, false]);
    expect(doubts(run)).toEqual(['', '']);
  });

  it('is not used, nor the answer believed, when another connection broke meanwhile', async () => {
    let isBroken = false;
    const client = {
      address: 'a',
      breaksOf: () => (isBroken ? 1 : 0),
      onTokenChange: new Set(),
      getFrom: (_: string, { query }: { query: Record<string, string> }) => {
        asked.push(query.index ?? '');
        if (asked.length > 3) return new Promise(() => {});
        isBroken = asked.length === 2;
        const index = BigInt(40 + asked.length);
        return Promise.resolve({ index, body: [], doubt: '', receivedMs: 0, bodyBytes: 2 });
      },
    } as unknown as ConsulClient;
    const asked: string[] = [];
    const answers: QueryAnswer<readonly object[]>[] = [];
    const query = new BlockingQuery({
      context: {
        ...{ client, clock: fastClock(FACTOR), random: () => 0.5 },
        ...{ log: keepingLogger().log, waitMs: 60_000 },
      },
      ...{ path: '/v1/health/service/web', query: {}, onError: () => {} },
      decode: (body) => listOf(body),
      onAnswer: (one) => {
        answers.push(one);
        return true;
      },
    });
    ends.push(() => query.stop());
    query.start();
    await untilTrue(
      () => asked.length === 4,
      () => asked.join(),
    );
    expect(asked.slice(0, 3)).toEqual(['', '41', '']);
    const broke = 'first answer after an outage: a connection broke';
    expect(answers.slice(0, 2).map(({ doubt, isFresh }) => [doubt, isFresh])).toEqual([
      ['', true],
      [broke, true],
    ]);
  });

  it('survives beyond 2^53', async () => {
    const run = await follow([{ index: '18446744073709551615' }], () => true, 1);
    await run.agent.askedTimes(2);
    expect(indexes(run)).toEqual(['', '18446744073709551615']);
  });

  it('is never taken from an answer that is not 200', async () => {
    const run = await follow([{ index: 50 }, { status: 500, index: 1, body: 'no' }, { index: 60 }]);
    await run.agent.askedTimes(4);
    expect(indexes(run)).toEqual(['', '50', '', '60']);
    expect(run.errors.map(({ code }) => code)).toEqual(['http-500']);
  });

  it('starts anew when it goes backwards, and so long the answers are doubtful', async () => {
    const run = await follow([{ index: 50 }, { index: 40 }, { index: 40 }, { index: 41 }]);
    await run.agent.askedTimes(5);
    expect(indexes(run)).toEqual(['', '50', '', '40', '41']);
    expect(doubts(run)).toEqual([
      '',
      'index 50 -> 40 went backwards',
      'index 50 -> 40 went backwards',
      '',
    ]);
    expect(run.answers.map(({ isFresh }) => isFresh)).toEqual([true, true, true, false]);
  });

  it('is 1 where the agent says less, so that the next question waits', async () => {
    const run = await follow([{ index: 0 }, { index: 0 }, { index: 7 }]);
    await run.agent.askedTimes(4);
    expect(indexes(run)).toEqual(['', '1', '1', '7']);
    expect(run.errors).toEqual([]);
  });
});

describe('what is no answer', () => {
  it.each([
    ['an answer without index', { body: [] }, 'no-index'],
    ['a page', { index: 51, body: '<html>hello</html>' }, 'not-json'],
    ['JSON that is no list', { index: 51, body: { a: 1 } }, 'not-a-list'],
    ['null', { index: 51, body: null }, 'not-a-list'],
    [
      'a body that is cut',
      { index: 51, body: [{ a: 1 }, { b: 2 }], isCut: true },
      'UND_ERR_SOCKET',
    ],
    ['a refusal', { status: 403, index: 51, body: 'ACL not found' }, 'http-403'],
  ] as const)('%s is an error, not the end, and changes nothing', async (_, bad, code) => {
    const run = await follow([{ index: 50 }, bad, { index: 52 }, { index: 53 }]);
    await run.agent.askedTimes(5);
    expect(run.errors.map((error) => error.code)).toEqual([code]);
    expect(indexes(run)).toEqual(['', '50', '', '52', '53']);
    expect(run.answers).toHaveLength(3);
    expect(doubts(run)[1]).toContain('first answer after an outage');
    expect(doubts(run)[2]).toBe('');
  });

  it('is an agent that hangs: noticed after wait x 17/16 and some slack', async () => {
    const run = await follow([{ index: 50 }, { hangs: true }, { index: 51 }]);
    await run.agent.askedTimes(3);
    expect(run.errors.map(({ code }) => code)).toEqual(['timeout']);
    expect(indexes(run)).toEqual(['', '50', '']);
    const [, second, third] = run.agent.asked;
    const waitedMs = (third!.atMs - second!.atMs) * FACTOR;
    expect(waitedMs).toBeGreaterThan((60_000 * 17) / 16);
    // By the time that it was given: how late a busy machine notices says nothing.
    expect(Math.max(...run.timersMs)).toBeLessThan(90_000);
  });

  it('is a connection that is refused', async () => {
    const run = await follow([{ index: 50 }]);
    await run.agent.askedTimes(2);
    await run.agent.stop();
    await untilTrue(
      () => run.errors.length >= 3,
      () => 'errors',
    );
    expect(run.errors.map(({ code }) => code)).toContain('ECONNREFUSED');
  });

  it('when the receiver fails: that is logged, nothing is asked twice or skipped', async () => {
    const run = await follow([{ index: 50 }, { index: 51 }], ({ change }) => {
      if (change === 'index 50') throw new Error('mine');
      return true;
    });
    await run.agent.askedTimes(3);
    expect(indexes(run)).toEqual(['', '50', '51']);
    expect(run.errors).toEqual([]);
    expect(run.log.map(({ level, fields }) => [level, fields.error])).toEqual([['error', 'mine']]);
  });
});

describe('the pace', () => {
  /** ms between questions, by the clock that is faster. */
  const gaps = (run: Run) =>
    run.agent.asked.slice(1).map(({ atMs }, i) => (atMs - run.agent.asked[i]!.atMs) * FACTOR);

  const pausesOver = (run: Run, overMs: number) =>
    run.timersMs.filter((ms) => ms > overMs && ms <= 1000);

  it('obeys Retry-After', async () => {
    const run = await follow([{ status: 429, headers: { 'retry-after': '20' } }, { index: 7 }]);
    await run.agent.askedTimes(3);
    expect(gaps(run)[0]).toBeGreaterThan(19_800);
    expect(run.errors.map(({ code }) => code)).toEqual(['http-429']);
  });

  it('backs off further with each failure in a row', async () => {
    const run = await follow(() => ({ status: 500 }));
    await run.agent.askedTimes(8);
    const [first = 0, , , , , , seventh = 0] = gaps(run);
    // 125 ms and 8 s, but for what timers of whole milliseconds make of them.
    expect(first).toBeGreaterThan(50);
    expect(seventh).toBeGreaterThan(7500);
  });

  it('stays bounded when an agent wakes us for nothing, over and over', async () => {
    const beganMs = performance.now();
    const run = await follow(
      (_, n) => ({ index: n + 1 }),
      () => false,
    );
    // Without a bound these take a tenth of the time.
    await run.agent.askedTimes(50);
    const tookMs = (run.agent.asked[49]!.atMs - beganMs) * FACTOR;
    expect(50).toBeLessThanOrEqual(2 + (tookMs / 1000) * 5 + 1);
  });

  it('waits briefly after a pause: an agent may have been started anew meanwhile', async () => {
    const run = await follow(
      (_, n) => ({ index: n + 1 }),
      () => false,
      1,
    );
    await run.agent.askedTimes(5);
    const waits = run.agent.asked.map(({ query }) => query.get('wait'));
    expect(waits).toEqual([null, '60000ms', '1000ms', '1000ms', '1000ms']);
  });

  it('follows real changes at once, and faster', async () => {
    // In real time: at twenty times its speed a busy machine has saved up what it is to pause for.
    const changes = (_: Asked, n: number) => (n < 12 ? { index: n + 1 } : null);
    const run = await follow(changes, () => true, 1);
    await run.agent.askedTimes(10);
    // At the pace of useless answers there would be 200 ms between most of them.
    expect(pausesOver(run, 100)).toEqual([]);
  });

  it('follows large answers that change all the time by their size', async () => {
    const item = 'x'.repeat(1024);
    const body = (n: number) => Array.from({ length: 500 }, (_, i) => ({ Node: { n, i, item } }));
    const beganMs = performance.now();
    const run = await follow(
      (_, n) => ({ index: n + 1, body: body(n) }),
      () => true,
      1,
    );
    await run.agent.askedTimes(47);
    // 500 KiB each: 32 at once, as fast as 20 MiB a second allow, and meanwhile five a second.
    const seconds = (run.agent.asked[46]!.atMs - beganMs) / 1000;
    expect(47).toBeLessThanOrEqual(32 + seconds * 5 + 1);
  });

  it('follows a hundred changes of a small service without a pause', async () => {
    const item = 'x'.repeat(1200);
    const body = (n: number) => Array.from({ length: n }, (_, i) => ({ Node: { i, item } }));
    const run = await follow(
      (_, n) => (n < 100 ? { index: n + 1, body: body(n) } : null),
      () => true,
      1,
    );
    await run.agent.askedTimes(99);
    // Of 60 KiB each on average: by size alone twenty of them would wait 200 ms for the next.
    expect(pausesOver(run, 150)).toEqual([]);
  });
});

describe('the end', () => {
  it('is at once, and nothing is called after it', async () => {
    const agent = await startScriptedAgent((_, n) => (n === 0 ? { index: 5 } : null));
    const clock = fastClock(1);
    const client = new ConsulClient(consulSettings(agent.url), clock, consulDoors.open);
    const { log } = keepingLogger();
    let calls = 0;
    const query = new BlockingQuery({
      context: { client, clock, random: () => 0.5, log, waitMs: 60_000 },
      path: '/v1/health/service/web',
      query: {},
      decode: (body) => body,
      onAnswer: () => {
        calls += 1;
        return true;
      },
      onError: () => {
        calls += 1;
      },
    });
    query.start();
    await agent.askedTimes(2);
    query.stop();
    await client.close();
    await agent.stop();
    expect(calls).toBe(1);
  });
});

it('is not hurried by an index that falls again and again', async () => {
  // Each answer is another one, and what the index says is never to be relied upon.
  let n = 0;
  const { agent } = await follow(() => {
    n += 1;
    return { index: n % 2 === 0 ? 5 : 500, body: [{ n }] };
  });
  await agent.askedTimes(4);
  const from = { count: agent.asked.length, ms: performance.now() };
  await agent.askedTimes(from.count + 40);
  const seconds = ((performance.now() - from.ms) * FACTOR) / 1000;
  // 40 questions at 5 a second take 8 s, less what was saved up.
  expect(seconds).toBeGreaterThan(6);
});
