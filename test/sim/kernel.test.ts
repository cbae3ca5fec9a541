import { describe, expect, it } from 'vitest';
import { Chance } from '../../sim/kernel/chance.ts';
import { Fifo } from '../../sim/kernel/fifo.ts';
import { Kernel } from '../../sim/kernel/kernel.ts';
import { noTrace } from '../../sim/kernel/trace.ts';

describe('the kernel', () => {
  it('runs events by time, and those of one moment in their order', async () => {
    const kernel = new Kernel(1);
    const seen: string[] = [];
    kernel.after(5, () => seen.push('c'));
    kernel.after(1, () => seen.push('a'));
    kernel.after(5, () => seen.push('d'));
    kernel.after(3, () => seen.push('b'));
    kernel.after(2, () => seen.push('never')).cancel();
    expect(await kernel.run(100)).toBe('idle');
    expect(seen.join('')).toBe('abcd');
    expect(kernel.nowMs).toBe(5);
  });

  it.each(['microtasks', 'turns'] as const)(
    'runs ticks, then every promise, before the next event (%s)',
    async (settling) => {
      const kernel = new Kernel(1, noTrace, settling);
      const seen: string[] = [];
      const settled = Promise.resolve();
      kernel.after(1, () => {
        kernel.after(0, () => seen.push('event'));
        void settled
          .then(() => settled)
          .then(async () => {
            await settled;
            seen.push('promise');
            kernel.tick(() => seen.push('tick of a promise'));
          });
        kernel.tick(() => seen.push('tick'));
      });
      await kernel.run(100);
      expect(seen).toEqual(['tick', 'promise', 'tick of a promise', 'event']);
    },
  );

  it('leaves out ticks that find nothing to do, and none beside an event', async () => {
    const kernel = new Kernel(1);
    const seen: string[] = [];
    const see = (name: string) => (): void => void seen.push(`${name}${kernel.nowMs}`);
    // Something is to be done at 70 ms; the ticks around events come as well, so that the time is known.
    const ticker = kernel.every(10, see('a'), (fromMs, toMs) =>
      fromMs <= 70 && toMs > 70 ? 70 : toMs,
    );
    const other = kernel.every(10, see('b'), (_fromMs, toMs) => toMs);
    kernel.after(34, see('event '));
    kernel.after(35, see('event '));
    expect(await kernel.run(100)).toBe('time');
    expect(seen.join(', ')).toBe('a30, b30, event 34, event 35, a70, a100, b100');
    ticker.cancel();
    other.cancel();
    expect(await kernel.run(200)).toBe('idle');
  });

  it('stops at its time, and throws what an event throws', async () => {
    const kernel = new Kernel(1);
    const ticker = kernel.clock.setTicker(10, () => {});
    expect(await kernel.run(35)).toBe('time');
    expect([kernel.nowMs, kernel.eventCount]).toEqual([35, 3]);
    ticker.cancel();
    kernel.after(1, () => {
      throw new Error('broken');
    });
    await expect(kernel.run(100)).rejects.toThrow('broken');
  });
});

it('draws of one name do not depend on those of another', () => {
  const alone = new Chance(7, 'a');
  const beside = new Chance(7, 'a');
  const other = new Chance(7, 'b');
  const draws = Array.from({ length: 50 }, () => alone.next());
  const same = Array.from({ length: 50 }, () => [other.next(), beside.next()][1]!);
  expect(same).toEqual(draws);
});

it('a queue gives what it got, in order, also while more comes', () => {
  const queue = new Fifo<number>();
  const got: number[] = [];
  let next = 0;
  for (let round = 0; round < 50; round += 1) {
    for (let i = 0; i < round % 7; i += 1, next += 1) queue.push(next);
    if (round % 3 === 0) got.push(...queue.takeAll());
    else for (let i = 0; i < 4 && queue.size > 0; i += 1) got.push(queue.shift()!);
    expect(queue.peek()).toBe(queue.size === 0 ? undefined : got.length);
  }
  got.push(...queue.takeAll());
  expect(got).toEqual(Array.from({ length: next }, (_, i) => i));
  queue.push(1);
  queue.clear();
  expect([queue.size, queue.shift()]).toEqual([0, undefined]);
});
