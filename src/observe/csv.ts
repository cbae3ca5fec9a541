// HAProxy's statistics in its CSV layout (management guide, section 9.1), so that scrapers of it
// work here: one FRONTEND row, a row per endpoint and one BACKEND row for each service. Columns that
// we have no figure for are empty.
import type { EndpointFigures, ServiceFigures } from './figures.ts';

const HEADER =
  'pxname,svname,qcur,qmax,scur,smax,slim,stot,bin,bout,dreq,dresp,ereq,econ,eresp,wretr,wredis,' +
  'status,weight,act,bck,chkfail,chkdown,lastchg,downtime,qlimit,pid,iid,sid,throttle,lbtot,' +
  'tracked,type,rate,rate_lim,rate_max,check_status,check_code,check_duration,hrsp_1xx,hrsp_2xx,' +
  'hrsp_3xx,hrsp_4xx,hrsp_5xx,hrsp_other,hanafail,req_rate,req_rate_max,req_tot,cli_abrt,srv_abrt,' +
  'comp_in,comp_out,comp_byp,comp_rsp,lastsess,last_chk,last_agt,qtime,ctime,rtime,ttime,' +
  'agent_status,agent_code,agent_duration,check_desc,agent_desc,check_rise,check_fall,' +
  'check_health,agent_rise,agent_fall,agent_health,addr,cookie,mode,algo,conn_rate,conn_rate_max,' +
  'conn_tot,intercepted,dcon,dses';

export const CSV_COLUMNS: readonly string[] = HEADER.split(',');

type Row = Readonly<Record<string, string | number>>;

/** The whole table; every line ends with a comma, as HAProxy's do. `nowMs` is the wall clock. */
export function formatCsv(services: readonly ServiceFigures[], nowMs: number): string {
  const rows = services.flatMap((service, i) => rowsOf(service, i + 1, nowMs));
  return [`# ${HEADER},`, ...rows.map(formatRow), ''].join('\n');
}

function formatRow(row: Row): string {
  return `${CSV_COLUMNS.map((column) => cell(row[column] ?? '')).join(',')},`;
}

function cell(value: string | number): string {
  const text = String(value);
  return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function rowsOf(service: ServiceFigures, iid: number, nowMs: number): Row[] {
  const common = { pxname: service.name, pid: 1, iid, mode: service.protocol };
  const { endpoints } = service;
  const up = endpoints.filter((endpoint) => STATUS[endpoint.state] === 'UP');
  const sum = (read: (endpoint: EndpointFigures) => number) =>
    endpoints.reduce((total, endpoint) => total + read(endpoint), 0);
  return [
    {
      ...common,
      svname: 'FRONTEND',
      scur: service.connections,
      stot: service.requests,
      bin: service.bytes.in,
      bout: service.bytes.out,
      status: service.problems.length === 0 ? 'OPEN' : 'STOP',
      sid: 0,
      type: 0,
      req_tot: service.requests,
    },
    ...endpoints.map((endpoint, i) => ({ ...common, ...endpointRow(endpoint, i + 1, nowMs) })),
    {
      ...common,
      svname: 'BACKEND',
      scur: sum((endpoint) => endpoint.active),
      stot: sum((endpoint) => endpoint.requests),
      bin: service.bytes.in,
      bout: service.bytes.out,
      econ: sum((endpoint) => endpoint.connect_failures),
      eresp: sum((endpoint) => endpoint.failures - endpoint.connect_failures),
      wredis: sum((endpoint) => endpoint.retries),
      wretr: 0,
      status: up.length > 0 ? 'UP' : 'DOWN',
      weight: up.reduce((total, endpoint) => total + endpoint.weight, 0),
      act: up.length,
      bck: 0,
      sid: 0,
      type: 1,
      lbtot: sum((endpoint) => endpoint.requests),
      rtime: Math.round(service.latency_ms.p50),
      algo: service.balance === 'least-conn' ? 'leastconn' : service.balance,
    },
  ];
}

const STATUS: Readonly<Record<string, string>> = {
  up: 'UP',
  'slow-start': 'UP',
  down: 'DOWN',
  ejected: 'DOWN',
  drain: 'DRAIN',
  maint: 'MAINT',
};

function endpointRow(endpoint: EndpointFigures, sid: number, nowMs: number): Row {
  const { check, responses } = endpoint;
  const status = STATUS[endpoint.state] ?? '';
  return {
    svname: endpoint.id,
    scur: endpoint.active,
    stot: endpoint.requests,
    bin: endpoint.bytes.in,
    bout: endpoint.bytes.out,
    econ: endpoint.connect_failures,
    eresp: endpoint.failures - endpoint.connect_failures,
    wretr: 0,
    wredis: endpoint.retries,
    status: status === 'UP' && check === null ? 'no check' : status,
    weight: endpoint.weight,
    act: 1,
    bck: 0,
    chkdown: endpoint.ejections,
    lastchg: Math.max(0, Math.round((nowMs - endpoint.since) / 1000)),
    sid,
    lbtot: endpoint.requests,
    type: 2,
    check_status: check === null ? '' : check.good ? 'L7OK' : 'L7STS',
    check_duration: check === null ? '' : Math.round(check.duration_ms),
    hrsp_1xx: responses['1xx'],
    hrsp_2xx: responses['2xx'],
    hrsp_3xx: responses['3xx'],
    hrsp_4xx: responses['4xx'],
    hrsp_5xx: responses['5xx'],
    last_chk: check === null ? '' : check.text,
    rtime: Math.round(endpoint.latency_ms.p50),
    addr: `${endpoint.address}:${endpoint.port}`,
  };
}
