// Much of a service gone at once, with a real agent: it is asked twice, and that takes no time.
import { afterEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { seededRandom } from '../../src/base/prng.ts';
import { ConsulProvider } from '../../src/discovery/consul/provider.ts';
import { hasConsul, startConsul } from '../support/consul.ts';
import {
  consulDoors,
  consulSettings,
  guardSettings,
  keepingLogger,
  source,
  startSynced,
} from '../support/discovery.ts';

const ends: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

describe.skipIf(!hasConsul).each([
  ['followed directly', 96],
  ['followed widely', 0],
] as const)('a service %s', (_, directMax) => {
  it('that leaves as a whole is gone after one more read', async () => {
    const consul = await startConsul();
    ends.push(() => consul.stop());
    const node = (Node: string, more: object) =>
      consul.put('/v1/catalog/register', { Node, Address: '10.0.0.5', ...more });
    const register = (ID: string) =>
      node('outside', { Service: { ID, Service: 'web', Port: 8000 } });
    for (const id of ['a', 'b', 'c']) await register(id);
    const { log, lines } = keepingLogger();
    const provider = new ConsulProvider({
      ...consulDoors,
      ...{ settings: consulSettings(consul.url), clock: systemClock, random: seededRandom(1), log },
      guard: guardSettings,
      directMax,
    });
    ends.push(() => provider.stop());
    provider.follow([source('web')]);
    const receiver = await startSynced(provider);
    expect(receiver.ids('web')).toHaveLength(3);

    await consul.put('/v1/catalog/deregister', { Node: 'outside' });
    const goneMs = performance.now();
    await receiver.until(() => receiver.ids('web').length === 0, 'all are gone');
    console.log(`gone after ${(performance.now() - goneMs).toFixed(1)} ms`);
    expect(receiver.last('web')!.service).toMatchObject({ doubt: '', isConfirmed: true });
    expect(provider.status().secondReads).toEqual({
      confirmed: 1,
      contradicted: 0,
      unconfirmed: 0,
    });
    expect(lines.filter(({ level }) => level === 'warn')).toEqual([]);
  });
});
