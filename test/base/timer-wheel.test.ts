import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TimerEntry, TimerWheel } from '../../src/base/timer-wheel.ts';

const TICK_MS = 25;

/** A wheel whose time is turned by hand; it ticks as its own interval would. */
function makeWheel(startMs = 0) {
  let nowMs = startMs;
  let lastTickMs = startMs;
  const wheel = new TimerWheel(() => nowMs);
  const advance = (ms: number): void => {
    const end = nowMs + ms;
    while (lastTickMs + TICK_MS <= end) {
      lastTickMs += TICK_MS;
      nowMs = lastTickMs;
      wheel.tick();
    }
    nowMs = end;
  };
  return { wheel, advance, now: () => nowMs };
}

function makeEntry(onTimer: () => void): TimerEntry {
  return new TimerEntry({ onTimer });
}

describe('TimerWheel', () => {
  it('fires once, never early and at most two ticks late, wherever the ticks lie', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 1000 }),
        fc.array(fc.record({ wait: fc.nat(60), delay: fc.nat(40_000) }), { maxLength: 20 }),
        (startMs, timers) => {
          const { wheel, advance, now } = makeWheel(startMs);
          const fired: { delay: number; took: number }[] = [];
          for (const { wait, delay } of timers) {
            advance(wait);
            const setMs = now();
            const entry = makeEntry(() => fired.push({ delay, took: now() - setMs }));
            wheel.schedule(entry, delay);
          }
          advance(41_000);
          expect(fired).toHaveLength(timers.length);
          for (const { delay, took } of fired) {
            expect(took).toBeGreaterThanOrEqual(delay);
            expect(took).toBeLessThanOrEqual(delay + 2 * TICK_MS);
          }
        },
      ),
      { seed: 1 },
    );
  });

  it('takes the last setting, later or earlier', () => {
    const { wheel, advance, now } = makeWheel();
    const fired: number[] = [];
    const entry = makeEntry(() => fired.push(now()));
    wheel.schedule(entry, 1000);
    advance(500);
    wheel.schedule(entry, 1000);
    advance(600);
    expect(fired).toEqual([]);
    wheel.schedule(entry, 100);
    advance(150);
    expect(fired).toHaveLength(1);
    advance(60_000);
    expect(fired).toHaveLength(1);
  });

  it('forgets what is cancelled or removed, and takes it again', () => {
    const { wheel, advance } = makeWheel();
    let count = 0;
    const entry = makeEntry(() => {
      count += 1;
    });
    for (const stop of ['cancel', 'remove'] as const) {
      wheel.schedule(entry, 100);
      advance(50);
      wheel[stop](entry);
      advance(500);
      expect(count).toBe(0);
    }
    wheel.schedule(entry, 100);
    wheel.cancel(entry);
    wheel.schedule(entry, 200);
    advance(300);
    expect(count).toBe(1);
  });

  it('lets what fires remove, cancel and set others, in the same slot too', () => {
    const { wheel, advance } = makeWheel();
    const fired: string[] = [];
    const removed = makeEntry(() => fired.push('removed'));
    const cancelled = makeEntry(() => fired.push('cancelled'));
    const moved = makeEntry(() => fired.push('moved'));
    const first = makeEntry(() => {
      fired.push('first');
      wheel.remove(removed);
      wheel.cancel(cancelled);
      wheel.schedule(moved, 1000);
    });
    for (const entry of [first, removed, cancelled, moved]) wheel.schedule(entry, 10);
    advance(100);
    expect(fired).toEqual(['first']);
    advance(1000);
    expect(fired).toEqual(['first', 'moved']);
  });

  it('lets an owner set its own timer again while it fires', () => {
    const { wheel, advance, now } = makeWheel();
    const fired: number[] = [];
    const entry: TimerEntry = makeEntry(() => {
      fired.push(now());
      if (fired.length < 3) wheel.schedule(entry, 0);
    });
    wheel.schedule(entry, 0);
    advance(500);
    expect(fired).toHaveLength(3);
    expect(new Set(fired).size).toBe(3);
  });

  it('fires nothing that bytes put off which arrived while the thread stood still', () => {
    let nowMs = 0;
    const wheel = new TimerWheel(() => nowMs);
    const turns: (() => void)[] = [];
    let tick = (): void => {};
    wheel.start({
      setTicker: (_, run) => {
        tick = run;
        return { cancel() {} };
      },
      nextTurn: (run) => void turns.push(run),
    });
    const fired: string[] = [];
    const answered = makeEntry(() => fired.push('answered'));
    const silent = makeEntry(() => fired.push('silent'));
    wheel.schedule(answered, 1000);
    wheel.schedule(silent, 1000);
    nowMs = 5000;
    tick();
    // A turn of the loop: timers, what was to be read, and only then what has run out.
    expect(fired).toEqual([]);
    wheel.schedule(answered, 1000);
    for (const run of turns.splice(0)) run();
    expect(fired).toEqual(['silent']);
    nowMs = 5900;
    tick();
    for (const run of turns.splice(0)) run();
    expect(fired).toEqual(['silent']);
    nowMs = 6100;
    tick();
    for (const run of turns.splice(0)) run();
    expect(fired).toEqual(['silent', 'answered']);
    tick();
    wheel.stop();
    wheel.schedule(silent, 0);
    nowMs = 7000;
    for (const run of turns.splice(0)) run();
    expect(fired).toHaveLength(2);
  });

  it('misses nothing when the thread stood still for long', () => {
    let nowMs = 0;
    const wheel = new TimerWheel(() => nowMs);
    let count = 0;
    for (let delay = 0; delay < 30_000; delay += 500) {
      wheel.schedule(
        makeEntry(() => {
          count += 1;
        }),
        delay,
      );
    }
    nowMs = 60_000;
    wheel.tick();
    // What lies beyond one turn of the wheel is found from the slot where it waits.
    nowMs += 512 * TICK_MS;
    wheel.tick();
    expect(count).toBe(60);
  });

  it('fires thousands that are due at once in many turns, each once', () => {
    let nowMs = 0;
    const turns: (() => void)[] = [];
    let tick = (): void => {};
    const wheel = new TimerWheel(() => nowMs);
    wheel.start({
      setTicker: (_, run) => {
        tick = run;
        return { cancel() {} };
      },
      nextTurn: (run) => void turns.push(run),
    });
    const fired: number[] = [];
    const entries = Array.from({ length: 1000 }, (_, i) => makeEntry(() => void fired.push(i)));
    for (const entry of entries) wheel.schedule(entry, 100);
    nowMs = 200;
    tick();
    const counts: number[] = [];
    // One turn of the thread: what it adds comes in the next one.
    const turn = (): void => {
      const before = fired.length;
      for (const run of turns.splice(0)) run();
      counts.push(fired.length - before);
    };
    turn();
    // Meanwhile one is removed, one is set anew, and the wheel ticks again.
    wheel.remove(entries[500]!);
    wheel.schedule(entries[501]!, 1000);
    nowMs += 25;
    tick();
    while (turns.length > 0) turn();
    expect(Math.max(...counts)).toBeLessThanOrEqual(128);
    expect(counts.length).toBeGreaterThan(10);
    expect(new Set(fired).size).toBe(fired.length);
    expect(fired.length).toBe(998);
    nowMs += 1100;
    tick();
    while (turns.length > 0) turn();
    expect(fired.length).toBe(999);
    expect(fired.at(-1)).toBe(501);
  });
});
