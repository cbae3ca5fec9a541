// HAProxy 2.6's statistics in its CSV layout (management guide, section 9.1), so that what scrapes
// HAProxy can scrape this: for each service a FRONTEND row, a row per endpoint and a BACKEND row.
// Columns that we have no figure for stay empty, as HAProxy leaves those that don't apply.
import { formatHostPort } from '../base/host-text.ts';
import { safeCell } from '../base/safe-text.ts';
import type { Steps } from '../base/turns.ts';
import type { ServiceView } from '../control/view.ts';
import type { HealthCheck, Service } from '../model/service.ts';
import type { EndpointFigures, ServiceFigures } from './figures.ts';
import { isUp, type Totals, totalsOf } from './totals.ts';

const HEADER =
  'pxname,svname,qcur,qmax,scur,smax,slim,stot,bin,bout,dreq,dresp,ereq,econ,eresp,wretr,wredis,' +
  'status,weight,act,bck,chkfail,chkdown,lastchg,downtime,qlimit,pid,iid,sid,throttle,lbtot,' +
  'tracked,type,rate,rate_lim,rate_max,check_status,check_code,check_duration,hrsp_1xx,hrsp_2xx,' +
  'hrsp_3xx,hrsp_4xx,hrsp_5xx,hrsp_other,hanafail,req_rate,req_rate_max,req_tot,cli_abrt,srv_abrt,' +
  'comp_in,comp_out,comp_byp,comp_rsp,lastsess,last_chk,last_agt,qtime,ctime,rtime,ttime,' +
  'agent_status,agent_code,agent_duration,check_desc,agent_desc,check_rise,check_fall,' +
  'check_health,agent_rise,agent_fall,agent_health,addr,cookie,mode,algo,conn_rate,conn_rate_max,' +
  'conn_tot,intercepted,dcon,dses,wrew,connect,reuse,cache_lookups,cache_hits,srv_icur,src_ilim,' +
  'qtime_max,ctime_max,rtime_max,ttime_max,eint,idle_conn_cur,safe_conn_cur,used_conn_cur,' +
  'need_conn_est,uweight,agg_server_status,agg_server_check_status,agg_check_status,-,ssl_sess,' +
  'ssl_reused_sess,ssl_failed_handshake,h2_headers_rcvd,h2_data_rcvd,h2_settings_rcvd,' +
  'h2_rst_stream_rcvd,h2_goaway_rcvd,h2_detected_conn_protocol_errors,' +
  'h2_detected_strm_protocol_errors,h2_rst_stream_resp,h2_goaway_resp,h2_open_connections,' +
  'h2_backend_open_streams,h2_total_connections,h2_backend_total_streams,h1_open_connections,' +
  'h1_open_streams,h1_total_connections,h1_total_streams,h1_bytes_in,h1_bytes_out,' +
  'h1_spliced_bytes_in,h1_spliced_bytes_out';

const CSV_COLUMNS: readonly string[] = HEADER.split(',');

type Row = Readonly<Record<string, string | number>>;

export interface CsvService {
  readonly view: ServiceView;
  readonly figures: ServiceFigures;
}

/** The whole table, a step per line; every line ends with a comma, as HAProxy's do. `nowMs` is the wall clock. */
export function* csvSteps(services: Iterable<CsvService>, nowMs: number): Steps {
  yield `# ${HEADER},\n`;
  let iid = 0;
  for (const service of services) {
    iid += 1;
    for (const row of rowsOf(service, { iid, nowMs })) yield `${formatRow(row)}\n`;
  }
}

function formatRow(row: Row): string {
  return `${CSV_COLUMNS.map((column) => cell(row[column] ?? '')).join(',')},`;
}

/** Numbers may be negative; texts are foreign. */
function cell(value: string | number): string {
  return typeof value === 'number' ? String(value) : safeCell(value);
}

