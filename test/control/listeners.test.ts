import { describe, expect, it } from 'vitest';
import { planListeners } from '../../src/control/listeners.ts';
import type { ListenAddress } from '../../src/model/listener.ts';
import { makeListener, makeService } from '../support/service.ts';

const at = (port: number, host = ''): ListenAddress => ({ kind: 'tcp', host, port });
const keys = (plan: ReturnType<typeof planListeners>) =>
  plan.listeners.map(({ key, service }) => `${key} ${service}`);

describe('an address that two want', () => {
  const a = makeService({ name: 'a', listen: [at(80)] });
  const b = makeService({ name: 'b', listen: [at(80), at(81)] });

  it('goes to the first, and the other is told', () => {
    const plan = planListeners([a, b], [], []);
    expect(keys(plan)).toEqual([':80 a', ':81 b']);
    expect([...plan.conflicts]).toEqual([['b', ['listener :80 is taken by service a']]]);
  });

  it('stays with the one that has it', () => {
    const plan = planListeners([a, b], [], [makeListener(b, at(80))]);
    expect(keys(plan)).toEqual([':80 b', ':81 b']);
    expect([...plan.conflicts]).toEqual([['a', ['listener :80 is taken by service b']]]);
  });

  it('goes to a router before any service', () => {
    const plan = planListeners([a], [{ listen: [at(80)], routes: [] }], []);
    expect(keys(plan)).toEqual([':80 ']);
    expect([...plan.conflicts]).toEqual([['a', ['listener :80 is taken by a router']]]);
  });
});

describe('the address of the stats port', () => {
  it.each([
    ['the same', at(1936, '10.0.0.1'), at(1936, '10.0.0.1'), true],
    ['every address', at(1936), at(1936, '10.0.0.1'), true],
    ['one of every address', at(1936, '10.0.0.1'), at(1936), true],
    ['another address', at(1936, '10.0.0.2'), at(1936, '10.0.0.1'), false],
    ['another port', at(1937), at(1936), false],
  ])('is not for a service: %s', (_, listen, stats, isTaken) => {
    const service = makeService({ name: 'a', listen: [listen] });
    const plan = planListeners([service], [], [], stats);
    expect(plan.listeners.length).toBe(isTaken ? 0 : 1);
    expect(plan.conflicts.has('a')).toBe(isTaken);
  });
});
