import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { EndpointColumn, ServiceColumn } from '../../src/ledger/layout.ts';
import {
  makeEndpointView,
  makeServiceView,
  type StatsPort,
  startStatsPort,
} from '../support/stats-port.ts';

/** The management guide of HAProxy, section 9.1, fields 0 to 82. */
const HAPROXY =
  'pxname svname qcur qmax scur smax slim stot bin bout dreq dresp ereq econ eresp wretr wredis ' +
  'status weight act bck chkfail chkdown lastchg downtime qlimit pid iid sid throttle lbtot ' +
  'tracked type rate rate_lim rate_max check_status check_code check_duration hrsp_1xx hrsp_2xx ' +
  'hrsp_3xx hrsp_4xx hrsp_5xx hrsp_other hanafail req_rate req_rate_max req_tot cli_abrt srv_abrt ' +
  'comp_in comp_out comp_byp comp_rsp lastsess last_chk last_agt qtime ctime rtime ttime ' +
  'agent_status agent_code agent_duration check_desc agent_desc check_rise check_fall ' +
  'check_health agent_rise agent_fall agent_health addr cookie mode algo conn_rate conn_rate_max ' +
  'conn_tot intercepted dcon dses';

let port: StatsPort;
beforeEach(async () => {
  port = await startStatsPort();
});
afterEach(() => port.close());

/** Fields of a line; quoted ones may hold commas and doubled quotes. */
function fieldsOf(line: string): string[] {
  const fields = [...line.matchAll(/("(?:[^"]|"")*"|[^,]*),/g)].map((match) => match[1]!);
  return fields.map((field) =>
    field.startsWith('"') ? field.slice(1, -1).replaceAll('""', '"') : field,
  );
}

async function rows(): Promise<Record<string, string>[]> {
  const { text } = await port.ask('/stats;csv');
  const [head = '', ...lines] = text.trimEnd().split('\n');
  const columns = fieldsOf(head.replace(/^# /, ''));
  return lines.map((line) => {
    const fields = fieldsOf(line);
    expect(fields).toHaveLength(columns.length);
    return Object.fromEntries(columns.map((column, i) => [column, fields[i]!]));
  });
}

describe('the CSV', () => {
  it("begins with HAProxy's 83 columns, in their order", async () => {
    const { text, headers, status } = await port.ask('/stats;csv');
    expect(status).toBe(200);
    expect(headers['content-type']).toBe('text/plain; charset=utf-8');
    expect(HAPROXY.split(' ')).toHaveLength(83);
    expect(text.startsWith(`# ${HAPROXY.split(' ').join(',')},`)).toBe(true);
  });

  it('has a row for the front, each endpoint and the back of a service', async () => {
    const endpoints = [
      makeEndpointView('n1/a', { slot: 1, weight: 3 }),
      makeEndpointView('n1/b', { slot: 2, state: 'down', address: '10.0.0.2', port: 81 }),
      makeEndpointView('n1/c', { slot: 3, state: 'maint' }),
      makeEndpointView('n1/d', { slot: 4, state: 'drain' }),
    ];
    port.services = [makeServiceView('web', { endpoints }), makeServiceView('db', { slot: 1 })];
    const all = await rows();
    expect(all.map(({ pxname, svname, status, type }) => [pxname, svname, status, type])).toEqual([
      ['web', 'FRONTEND', 'OPEN', '0'],
      ['web', 'n1/a', 'no check', '2'],
      ['web', 'n1/b', 'DOWN', '2'],
      ['web', 'n1/c', 'MAINT', '2'],
      ['web', 'n1/d', 'DRAIN', '2'],
      ['web', 'BACKEND', 'UP', '1'],
      ['db', 'FRONTEND', 'OPEN', '0'],
      ['db', 'BACKEND', 'DOWN', '1'],
    ]);
    expect(all[1]).toMatchObject({ weight: '3', addr: '10.0.0.1:80', mode: 'http' });
    expect(all[5]).toMatchObject({ weight: '3', act: '1', bck: '0' });
  });

  it("shows the ledger's counts", async () => {
    const { worker } = port;
    const endpoints = [makeEndpointView('a', { slot: 1 }), makeEndpointView('b', { slot: 2 })];
    port.services = [makeServiceView('web', { endpoints })];
    worker.acquire(1);
    worker.openConnection(0);
    worker.addEndpoint(1, EndpointColumn.attempts, 5);
    worker.addEndpoint(2, EndpointColumn.attempts, 2);
    worker.addEndpoint(1, EndpointColumn.failures, 3);
    worker.addEndpoint(1, EndpointColumn.connectFailures, 1);
    worker.addEndpoint(1, EndpointColumn.retries, 2);
    worker.addEndpoint(1, EndpointColumn.bytesOut, 1000);
    worker.addResponse(1, 200, 5000);
    worker.addResponse(1, 404, 5000);
    worker.addService(0, ServiceColumn.bytesIn, 77);
    worker.addExchange(0, 200, 5000);
    const [front, a, b, back] = await rows();
    expect(front).toMatchObject({ scur: '1', req_tot: '1', bin: '77' });
    expect(a).toMatchObject({
      ...{ scur: '1', stot: '5', bout: '1000', econ: '1', eresp: '2', wredis: '2' },
      ...{ hrsp_2xx: '1', hrsp_4xx: '1', hrsp_5xx: '0' },
    });
    expect(b).toMatchObject({ stot: '2', check_status: '' });
    expect(back).toMatchObject({ stot: '7', econ: '1', eresp: '2', scur: '1' });
  });

  it('quotes what holds a comma or a quote', async () => {
    const check = { isGood: false, text: 'said "no", twice\nthen left', durationMs: 1, atMs: 1 };
    port.services = [makeServiceView('a,"b"', { endpoints: [makeEndpointView('e', { check })] })];
    const { text } = await port.ask('/;csv');
    expect(text).toContain('"a,""b""",');
    expect(text.trimEnd().split('\n').length, 'one line for each row').toBe(4);
  });

  it('says since when an endpoint is in its state, never less than zero', async () => {
    const endpoints = [
      makeEndpointView('old', { sinceMs: Date.now() - 61_000 }),
      makeEndpointView('new', { sinceMs: Date.now() + 5000, slot: 1 }),
    ];
    port.services = [makeServiceView('web', { endpoints })];
    const [, old, fresh] = await rows();
    expect(Number(old!.lastchg)).toBeGreaterThanOrEqual(61);
    expect(Number(old!.lastchg)).toBeLessThan(120);
    expect(fresh!.lastchg).toBe('0');
  });
});
