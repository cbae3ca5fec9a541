import { expect, it } from 'vitest';
import type { Update } from '../../src/discovery/provider.ts';
import { WarmTable } from '../../src/state/warm-table.ts';
import { ManualClock } from '../support/clock.ts';
import { source } from '../support/discovery.ts';

const own = source('own');

function table(): WarmTable {
  const sources = [{ source: own, settings: { listen: '8000' }, endpoints: [], order: 7 }];
  const state = { writtenMs: 1, fingerprints: {}, sources, checks: [] };
  return new WarmTable(state, new ManualClock());
}

const say = (listen: string, order?: number): Update => ({
  kind: 'upsert',
  provider: 'consul',
  service: {
    ...{ source: own, settings: { listen }, endpoints: [], doubt: '' },
    ...(order === undefined ? {} : { order }),
  },
  cause: { kind: 'registry', text: '' },
  receivedMs: 0,
});

it.each([
  ['was there before its instances were replaced', say('8000', 90), 7],
  ['is even older than the file says', say('8000', 5), 5],
  ['has no index any more', say('8000'), 7],
  ['wants another listener now', say('9000', 90), 90],
])('what %s comes as early as it did', (_, said, order) => {
  for (const isServed of [true, false]) {
    const warm = table();
    if (isServed) warm.serve([]);
    const passed = warm.pass(said);
    expect(passed.kind === 'upsert' && passed.service.order).toBe(order);
  }
});

it('is out of use once nobody asks for what is served from it', () => {
  const warm = table();
  warm.serve([]);
  warm.release([own]);
  expect(warm.inUse).toEqual(['own']);
  warm.release([source('other')]);
  expect(warm.inUse).toEqual([]);
  expect(warm.unspoken).toEqual([]);
});
