// Whoever may write settings of a service writes thousands of them, of which each is wrong: judging them
// must not hold up the process.
import { expect, it } from 'vitest';
import { describeService } from '../../src/config/describe.ts';
import { FollowedService } from '../../src/discovery/etcd/followed-service.ts';
import { readRecord } from '../../src/discovery/key-record.ts';
import type { Update } from '../../src/discovery/provider.ts';
import { describeEntries, type Entry } from '../../src/discovery/self-description.ts';
import { targetSteps } from '../../src/discovery/target-groups.ts';
import { BOUNDS } from '../../src/model/bounds.ts';
import { plainSource } from '../../src/model/source.ts';
import { ManualClock } from '../support/clock.ts';
import { keepingLogger } from '../support/discovery.ts';
import { finish } from '../support/steps.ts';

const COUNT = 20_000;
const junk = (i: number) => `a${i}.${'x'.repeat(i % 40)}`;
const rules = { layout: 'backends', tagPrefix: 'upriver' } as const;

type Read = { readonly settings: unknown; readonly problems: readonly string[] };

const sources: Readonly<Record<string, () => Read>> = {
  'keys of etcd': () => {
    const updates: Update[] = [];
    const service = new FollowedService({
      ...{ provider: 'etcd', clock: new ManualClock(), log: keepingLogger().log },
      source: plainSource('etcd', 'web'),
      resolve: () => Promise.reject(new Error('none')),
      onUpdate: (update) => updates.push(update),
    });
    const leaves = Array.from({ length: COUNT }, (_, i) => `upriver.${junk(i)}`);
    const records = new Map(
      [...leaves, 'port'].map((leaf) => [
        leaf,
        { reading: readRecord(leaf, '8000', rules), created: 1 },
      ]),
    );
    const word = { doubt: '', change: '', receivedMs: 0 };
    service.takeRecords({ records, order: 1, mayDescribe: true }, word);
    service.close();
    const [update] = updates;
    if (update?.kind !== 'upsert') throw new Error('no update');
    const { settings, problems = [] } = update.service;
    return { settings, problems };
  },
  'labels of target groups': () => {
    const labels = Object.fromEntries(
      Array.from({ length: COUNT }, (_, i) => [`upriver.${junk(i)}`, 'x']),
    );
    const groups = [{ targets: [], labels: { 'upriver.listen': '8000', ...labels } }];
    const read = finish(targetSteps(groups, { service: 'web', tagPrefix: 'upriver' }));
    return read!.list.get('web')!;
  },
  'tags of instances': () => {
    const entries = Array.from({ length: COUNT / 50 }, (_, i): Entry => {
      const Tags = Array.from({ length: 50 }, (_, k) => `upriver.${junk(50 * i + k)}=x`);
      return { Service: { ID: `i${i}`, Tags: ['upriver.listen=8000', ...Tags] } };
    });
    return describeEntries(entries, { prefix: 'upriver' });
  },
};

it.each(Object.keys(sources))('%s are as many as a service can have', (name) => {
  const { settings, problems } = sources[name]!();
  expect(settings).toMatchObject({ listen: '8000' });
  // Those that a registry gives a service beside.
  expect(Object.keys(settings as object).length).toBeLessThan(BOUNDS.ownSettings.max + 6);
  expect(problems.join()).toContain('more than 64 settings');
  const before = process.threadCpuUsage().user;
  const { service } = describeService(plainSource('consul', 'web'), settings as never);
  expect((process.threadCpuUsage().user - before) / 1000).toBeLessThan(1000);
  expect(service).not.toBeNull();
});

it('a setting that is too long is left out', () => {
  const labels = { 'upriver.listen': '80', 'upriver.health.path': `/${'x'.repeat(2000)}` };
  const groups = [{ targets: [], labels }];
  const read = finish(targetSteps(groups, { service: 'web', tagPrefix: 'upriver' }));
  const { settings, problems } = read!.list.get('web')!;
  expect(settings).toEqual({ listen: '80' });
  // Bounds: ownSetting
  expect(problems.join()).toContain('longer than 1024 characters');
});

it('of thousands of values that instances disagree about a few are judged', () => {
  let judged = 0;
  const isGood = (): boolean => {
    judged += 1;
    return false;
  };
  const entries = Array.from({ length: 500 }, (_, i): Entry => {
    const Tags = Array.from({ length: 60 }, (_, k) => `upriver.k${k}=${i}`);
    return { Service: { ID: `i${i}`, Tags: ['upriver.listen=80', ...Tags] } };
  });
  expect(describeEntries(entries, { prefix: 'upriver', isGood }).settings?.listen).toBe('80');
  expect(judged).toBeLessThanOrEqual(64);
});
