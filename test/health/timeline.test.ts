import { describe, expect, it } from 'vitest';
import { Timeline } from '../../src/health/timeline.ts';

describe('Timeline', () => {
  it('keeps every moment of the last second, and a near one for each before, up to the window', () => {
    const timeline = new Timeline();
    const mirror: number[] = [];
    for (let nowMs = 0; nowMs <= 100_000; nowMs += 50) {
      mirror.push(nowMs);
      for (const index of timeline.add(nowMs, 60_000)) mirror.splice(index, 1);
      expect(mirror).toEqual(timeline.times);
      expect(timeline.times.length).toBeLessThan(60);
    }
    const { times } = timeline;
    expect(times.filter((ms) => ms >= 99_000)).toHaveLength(21);
    expect(times[0]).toBeGreaterThanOrEqual(40_000);
    for (let ageMs = 1000; ageMs < 50_000; ageMs += 100) {
      const nearest = Math.min(...times.map((ms) => Math.abs(100_000 - ageMs - ms)));
      expect(nearest).toBeLessThan(ageMs / 6 + 50);
    }
  });
});
