import { describe, expect, it } from 'vitest';
import { EndpointColumn, ServiceColumn } from '../../src/ledger/layout.ts';
import { Sampler } from '../../src/observe/sampler.ts';
import { ManualClock } from '../support/clock.ts';
import { makeEndpoint, makeServiceView, makeSources } from '../support/stats.ts';

function start() {
  const clock = new ManualClock();
  const stats = makeSources({ clock });
  const endpoint = makeEndpoint('one');
  const view = makeServiceView('web', [endpoint]);
  stats.table.set(view);
  const sampler = new Sampler(stats.sources);
  const track = () => sampler.service('web', view.slot).endpoint('one', endpoint.slot);
  return { ...stats, clock, endpoint, view, sampler, track };
}

describe('sampler', () => {
  it('turns counters into rates, and keeps the highest', () => {
    const { clock, worker, endpoint, view, sampler, track } = start();
    worker.addEndpoint(endpoint.slot, EndpointColumn.attempts, 40);
    worker.addService(view.slot, ServiceColumn.requests, 30);
    clock.advance(1000);
    worker.addEndpoint(endpoint.slot, EndpointColumn.attempts, 10);
    clock.advance(1000);
    expect(track().meter).toMatchObject({ rate: 10, rateMax: 40, lastMs: clock.wallMs() });
    clock.advance(1000);
    expect(track().meter).toMatchObject({ rate: 0, rateMax: 40, lastMs: clock.wallMs() - 1000 });
    expect(sampler.service('web', view.slot).trend).toEqual([30, 0, 0]);
  });

  it('keeps the highest levels that it sees', () => {
    const { clock, worker, endpoint, view, sampler, track } = start();
    for (let i = 0; i < 3; i += 1) worker.acquire(endpoint.slot);
    worker.openConnection(view.slot);
    clock.advance(1000);
    for (let i = 0; i < 3; i += 1) worker.release(endpoint.slot);
    worker.closeConnection(view.slot);
    clock.advance(1000);
    expect(track().meter.levelMax).toBe(3);
    expect(sampler.service('web', view.slot)).toMatchObject({ activeMax: 3 });
    expect(sampler.service('web', view.slot).connections.levelMax).toBe(1);
  });

  it('forgets latencies after a minute', () => {
    const { clock, worker, ledger, endpoint, track } = start();
    const p50 = () => track().latency.quantiles(ledger.endpointBuckets(endpoint.slot)).p50;
    worker.addEndpoint(endpoint.slot, EndpointColumn.attempts, 1);
    worker.addResponse(endpoint.slot, 200, 100_000);
    expect(p50()).toBeGreaterThan(80);
    clock.advance(30_000);
    worker.addResponse(endpoint.slot, 200, 1000);
    worker.addResponse(endpoint.slot, 200, 1000);
    expect(p50()).toBeLessThan(2);
    clock.advance(30_000);
    expect(p50()).toBeLessThan(2);
    expect(p50()).toBeGreaterThan(0);
    clock.advance(30_000);
    expect(p50()).toBe(0);
  });

  it('counts how often and how long an endpoint was down', () => {
    const { clock, table, track } = start();
    const event = (from: string, to: string) =>
      table.events.add({
        atMs: clock.wallMs(),
        service: 'web',
        endpoint: 'one',
        from,
        to,
        reason: '',
        cause: { kind: 'check', text: '' },
      });
    event('up', 'down');
    clock.advance(3000);
    event('down', 'ejected');
    clock.advance(2000);
    expect(track().downs).toBe(1);
    expect(track().downtimeMs(clock.wallMs())).toBe(5000);
    event('ejected', 'up');
    clock.advance(4000);
    event('up', 'ejected');
    clock.advance(1000);
    expect(track().downs).toBe(2);
    expect(track().downtimeMs(clock.wallMs())).toBe(6000);
  });

  it('knows nothing of an endpoint that takes the name of another', () => {
    const { clock, table, worker, view, endpoint, sampler } = start();
    worker.addEndpoint(endpoint.slot, EndpointColumn.attempts, 5);
    clock.advance(1000);
    const other = makeEndpoint('one');
    table.set({ ...view, endpoints: [other] });
    clock.advance(1000);
    const service = sampler.service('web', view.slot);
    expect(service.endpoint('one', other.slot).meter.rateMax).toBe(0);
    table.set({ ...view, endpoints: [] });
    clock.advance(1000);
    expect(service.endpoints.size).toBe(0);
  });

  it('ends', () => {
    const { clock, sampler } = start();
    clock.advance(3000);
    sampler.close();
    expect(clock.waiting).toBe(0);
  });
});