function* rowsOf({ view, figures }: CsvService, at: { iid: number; nowMs: number }): Iterable<Row> {
  const { service } = view;
  const totals = totalsOf(figures);
  const common = { pxname: figures.name, pid: 1, iid: at.iid, mode: figures.protocol, '-': '-' };
  yield { ...common, ...frontendRow(figures, service, totals) };
  for (const [i, endpoint] of figures.endpoints.entries()) {
    yield { ...common, ...endpointRow(endpoint, service, at.nowMs), sid: i + 1 };
  }
  yield { ...common, ...backendRow(figures, service, { totals, nowMs: at.nowMs }) };
}

function frontendRow(figures: ServiceFigures, service: Service, totals: Totals): Row {
  return {
    svname: 'FRONTEND',
    scur: figures.connections,
    smax: figures.connections_max,
    slim: service.limits.connections,
    stot: figures.connections_total,
    bin: figures.bytes.in,
    bout: figures.bytes.out,
    dreq: 0,
    dresp: 0,
    ereq: totals.clientFaults,
    status: figures.problems.length === 0 ? 'OPEN' : 'STOP',
    sid: 0,
    type: 0,
    rate: Math.round(figures.connection_rate),
    rate_max: Math.round(figures.connection_rate_max),
    ...hrsp(totals.codes),
    req_rate: Math.round(figures.rate),
    req_rate_max: Math.round(figures.rate_max),
    req_tot: figures.requests,
    conn_rate: Math.round(figures.connection_rate),
    conn_rate_max: Math.round(figures.connection_rate_max),
    conn_tot: figures.connections_total,
    intercepted: totals.ownReplies,
    dcon: 0,
    dses: 0,
    h1_open_connections: figures.protocol === 'http' ? figures.connections : '',
    h1_total_connections: figures.protocol === 'http' ? figures.connections_total : '',
    h1_total_streams: figures.protocol === 'http' ? figures.requests : '',
  };
}

const STATUS: Readonly<Record<string, string>> = {
  up: 'UP',
  'slow-start': 'UP',
  down: 'DOWN',
  ejected: 'DOWN',
  drain: 'DRAIN',
  maint: 'MAINT',
};

function endpointRow(endpoint: EndpointFigures, service: Service, nowMs: number): Row {
  const isBackup = isFallback(endpoint, service);
  const { check, responses } = endpoint;
  const status = STATUS[endpoint.state] ?? '';
  const age = (nowMs - endpoint.since) / 1000;
  return {
    svname: endpoint.id,
    scur: endpoint.active,
    smax: endpoint.active_max,
    slim: service.limits.perEndpoint === 0 ? '' : service.limits.perEndpoint,
    stot: endpoint.requests,
    bin: endpoint.bytes.in,
    bout: endpoint.bytes.out,
    dresp: 0,
    econ: endpoint.connect_failures,
    eresp: Math.max(0, endpoint.failures - endpoint.connect_failures),
    wretr: endpoint.retries,
    wredis: endpoint.retries,
    status: status === 'UP' && service.health === null && check === null ? 'no check' : status,
    weight: endpoint.weight,
    act: isBackup ? 0 : 1,
    bck: isBackup ? 1 : 0,
    chkdown: endpoint.downs,
    lastchg: Math.max(0, Math.round(age)),
    downtime: endpoint.downtime_seconds,
    throttle: endpoint.state === 'slow-start' ? throttle(age, service.slowStartMs) : '',
    lbtot: endpoint.requests,
    type: 2,
    rate: Math.round(endpoint.rate),
    rate_max: Math.round(endpoint.rate_max),
    ...(check === null || service.health === null ? {} : checkCells(check, service.health)),
    hrsp_1xx: responses['1xx'],
    hrsp_2xx: responses['2xx'],
    hrsp_3xx: responses['3xx'],
    hrsp_4xx: responses['4xx'],
    hrsp_5xx: responses['5xx'],
    hrsp_other: 0,
    req_tot: endpoint.requests,
    lastsess: secondsSince(endpoint.last_request, nowMs),
    rtime: Math.round(endpoint.latency_ms.p50),
    addr: formatHostPort(endpoint.address, endpoint.port),
    connect: endpoint.connects,
    reuse: Math.max(0, endpoint.requests - endpoint.connects - endpoint.connect_failures),
    used_conn_cur: endpoint.active,
    uweight: endpoint.weight,
  };
}

