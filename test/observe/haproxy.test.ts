import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { ServiceView } from '../../src/control/view.ts';
import { EndpointColumn, ServiceColumn } from '../../src/ledger/layout.ts';
import { csvSteps } from '../../src/observe/csv.ts';
import { figuresInSteps } from '../../src/observe/figures.ts';
import { Sampler } from '../../src/observe/sampler.ts';
import { makeCheck } from '../support/check.ts';
import { makeService } from '../support/service.ts';
import { type FakeStats, makeEndpoint, makeServiceView, makeSources } from '../support/stats.ts';
import { finish, textOf } from '../support/steps.ts';

/** What HAProxy 2.6.12 itself answered on /stats;csv. */
const haproxy = readFileSync(join(import.meta.dirname, 'haproxy-2.6.csv'), 'utf8').split('\n');

const health = makeCheck({ intervalMs: 2000, timeoutMs: 1000, rise: 2, fall: 3, initial: 'up' });

function linesOf(stats: FakeStats): string[] {
  const sampler = new Sampler(stats.sources);
  const nowMs = Date.now();
  const services = stats.table.services().map((view) => ({
    view,
    figures: finish(figuresInSteps(view, { ledger: stats.ledger, sampler, nowMs })),
  }));
  sampler.close();
  return textOf(csvSteps(services, nowMs)).split('\n');
}

/** Rows by `svname`, cells by column. No cell of these tests holds a comma. */
function rowsOf(stats: FakeStats): Record<string, Record<string, string>> {
  const [head = '', ...lines] = linesOf(stats);
  const columns = head.replace('# ', '').split(',');
  const rows = lines
    .filter((line) => line !== '')
    .map((line) => Object.fromEntries(line.split(',').map((value, i) => [columns[i]!, value])));
  return Object.fromEntries(rows.map((row) => [row.svname!, row]));
}

function only(view: ServiceView): FakeStats {
  const stats = makeSources();
  stats.table.set(view);
  return stats;
}

describe('the rows of HAProxy', () => {
  it("has HAProxy 2.6's header and its number of fields in every row", () => {
    const stats = makeSources();
    stats.table.set(makeServiceView('a', [makeEndpoint('1'), makeEndpoint('2')]));
    stats.table.set(makeServiceView('b', []));
    const lines = linesOf(stats);
    expect(lines[0]).toBe(haproxy[0]);
    const fields = haproxy[1]!.split(',').length;
    expect(lines.slice(1, -1).map((line) => line.split(',').length)).toEqual(
      Array.from({ length: 6 }, () => fields),
    );
    expect(lines.at(-1)).toBe('');
  });

  it('has a FRONTEND row, a row per endpoint and a BACKEND row of their types', () => {
    const rows = rowsOf(only(makeServiceView('web', [makeEndpoint('one'), makeEndpoint('two')])));
    expect(
      Object.entries(rows).map(([name, { type, sid, pxname }]) => [name, type, sid, pxname]),
    ).toEqual([
      ['FRONTEND', '0', '0', 'web'],
      ['one', '2', '1', 'web'],
      ['two', '2', '2', 'web'],
      ['BACKEND', '1', '0', 'web'],
    ]);
  });

  it.each([
    ['up', 'UP'],
    ['slow-start', 'UP'],
    ['down', 'DOWN'],
    ['ejected', 'DOWN'],
    ['drain', 'DRAIN'],
    ['maint', 'MAINT'],
  ] as const)('says %s as HAProxy does', (state, status) => {
    const service = makeService({ name: 'web', health });
    const rows = rowsOf(
      only(makeServiceView('web', [makeEndpoint('one', { state })], { service })),
    );
    expect(rows.one!.status).toBe(status);
    expect(rows.BACKEND!.status).toBe(status === 'UP' ? 'UP' : 'DOWN');
  });

  it('says no check where there is none', () => {
    expect(rowsOf(only(makeServiceView('web', [makeEndpoint('one')]))).one!.status).toBe(
      'no check',
    );
  });

  it.each([
    [true, 'GET /health answered 200', 'L7OK', '200'],
    [false, 'GET /health answered 500', 'L7STS', '500'],
    [false, 'connection refused', 'L4CON', ''],
    [false, 'no answer within 1s', 'L4TOUT', ''],
  ])('says of a check (good: %s) "%s" %s', (isGood, text, status, code) => {
    const check = { isGood, text, durationMs: 3.4, atMs: 0 };
    const service = makeService({ name: 'web', health });
    const rows = rowsOf(
      only(makeServiceView('web', [makeEndpoint('one', { check })], { service })),
    );
    expect(rows.one).toMatchObject({
      check_status: status,
      check_code: code,
      check_duration: '3',
      last_chk: text,
      check_rise: '2',
      check_fall: '3',
    });
  });

  it('fills in what the ledger has counted', () => {
    const one = makeEndpoint('one', { address: '2001:db8::1', port: 80 });
    const view = makeServiceView('web', [one, makeEndpoint('two', { weight: 4 })]);
    const stats = only(view);
    const { worker } = stats;
    worker.openConnection(view.slot);
    worker.addService(view.slot, ServiceColumn.connections, 3);
    worker.addService(view.slot, ServiceColumn.bytesOut, 900);
    worker.addExchange(view.slot, 200, 1000);
    worker.addExchange(view.slot, 404, 1000);
    worker.addExchange(view.slot, 0, 1000);
    worker.acquire(one.slot);
    worker.addEndpoint(one.slot, EndpointColumn.attempts, 3);
    worker.addEndpoint(one.slot, EndpointColumn.failures, 2);
    worker.addEndpoint(one.slot, EndpointColumn.connectFailures, 1);
    worker.addEndpoint(one.slot, EndpointColumn.retries, 2);
    worker.addResponse(one.slot, 200, 1000);
    const rows = rowsOf(stats);
    expect(rows.FRONTEND).toMatchObject({
      scur: '1',
      smax: '1',
      slim: '10000',
      stot: '3',
      bout: '900',
      req_tot: '3',
      hrsp_2xx: '1',
      hrsp_4xx: '1',
      hrsp_other: '1',
      status: 'OPEN',
      mode: 'http',
    });
    expect(rows.one).toMatchObject({
      scur: '1',
      stot: '3',
      econ: '1',
      eresp: '1',
      wretr: '2',
      hrsp_2xx: '1',
      addr: '[2001:db8::1]:80',
      weight: '1',
    });
    expect(rows.BACKEND).toMatchObject({
      scur: '1',
      stot: '3',
      econ: '1',
      eresp: '1',
      act: '2',
      weight: '5',
      algo: 'roundrobin',
    });
  });
});
