import { expect, it } from 'vitest';
import { nodeDoors } from '../../src/doors.ts';
import { MemoryGuard } from '../../src/supervisor/memory-guard.ts';
import { ManualClock } from '../support/clock.ts';
import { keepingLogger } from '../support/discovery.ts';

it('tells once that memory is short, and once that there is enough, with room between', () => {
  const clock = new ManualClock();
  const { log, lines } = keepingLogger();
  const told: boolean[] = [];
  let [resident, max] = [0, 1000];
  const guard = new MemoryGuard({
    ...{ clock, log, max: () => max, resident: () => resident },
    onChange: (isShort) => told.push(isShort),
  });
  guard.start();
  const after = (bytes: number): boolean[] => {
    resident = bytes;
    clock.advance(500);
    return told;
  };
  expect(after(900)).toEqual([]);
  expect(after(901)).toEqual([true]);
  expect(after(999)).toEqual([true]);
  expect(after(801)).toEqual([true]);
  expect(guard.status).toEqual({ isShort: true, resident: 801, max: 1000 });
  expect(after(800)).toEqual([true, false]);
  expect(after(900)).toEqual([true, false]);
  // A reload may say otherwise.
  max = 950;
  expect(after(900)).toEqual([true, false, true]);
  expect(lines.map(({ message }) => message)).toEqual([
    expect.stringContaining('memory is short'),
    'memory is enough again',
    expect.stringContaining('memory is short'),
  ]);
  guard.stop();
  expect(after(0)).toEqual([true, false, true]);
});

it('goes by what container and machine allow where nothing is set', () => {
  const guard = new MemoryGuard({
    ...{ clock: new ManualClock(), log: keepingLogger().log, max: () => 0 },
    onChange: () => {},
    resident: nodeDoors.residentBytes,
  });
  const { max, resident } = guard.status;
  expect(resident).toBeGreaterThan(1024 * 1024);
  expect(max).toBeGreaterThan(resident);
});
