import { describe, expect, it } from 'vitest';
import { bucketOf } from '../../src/ledger/histogram.ts';
import { EndpointColumn, ServiceColumn } from '../../src/ledger/layout.ts';
import { Ledger, REASONS_MAX, STREAKS_MAX, WorkerLedger } from '../../src/ledger/ledger.ts';
import { reasons } from '../../src/model/reason.ts';
import { STREAKS_WITHOUT_ANSWER, Streak, streakKinds } from '../../src/model/streak.ts';

function twoWorkers() {
  const ledger = new Ledger();
  const workers = [0, 1].map((index) => new WorkerLedger(ledger.buffersFor(index)));
  return { ledger, a: workers[0]!, b: workers[1]! };
}

describe('Ledger', () => {
  it('counts requests in flight over all workers', () => {
    const { ledger, a, b } = twoWorkers();
    expect(a.acquire(3)).toBe(0);
    expect(b.acquire(3)).toBe(1);
    expect(ledger.inFlight(3)).toBe(2);
    expect(a.inFlight[3]).toBe(2);
    a.release(3);
    b.release(3);
    expect(ledger.inFlight(3)).toBe(0);
  });

  it('refuses a release without an acquire', () => {
    const { a, b } = twoWorkers();
    b.acquire(1);
    expect(() => a.release(1)).toThrow('release follows acquire');
  });

  it('sums the counters of all workers, each in its own column', () => {
    const { ledger, a, b } = twoWorkers();
    a.addEndpoint(7, EndpointColumn.failures, 2);
    b.addEndpoint(7, EndpointColumn.failures, 3);
    b.addService(2, ServiceColumn.bytesOut, 100);
    a.addExchange(2, 404, 1500);
    a.addReason(2, reasons.length - 1);
    b.addRetry(2, 0);
    a.addResponse(7, 503, 800);
    expect(ledger.endpointTotal(7, EndpointColumn.failures)).toBe(5);
    expect(ledger.endpointTotal(7, EndpointColumn.responses5xx)).toBe(1);
    expect(ledger.endpointTotal(6, EndpointColumn.failures)).toBe(0);
    expect(ledger.serviceTotal(2, ServiceColumn.bytesOut)).toBe(100);
    expect(ledger.serviceTotal(2, ServiceColumn.requests)).toBe(1);
    expect(ledger.statusTotal(2, 404)).toBe(1);
    expect(ledger.reasonTotal(2, reasons.length - 1)).toBe(1);
    expect(ledger.retryTotal(2, 0)).toBe(1);
    expect(ledger.serviceBuckets(2)[bucketOf(1500)]).toBe(1);
    expect(ledger.endpointBuckets(7)[bucketOf(800)]).toBe(1);
  });

  it('takes back what a dead worker had in flight and keeps what it had counted', () => {
    const { ledger, a, b } = twoWorkers();
    a.acquire(4);
    a.acquire(4);
    b.acquire(4);
    a.openConnection(1);
    a.addEndpoint(4, EndpointColumn.attempts, 2);
    const replacement = new WorkerLedger(ledger.buffersFor(0));
    expect(ledger.inFlight(4)).toBe(1);
    expect(ledger.connections(1)).toBe(0);
    expect(ledger.endpointTotal(4, EndpointColumn.attempts)).toBe(2);
    replacement.acquire(4);
    replacement.release(4);
    expect(ledger.inFlight(4)).toBe(1);
  });

  it('clears a slot for the next endpoint, but not while requests are in flight', () => {
    const { ledger, a } = twoWorkers();
    a.addEndpoint(9, EndpointColumn.attempts, 5);
    a.acquire(9);
    expect(() => ledger.clearEndpoint(9)).toThrow('in flight');
    a.release(9);
    ledger.clearEndpoint(9);
    expect(ledger.endpointTotal(9, EndpointColumn.attempts)).toBe(0);
  });

  it('counts failures in a row over all workers until one goes well', () => {
    const { a, b } = twoWorkers();
    expect(a.lengthenStreak(5, Streak.failure)).toBe(1);
    expect(b.lengthenStreak(5, Streak.failure)).toBe(2);
    expect(b.lengthenStreak(5, Streak.server)).toBe(1);
    a.endStreaks(5, STREAKS_WITHOUT_ANSWER);
    expect(b.lengthenStreak(5, Streak.failure)).toBe(1);
    expect(b.lengthenStreak(5, Streak.server)).toBe(2);
    a.endStreaks(5);
    expect(b.lengthenStreak(5, Streak.server)).toBe(1);
  });

  it('knows when an endpoint answered any worker, until another has its row', () => {
    const { ledger, a, b } = twoWorkers();
    a.noteAnswer(5, 1000);
    b.noteAnswer(5, 1010);
    expect(b.answeredMs(5)).toBe(1000);
    b.noteAnswer(5, 1020);
    expect(a.answeredMs(5)).toBe(1020);
    ledger.clearEndpoint(5);
    expect(a.answeredMs(5)).toBe(0);
  });

  it('has a column for every reason and kind of streak', () => {
    expect(reasons.length).toBeLessThanOrEqual(REASONS_MAX);
    expect(streakKinds.length).toBeLessThanOrEqual(STREAKS_MAX);
    expect(streakKinds.map((kind) => Streak[kind])).toEqual(streakKinds.map((_, i) => i));
    expect(reasons.map((reason) => reason.index)).toEqual(reasons.map((_, i) => i));
  });
});
