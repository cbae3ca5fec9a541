import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Slots } from '../../src/control/slots.ts';

describe('Slots', () => {
  it('gives a slot again only when every worker is past its owner and nothing is in flight', () => {
    const busy = new Set<number>();
    const cleared: number[] = [];
    const slots = new Slots({
      capacity: 1,
      isIdle: (slot) => !busy.has(slot),
      clear: (slot) => cleared.push(slot),
    });
    expect(slots.room).toBe(1);
    expect(slots.take()).toBe(0);
    expect(slots.room).toBe(0);
    expect(slots.take()).toBeNull();
    busy.add(0);
    slots.leave(0, 7);
    slots.applied(6);
    expect(slots.take()).toBeNull();
    slots.applied(7);
    expect(slots.take()).toBeNull();
    busy.delete(0);
    slots.applied(8);
    expect(cleared).toEqual([0]);
    expect(slots.take()).toBe(0);
  });

  it('never gives one slot to two owners', () => {
    const step = fc.oneof(
      fc.constant({ kind: 'take' as const }),
      fc.record({ kind: fc.constant('leave' as const), which: fc.nat(20) }),
      fc.constant({ kind: 'applied' as const }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
        const owned: number[] = [];
        let version = 0;
        const slots = new Slots({ capacity: 8, isIdle: () => true, clear() {} });
        for (const one of steps) {
          if (one.kind === 'take') {
            const slot = slots.take();
            if (slot === null) continue;
            expect(owned).not.toContain(slot);
            expect(slot).toBeLessThan(8);
            owned.push(slot);
          } else if (one.kind === 'leave' && owned.length > 0) {
            version += 1;
            slots.leave(owned.splice(one.which % owned.length, 1)[0]!, version);
          } else {
            slots.applied(version);
          }
        }
      }),
    );
  });
});
