// The limit against a simulated service: so many requests at once take their usual time, more only
// wait for each other.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AdaptiveLimit } from '../../src/proxy/limits/adaptive-limit.ts';

/** Keeps offering `offered` requests at once; returns how many of them are in flight at the end. */
function offer(limit: AdaptiveLimit, offered: number, service: { capacity: number; us: number }) {
  const taking: number[] = [];
  for (let i = 0; i < 50_000; i += 1) {
    while (taking.length < offered && limit.enter()) {
      taking.push(service.us * Math.max(1, (taking.length + 1) / service.capacity));
    }
    limit.leave(taking.shift()!);
  }
  const { length } = taking;
  for (const us of taking) limit.leave(us);
  return length + 1;
}

describe('an adaptive limit', () => {
  it('refuses nothing that the service can take', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 60 }), (offered) => {
        const limit = new AdaptiveLimit();
        expect(offer(limit, offered, { capacity: 1000, us: 500 })).toBe(offered);
      }),
    );
  });

  it('grows where the service can take more than the first guess', () => {
    const limit = new AdaptiveLimit();
    expect(offer(limit, 800, { capacity: 1000, us: 500 })).toBe(800);
  });

  it('keeps the waiting of an overloaded service bounded, and its capacity used', () => {
    fc.assert(
      fc.property(fc.integer({ min: 10, max: 200 }), (capacity) => {
        const limit = new AdaptiveLimit();
        // The usual time is known from quieter days.
        offer(limit, capacity, { capacity, us: 1000 });
        const entered = offer(limit, 5000, { capacity, us: 1000 });
        expect(entered).toBeGreaterThanOrEqual(capacity * 0.9);
        expect(entered).toBeLessThanOrEqual(capacity * 6);
      }),
    );
  });

  it('lets in again what it refused, once the service has recovered', () => {
    const limit = new AdaptiveLimit();
    offer(limit, 50, { capacity: 100, us: 1000 });
    expect(offer(limit, 500, { capacity: 5, us: 1000 })).toBeLessThan(50);
    expect(offer(limit, 50, { capacity: 100, us: 1000 })).toBe(50);
  });

  it('gets used to a service that has become slower for good', () => {
    const limit = new AdaptiveLimit();
    offer(limit, 50, { capacity: 100, us: 1000 });
    offer(limit, 50, { capacity: 100, us: 10_000 });
    expect(offer(limit, 50, { capacity: 100, us: 10_000 })).toBe(50);
  });

  it('never sinks to nothing', () => {
    const limit = new AdaptiveLimit();
    offer(limit, 10, { capacity: 100, us: 1000 });
    expect(offer(limit, 5000, { capacity: 1, us: 60_000_000 })).toBeGreaterThanOrEqual(8);
  });
});
