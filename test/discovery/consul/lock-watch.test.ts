// Who holds a lock, where the agent does not always answer.
import { afterEach, describe, expect, it } from 'vitest';
import { LockWatch } from '../../../src/discovery/consul/lock-watch.ts';
import { consulDoors, consulSettings, keepingLogger } from '../../support/discovery.ts';
import { fastClock } from '../../support/fast-clock.ts';
import { type Asked, type Scripted, startScriptedAgent } from '../../support/scripted-agent.ts';

const ends: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

const key = (value: string, session: string) => [
  { Key: 'db', Value: Buffer.from(value).toString('base64'), Session: session },
];

/** Follows the lock; keeps what is said of its holder. */
async function follow(answer: (asked: Asked, n: number) => Scripted | null, factor = 50) {
  const agent = await startScriptedAgent(answer);
  const holders: (readonly string[])[] = [];
  const { log, lines } = keepingLogger();
  const watch = new LockWatch({
    ...{ key: 'db', settings: consulSettings(agent.url), clock: fastClock(factor), log },
    ...{ random: () => 0.5, open: consulDoors.open },
    onHolder: (names) => holders.push(names),
  });
  ends.push(() => agent.stop());
  ends.push(() => watch.stop());
  watch.start();
  return { agent, holders, lines };
}

const isOfSession = ({ path }: Asked) => path.startsWith('/v1/session/info/');

describe('the holder of a lock', () => {
  it('is asked for again where its session can not be read at once', async () => {
    let asked = 0;
    const { holders, lines } = await follow((question) => {
      if (!isOfSession(question)) {
        return question.query.has('index') ? null : { index: 7, body: key('', 's-1') };
      }
      asked += 1;
      return asked < 4 ? { status: 500, body: 'no' } : { index: 7, body: [{ Node: 'n1' }] };
      // An answer has a second then: each is to be in time.
    }, 5);
    await expect.poll(() => holders.at(-1)).toEqual(['n1']);
    expect(asked).toBe(4);
    // Meanwhile it is held, by whom is not known.
    expect(holders.slice(0, -1).every((names) => names.join() === 's-1')).toBe(true);
    // That is logged once.
    expect(lines.filter(({ level }) => level === 'warn')).toHaveLength(1);
  });

  it('is its value alone while its session can not be read', async () => {
    const { holders } = await follow((question) => {
      if (isOfSession(question)) return { status: 500, body: 'no' };
      return question.query.has('index') ? null : { index: 7, body: key('db-2', 's-1') };
    });
    await expect.poll(() => holders.length).toBeGreaterThan(1);
    expect(holders.every((names) => names.join() === 'db-2')).toBe(true);
  });

  it('is not asked for any more when another one has it', async () => {
    let isOther = false;
    const of = new Map<string, number>();
    const { holders } = await follow((question) => {
      if (!isOfSession(question)) {
        if (!question.query.has('index')) return { index: 7, body: key('', 's-1') };
        return isOther ? null : { index: 8, body: key('', 's-2') };
      }
      const session = question.path.split('/').at(-1)!;
      of.set(session, (of.get(session) ?? 0) + 1);
      if (session === 's-1') return { status: 500, body: 'no' };
      isOther = true;
      return { index: 8, body: [{ Node: 'n2' }] };
    });
    await expect.poll(() => holders.at(-1)).toEqual(['n2']);
    const before = of.get('s-1');
    await new Promise((resolve) => fastClock(50).setTimer(20_000, () => resolve(null)));
    expect(of.get('s-1')).toBe(before);
    expect(holders.at(-1)).toEqual(['n2']);
  });
});