/** HAProxy's backup server: of another priority than the service's first. */
function isFallback({ priority }: EndpointFigures, { from }: Service): boolean {
  return priority > Math.min(...from.map((used) => used.priority));
}

function backendRow(
  figures: ServiceFigures,
  service: Service,
  { totals, nowMs }: { totals: Totals; nowMs: number },
): Row {
  const isUpBackup = (one: EndpointFigures) => isUp(one) && isFallback(one, service);
  const backups = figures.endpoints.filter(isUpBackup).length;
  return {
    svname: 'BACKEND',
    scur: totals.active,
    smax: Math.max(totals.active, figures.active_max),
    slim: service.limits.connections,
    stot: totals.requests,
    bin: figures.bytes.in,
    bout: figures.bytes.out,
    dreq: 0,
    dresp: 0,
    econ: totals.connectFailures,
    eresp: totals.otherFailures,
    wretr: totals.retries,
    wredis: totals.retries,
    status: totals.up > 0 ? 'UP' : 'DOWN',
    weight: totals.weight,
    act: totals.up - backups,
    bck: backups,
    chkdown: totals.downs,
    lastchg: totals.changedMs === 0 ? '' : secondsSince(totals.changedMs, nowMs),
    sid: 0,
    lbtot: totals.requests,
    type: 1,
    rate: Math.round(totals.rate),
    rate_max: Math.round(figures.rate_max),
    ...hrsp(totals.codes),
    req_tot: figures.requests,
    cli_abrt: figures.reasons['client-closed'] ?? 0,
    srv_abrt: figures.reasons['response-cut'] ?? 0,
    lastsess: secondsSince(totals.lastRequestMs, nowMs),
    rtime: Math.round(totals.p50),
    ttime: Math.round(figures.latency_ms.p50),
    algo: algorithm(service.balance),
    connect: totals.connects,
    uweight: totals.weight,
  };
}

function hrsp(codes: Totals['codes']): Row {
  return {
    hrsp_1xx: codes[1] ?? 0,
    hrsp_2xx: codes[2] ?? 0,
    hrsp_3xx: codes[3] ?? 0,
    hrsp_4xx: codes[4] ?? 0,
    hrsp_5xx: codes[5] ?? 0,
    hrsp_other: codes[0] ?? 0,
  };
}

/** HAProxy's words for the last check: its layer and how it ended. */
function checkCells(check: NonNullable<EndpointFigures['check']>, health: HealthCheck): Row {
  const code = / answered (\d{3})$/.exec(check.text)?.[1] ?? '';
  const layer = health.type === 'http' && (code !== '' || check.good) ? 7 : 4;
  const isTimeout = /\bwithin\b/.test(check.text);
  const ending = check.good ? 'OK' : layer === 7 ? 'STS' : isTimeout ? 'TOUT' : 'CON';
  return {
    check_status: `L${layer}${ending}`,
    check_code: code,
    check_duration: Math.round(check.duration_ms),
    last_chk: check.text,
    check_desc: `Layer${layer} check ${check.good ? 'passed' : 'failed'}`,
    check_rise: health.rise,
    check_fall: health.fall,
  };
}

function algorithm({ policy, hash }: Service['balance']): string {
  if (hash !== null) return hash.name === '' ? hash.on : `${hash.on}(${hash.name})`;
  if (policy === 'least-conn') return 'leastconn';
  if (policy === 'round-robin') return 'roundrobin';
  return policy === 'p2c' ? 'random(2)' : policy;
}

/** Whole seconds since `ms`; -1 for never, as HAProxy has it. */
function secondsSince(ms: number, nowMs: number): number {
  return ms === 0 ? -1 : Math.max(0, Math.round((nowMs - ms) / 1000));
}

/** How far slow start has come, per cent. */
function throttle(ageSeconds: number, slowStartMs: number): number {
  const percent = slowStartMs === 0 ? 100 : (ageSeconds * 100_000) / slowStartMs;
  return Math.max(10, Math.min(100, Math.round(percent)));
}
