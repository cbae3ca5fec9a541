import { describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { HostNames, resolveName } from '../../src/discovery/host-names.ts';

describe('names of this machine, by its own resolver', () => {
  it('localhost has a loopback address, once', async () => {
    const names = await settled('localhost');
    expect(['127.0.0.1', '::1']).toContain(names.addressesOf('localhost')![0]);
    expect(names.addressesOf('localhost')).toHaveLength(1);
    names.close();
  });

  it('a name that is none is an error, and has no address', async () => {
    const errors: string[] = [];
    const names = await settled('no-such-name.invalid', errors);
    expect(names.addressesOf('no-such-name.invalid')).toEqual([]);
    expect(errors).toHaveLength(1);
    names.close();
  });

  it.each(['10.0.0.1', '::1', '2001:db8::1'])('%s is its own address', (address) => {
    const names = new HostNames({
      ...{ clock: systemClock, resolve: resolveName },
      onChange() {},
      onError() {},
    });
    expect(names.addressesOf(address)).toEqual([address]);
    expect(names.isSettled).toBe(true);
  });
});

function settled(name: string, errors: string[] = []): Promise<HostNames> {
  return new Promise((resolve) => {
    const names = new HostNames({
      ...{ clock: systemClock, resolve: resolveName },
      onChange: () => resolve(names),
      onError: (_, why) => errors.push(why),
    });
    expect(names.addressesOf(name)).toBeNull();
    expect(names.isSettled).toBe(false);
  });
}
