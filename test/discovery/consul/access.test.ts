// Questions about rights, to agents that never answer.
import { expect, it } from 'vitest';
import { reportMissingRights } from '../../../src/discovery/consul/access.ts';
import { ConsulClient } from '../../../src/discovery/consul/client.ts';
import type { OpenConsul } from '../../../src/discovery/consul/transport.ts';
import { ManualClock } from '../../support/clock.ts';
import { consulSettings, keepingLogger } from '../../support/discovery.ts';

it('leaves no timer behind when it is stopped between two tries', async () => {
  const clock = new ManualClock();
  const refuse: OpenConsul = () => ({
    to: () => ({ get: () => Promise.reject(new Error('refused')), recycle: () => {} }),
    isMultiplexed: () => false,
    close: () => Promise.resolve(),
  });
  const client = new ConsulClient(consulSettings('http://a'), clock, refuse);
  const stop = new AbortController();
  const { log, lines } = keepingLogger();
  const done = reportMissingRights(client, { log, clock, signal: stop.signal });
  await expect.poll(() => clock.waiting).toBe(1);
  stop.abort();
  await done;
  expect(clock.waiting).toBe(0);
  expect(lines).toEqual([]);
});
