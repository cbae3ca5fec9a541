import { afterEach, describe, expect, it } from 'vitest';
import { KvWatch } from '../../../src/discovery/consul/kv-watch.ts';
import { consulDoors, consulSettings, keepingLogger } from '../../support/discovery.ts';
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
async function watch(
  script: readonly Scripted[],
  known: string | null = null,
): Promise<(string | null)[]> {
  return (await watched(script, known)).values;
}

async function watched(script: readonly Scripted[], known: string | null = null) {
  const agent = await startScriptedAgent((_, n) => script[n] ?? null);
  const values: (string | null)[] = [];
  const { log, lines } = keepingLogger();
  const kv = new KvWatch({
    open: consulDoors.open,
    settings: consulSettings(agent.url),
    clock: fastClock(50),
    random: () => 0.5,
    log,
    known,
    onValue: (text) => values.push(text),
  });
  ends.push(() => agent.stop());
  ends.push(() => kv.stop());
  kv.start();
  await agent.askedTimes(script.length + 1);
  expect(agent.asked[0]!.path).toBe('/v1/kv/upriver/config');
  return { values, kv, lines };
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

  it('that is in force and missing where it is looked for now is taken back', async () => {
    expect(await watch([missing(1)], 'x')).toEqual([null]);
    expect(await watch([{ index: 5, body: value('x') }], 'x')).toEqual([]);
    expect(await watch([{ index: 5, body: value('y') }], 'x')).toEqual(['y']);
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

  it('that may not be read is an error of a registry, said once', async () => {
    const denied: Scripted = { status: 403, index: 1, body: 'Permission denied' };
    const { kv, lines } = await watched([denied, denied]);
    expect(kv.status()).toMatchObject({
      name: 'consul-kv',
      isSynced: false,
      errors: 2,
      lastError: 'key upriver/config: answered 403: Permission denied',
    });
    const warnings = lines.filter(({ level }) => level === 'warn');
    expect(warnings).toMatchObject([{ fields: { registry: 'consul-kv', code: 'http-403' } }]);
  });

  it('that can be read again is no error any more', async () => {
    const denied: Scripted = { status: 403, index: 1, body: 'Permission denied' };
    const { kv } = await watched([denied, { index: 5, body: value('x') }]);
    expect(kv.status()).toMatchObject({ isSynced: true, errors: 1, lastError: '' });
  });
});
