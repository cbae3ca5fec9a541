import { afterEach, describe, expect, it } from 'vitest';
import { silentLogger } from '../../../src/base/log.ts';
import { KvWatch } from '../../../src/discovery/consul/kv-watch.ts';
import { consulDoors, consulSettings } from '../../support/discovery.ts';
import { fastClock } from '../../support/fast-clock.ts';
import { type Scripted, startScriptedAgent } from '../../support/scripted-agent.ts';

const ends: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

const value = (text: string | null) => [
  { Key: 'upriver/config', Value: text === null ? null : Buffer.from(text).toString('base64') },
];
const missing = (index: number): Scripted => ({ status: 404, index, body: '' });

/** Watches until the script is at its end; resolves with the values that were told. */
async function watch(script: readonly Scripted[]): Promise<(string | null)[]> {
  const agent = await startScriptedAgent((_, n) => script[n] ?? null);
  const values: (string | null)[] = [];
  const kv = new KvWatch({
    open: consulDoors.open,
    settings: consulSettings(agent.url),
    clock: fastClock(50),
    random: () => 0.5,
    log: silentLogger,
    onValue: (text) => values.push(text),
  });
  ends.push(() => agent.stop());
  ends.push(() => kv.stop());
  kv.start();
  await agent.askedTimes(script.length + 1);
  expect(agent.asked[0]!.path).toBe('/v1/kv/upriver/config');
  return values;
}

describe('a watched key', () => {
  it('tells each other value once', async () => {
    const script = [
      { index: 5, body: value('a: 1\nü') },
      { index: 6, body: value('a: 1\nü') },
      { index: 7, body: value('a: 2') },
    ];
    expect(await watch(script)).toEqual(['a: 1\nü', 'a: 2']);
  });

  it('that is missing is nothing to tell, until it is there and goes', async () => {
    const script = [missing(1), { index: 6, body: value('x') }, missing(9)];
    expect(await watch(script)).toEqual(['x', null]);
  });

  it('without a value is an empty text', async () => {
    expect(await watch([{ index: 5, body: value(null) }])).toEqual(['']);
  });

  it('stays while the registry is away or came back empty, and goes when that lasts', async () => {
    const failed: Scripted = { status: 500, index: 1, body: 'No cluster leader' };
    const start = { index: 50, body: value('x') };
    expect(await watch([start, failed, missing(3)])).toEqual(['x']);
    expect(await watch([start, missing(3), missing(3)])).toEqual(['x']);
    expect(await watch([start, failed, missing(3), missing(4)])).toEqual(['x', null]);
  });
});
