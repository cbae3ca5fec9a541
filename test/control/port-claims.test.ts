import { describe, expect, it } from 'vitest';
import { PortClaims } from '../../src/control/port-claims.ts';
import { formatListen, parseListen } from '../../src/model/listener.ts';
import { ManualClock } from '../support/clock.ts';

const turn = () => new Promise((resolve) => setImmediate(resolve));

function make() {
  const clock = new ManualClock();
  const holders = new Map<string, string>();
  const probed: string[] = [];
  let changes = 0;
  const claims = new PortClaims({
    clock,
    probe: (address) => {
      probed.push(formatListen(address));
      return Promise.resolve(holders.get(formatListen(address)) ?? '');
    },
    onChange: () => {
      changes += 1;
    },
  });
  const holderOf = (key: string) => claims.holderOf({ key, address: parseListen(key)! });
  return { clock, holders, probed, claims, holderOf, changes: () => changes };
}

describe('an address', () => {
  it('is not known at first, and then free, looked at once', async () => {
    const { holderOf, claims, probed, changes, clock } = make();
    expect(holderOf(':80')).toBeNull();
    expect(claims.isPending).toBe(true);
    await turn();
    expect(holderOf(':80')).toBe('');
    expect(claims.isPending).toBe(false);
    expect([probed, changes(), clock.waiting]).toEqual([[':80'], 1, 0]);
  });

  it('that is taken is looked at again until it is free', async () => {
    const { holderOf, holders, clock, changes } = make();
    holders.set(':80', 'another process');
    holderOf(':80');
    await turn();
    expect(holderOf(':80')).toBe('another process');
    holders.delete(':80');
    clock.advance(1000);
    await turn();
    expect(holderOf(':80')).toBe('');
    expect(changes()).toBe(2);
  });

  it('is looked at anew when it was not wanted in between, or could not be opened', async () => {
    const { holderOf, holders, claims, clock } = make();
    holderOf(':80');
    await turn();
    claims.keepOnly(new Set());
    expect(holderOf(':80')).toBeNull();
    await turn();
    holders.set(':80', 'another process');
    claims.doubt(':80');
    expect(holderOf(':80')).toBe('');
    clock.advance(1000);
    await turn();
    expect(holderOf(':80')).toBe('another process');
    claims.close();
    expect(clock.waiting).toBe(0);
  });

  it('of a thousand others is looked at in turn, and few plans are made of it', async () => {
    const { holderOf, clock, changes, probed } = make();
    for (let port = 1000; port < 2000; port += 1) holderOf(`:${port}`);
    for (let i = 0; i < 200; i += 1) await turn();
    clock.advance(5);
    expect(probed).toHaveLength(1000);
    expect(changes()).toBeLessThan(30);
    expect(holderOf(':1999')).toBe('');
  });
});
