// The columns of the dashboard's tables and the text of each cell. The server renders the page from
// these and the live stream sends the ones that changed, so the script in the browser formats
// nothing but durations.
import { safeLine } from '../base/safe-text.ts';
import type { EndpointFigures, ServiceFigures } from './figures.ts';
import * as text from './text.ts';
import { type Totals, totalsOf } from './totals.ts';

/**
 * What a cell shows, and the value it is sorted by where that isn't its text. For `since` the
 * value is the time itself (ms since the epoch) and the browser writes the duration.
 */
export type Cell = readonly [shown: string, value?: number];

export interface Column {
  readonly key: string;
  readonly group: string;
  readonly label: string;
  readonly title: string;
  /** Of no use to services that are not of HTTP. */
  readonly isHttp?: true;
}

const columns: readonly Column[] = [
  { key: 'endpoint', group: '', label: 'Endpoint', title: '' },
  { key: 'state', group: '', label: 'State', title: 'and why' },
  { key: 'since', group: '', label: 'For', title: 'how long it has been in this state' },
  { key: 'weight', group: '', label: 'Weight', title: 'share of the traffic' },
  { key: 'active', group: 'Sessions', label: 'Now', title: 'in flight now' },
  { key: 'activeMax', group: 'Sessions', label: 'Max', title: 'most in flight that was seen' },
  { key: 'requests', group: 'Sessions', label: 'Total', title: 'sent to it, retries included' },
  { key: 'rate', group: 'Per second', label: 'Now', title: 'in the last second' },
  { key: 'rateMax', group: 'Per second', label: 'Max', title: 'most in one second' },
  { key: 'p50', group: 'Latency, ms', label: 'p50', title: 'median of the last minute' },
  { key: 'p99', group: 'Latency, ms', label: 'p99', title: '99th percentile of the last minute' },
  { key: 'in', group: 'Bytes', label: 'In', title: 'bodies from clients' },
  { key: 'out', group: 'Bytes', label: 'Out', title: 'bodies to clients' },
  { key: 'connect', group: 'Errors', label: 'Conn', title: 'connections that failed' },
  { key: 'response', group: 'Errors', label: 'Resp', title: 'other failed attempts' },
  { key: 'retries', group: 'Errors', label: 'Retr', title: 'failed here and made again' },
  { key: '4xx', group: 'Responses', label: '4xx', title: '', isHttp: true },
  { key: '5xx', group: 'Responses', label: '5xx', title: '', isHttp: true },
  { key: 'check', group: 'Health', label: 'Last check', title: '' },
  { key: 'downs', group: 'Health', label: 'Downs', title: 'times it went down or was ejected' },
];

/** Services of TCP and UDP have no columns of HTTP. */
export function columnsOf({ protocol }: ServiceFigures): readonly Column[] {
  return protocol === 'http' ? columns : columns.filter(({ isHttp }) => isHttp !== true);
}

/** One row: its cells by column key, in order. The first one is the row's head. */
export type Cells = Readonly<Record<string, Cell>>;

const nothing: Cell = [''];

export function endpointCells(one: EndpointFigures): Cells {
  const { bytes, latency_ms, responses } = one;
  return {
    endpoint: [safeLine(one.id)],
    state: [one.state],
    reason: [safeLine(one.reason)],
    since: ['', one.since],
    weight: counted(one.weight),
    active: counted(one.active),
    activeMax: counted(one.active_max),
    requests: counted(one.requests),
    rate: [text.rate(one.rate), one.rate],
    rateMax: [text.rate(one.rate_max), one.rate_max],
    p50: timed(latency_ms.p50),
    p99: timed(latency_ms.p99),
    in: sized(bytes.in),
    out: sized(bytes.out),
    connect: counted(one.connect_failures),
    response: counted(Math.max(0, one.failures - one.connect_failures)),
    retries: counted(one.retries),
    '4xx': counted(responses['4xx']),
    '5xx': counted(responses['5xx']),
    check: checked(one),
    downs: counted(one.downs),
  };
}

/** Sessions of TCP count from their beginning; datagrams that are balanced one by one have none. */
function requestsOf({ protocol, requests, connections_total: total }: ServiceFigures): number {
  if (protocol === 'http') return requests;
  return protocol === 'tcp' ? total : Math.max(requests, total);
}

/** The row of the service as its clients see it (HAProxy's FRONTEND). */
export function clientCells(service: ServiceFigures): Cells {
  const totals = totalsOf(service);
  return {
    endpoint: ['Clients'],
    state: [service.problems.length === 0 ? 'open' : 'problem'],
    reason: nothing,
    active: counted(service.connections),
    activeMax: counted(service.connections_max),
    requests: counted(requestsOf(service)),
    rate: [text.rate(service.rate)],
    rateMax: [text.rate(service.rate_max)],
    p50: timed(service.latency_ms.p50),
    p99: timed(service.latency_ms.p99),
    in: sized(service.bytes.in),
    out: sized(service.bytes.out),
    connect: nothing,
    response: counted(service.datagrams?.dropped ?? totals.ownReplies - totals.clientFaults),
    retries: counted(Object.values(service.retries).reduce((sum, one) => sum + one, 0)),
    '4xx': counted(totals.codes[4] ?? 0),
    '5xx': counted(totals.codes[5] ?? 0),
  };
}

/** The last row: what its endpoints come to (HAProxy's BACKEND). */
export function totalCells(service: ServiceFigures): Cells {
  const totals = totalsOf(service);
  return {
    endpoint: ['All endpoints'],
    state: [upText(totals)],
    reason: nothing,
    weight: counted(totals.weight),
    active: counted(totals.active),
    activeMax: counted(Math.max(totals.active, service.active_max)),
    requests: counted(totals.requests),
    rate: [text.rate(totals.rate)],
    in: sized(totals.bytesIn),
    out: sized(totals.bytesOut),
    connect: counted(totals.connectFailures),
    response: counted(totals.otherFailures),
    retries: counted(totals.retries),
    '4xx': counted(sumOf(service, '4xx')),
    '5xx': counted(sumOf(service, '5xx')),
    downs: counted(totals.downs),
  };
}

export function upText({ up, endpoints }: Pick<Totals, 'up' | 'endpoints'>): string {
  return endpoints === 0 ? 'no endpoint' : `${up} of ${endpoints} up`;
}

function sumOf({ endpoints }: ServiceFigures, key: '4xx' | '5xx'): number {
  return endpoints.reduce((sum, { responses }) => sum + responses[key], 0);
}

function counted(value: number): Cell {
  return value > 0 && value < 1000 ? [String(value)] : [text.count(value), value];
}

function sized(value: number): Cell {
  return [text.bytes(value), value];
}

function timed(ms: number): Cell {
  return [text.milliseconds(ms), ms];
}

function checked({ check }: EndpointFigures): Cell {
  if (check === null) return ['none'];
  const took = `${text.milliseconds(check.duration_ms) || '0'} ms`;
  return [check.good ? `good, ${took}` : `bad: ${safeLine(check.text)}`];
}
