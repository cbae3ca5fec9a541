// Which priority gets the traffic, over time.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Failover } from '../../src/control/failover.ts';

const policy = { afterMs: 0, returnAfterMs: 30_000 };

/** `working` by priority, 1 first; `spare` likewise. */
function tiers(working: readonly number[], spare: readonly number[] = []) {
  return new Map(working.map((count, i) => [i + 1, { working: count, spare: spare[i] ?? 0 }]));
}

function timeline(given = policy) {
  const failover = new Failover();
  let nowMs = 0;
  return (atMs: number, working: readonly number[], spare: readonly number[] = []) => {
    nowMs = atMs;
    return failover.review(tiers(working, spare), given, nowMs);
  };
}

describe('failover', () => {
  it('goes to the next priority at once, and back when the first has worked for long enough', () => {
    const at = timeline();
    expect(at(0, [2, 2]).active).toBe(1);
    expect(at(1000, [0, 2])).toEqual({ active: 2, inMs: Infinity });
    expect(at(5000, [1, 2])).toEqual({ active: 2, inMs: 30_000 });
    expect(at(20_000, [2, 2])).toEqual({ active: 2, inMs: 15_000 });
    expect(at(35_000, [2, 2])).toEqual({ active: 1, inMs: Infinity });
  });

  it('begins to wait anew each time the first priority fails again', () => {
    const at = timeline();
    at(0, [2, 2]);
    at(1000, [0, 2]);
    at(5000, [1, 2]);
    expect(at(34_000, [0, 2]).active).toBe(2);
    expect(at(34_500, [1, 2])).toEqual({ active: 2, inMs: 30_000 });
  });

  it('waits for nothing where the other fails too, or nothing ever failed', () => {
    const at = timeline();
    expect(at(0, [0, 2]).active, 'the first has yet to come').toBe(2);
    expect(at(100, [2, 2]).active).toBe(1);
    at(200, [0, 2]);
    at(300, [1, 2]);
    expect(at(400, [1, 0]).active).toBe(1);
  });

  it('does not hold a start against the first priority, which waited for its checks', () => {
    const at = timeline();
    expect(at(0, [0, 0]).active).toBe(1);
    expect(at(50, [0, 1]).active).toBe(2);
    expect(at(60, [1, 1]).active).toBe(1);
  });

  it('waits before it goes, where it is told to', () => {
    const at = timeline({ ...policy, afterMs: 5000 });
    at(0, [1, 1]);
    expect(at(1000, [0, 1])).toEqual({ active: 1, inMs: 5000 });
    expect(at(3000, [1, 1]).active).toBe(1);
    expect(at(4000, [0, 1])).toEqual({ active: 1, inMs: 5000 });
    expect(at(9000, [0, 1]).active).toBe(2);
  });

  it('stays where nothing works, and prefers what a panic can use', () => {
    const at = timeline();
    at(0, [1, 1]);
    expect(at(1, [0, 0], [1, 1]).active).toBe(1);
    expect(timeline()(0, [0, 0], [0, 1]).active).toBe(2);
    expect(timeline()(0, [0, 0]).active).toBe(1);
    expect(timeline()(0, []).active).toBe(1);
  });

  it('goes through the priorities in their order', () => {
    const at = timeline();
    at(0, [1, 1, 1]);
    expect(at(1, [0, 0, 1]).active).toBe(3);
    expect(at(2, [0, 1, 1]).active, 'the second did not fail while it was in use').toBe(2);
    expect(at(3, [1, 1, 1])).toEqual({ active: 2, inMs: 30_000 });
    expect(at(30_003, [1, 1, 1]).active).toBe(1);
  });

  it('has what works, is never away from it for nothing, and comes to rest', () => {
    const step = fc.record({
      inMs: fc.integer({ min: 1, max: 40_000 }),
      working: fc.array(fc.integer({ min: 0, max: 1 }), { minLength: 3, maxLength: 3 }),
    });
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 30 }), (steps) => {
        const at = timeline();
        let nowMs = 0;
        let last = at(0, steps[0]!.working);
        /** Since when each works without a break; whether it had failed when it was left. */
        const sinceMs = steps[0]!.working.map((count) => (count > 0 ? 0 : Infinity));
        const hasFailed = [false, false, false];
        let hasWorked = steps[0]!.working[last.active - 1]! > 0;
        for (const { inMs, working } of steps) {
          nowMs += inMs;
          for (const [i, count] of working.entries()) {
            if (count === 0) sinceMs[i] = Infinity;
            else if (sinceMs[i] === Infinity) sinceMs[i] = nowMs;
          }
          const wasWorking = working[last.active - 1]! > 0;
          const next = at(nowMs, working);
          if (working.some((count) => count > 0)) expect(working[next.active - 1]).toBe(1);
          else expect(next.active).toBe(last.active);
          // From one that works the traffic goes to a better one alone, after its time.
          if (wasWorking && next.active !== last.active) {
            expect(next.active).toBeLessThan(last.active);
            const worksForMs = nowMs - sinceMs[next.active - 1]!;
            if (hasFailed[next.active - 1])
              expect(worksForMs).toBeGreaterThanOrEqual(policy.returnAfterMs);
          }
          if (next.active !== last.active) {
            hasFailed[last.active - 1] ||= !wasWorking && hasWorked;
            hasFailed[next.active - 1] = false;
            hasWorked = false;
          }
          hasWorked ||= working[next.active - 1]! > 0;
          last = next;
        }
        // With no more news it ends at the best that works.
        const working = steps.at(-1)!.working;
        for (let i = 0; i < 4 && last.inMs !== Infinity; i += 1) {
          nowMs += last.inMs;
          last = at(nowMs, working);
        }
        const best = working.findIndex((count) => count > 0);
        if (best >= 0) expect(last).toEqual({ active: best + 1, inMs: Infinity });
      }),
    );
  });
});
