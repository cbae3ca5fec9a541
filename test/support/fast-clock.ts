import { type Clock, systemClock } from '../../src/base/clock.ts';

/** A clock by which everything takes a `factor`-th of its time: a minute of waiting in a second. */
export function fastClock(factor: number): Clock {
  return {
    nowMs: () => systemClock.nowMs() * factor,
    wallMs: () => systemClock.wallMs(),
    setTimer: (delayMs, run) => systemClock.setTimer(delayMs / factor, run),
    nextTurn: (run) => systemClock.nextTurn(run),
  };
}
