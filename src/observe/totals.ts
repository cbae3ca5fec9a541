// What a service's figures come to: sums over its endpoints and over its replies, for the last row
// of its table in the dashboard and for HAProxy's FRONTEND and BACKEND rows.
import { reasons } from '../model/reason.ts';
import type { EndpointFigures, ServiceFigures } from './figures.ts';

export interface Totals {
  /** Endpoints that take new work. */
  readonly up: number;
  readonly endpoints: number;
  /** Of those that are up. */
  readonly weight: number;
  readonly active: number;
  readonly requests: number;
  readonly rate: number;
  readonly connects: number;
  readonly connectFailures: number;
  readonly otherFailures: number;
  readonly retries: number;
  readonly ejections: number;
  readonly downs: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  /** Exchanges by first digit of their code; 0 for those without a response. */
  readonly codes: Readonly<Record<number, number>>;
  /** Replies that we made ourselves. */
  readonly ownReplies: number;
  /** Of those, the ones for faults of the client. */
  readonly clientFaults: number;
  /** Median over the endpoints' medians, weighted by their requests; ms. */
  readonly p50: number;
  /** ms since the epoch; 0 for never. */
  readonly lastRequestMs: number;
  readonly changedMs: number;
}

const clientReasons = new Set(reasons.filter(({ side }) => side === 'client').map(codeOf));
const repliedReasons = new Set(reasons.filter(({ status }) => status > 0).map(codeOf));

function codeOf({ code }: { readonly code: string }): string {
  return code;
}

export function isUp({ state }: { readonly state: string }): boolean {
  return state === 'up' || state === 'slow-start';
}

/** Sums that were made for figures that live still: a page asks for them in several places. */
const known = new WeakMap<ServiceFigures, Totals>();

export function totalsOf(service: ServiceFigures): Totals {
  let totals = known.get(service);
  if (totals === undefined) {
    totals = sumUp(service);
    known.set(service, totals);
  }
  return totals;
}

function sumUp(service: ServiceFigures): Totals {
  const { endpoints } = service;
  const up = endpoints.filter(isUp);
  const sum = (read: (one: EndpointFigures) => number) =>
    endpoints.reduce((total, one) => total + read(one), 0);
  const latest = (read: (one: EndpointFigures) => number) =>
    endpoints.reduce((last, one) => Math.max(last, read(one)), 0);
  const replied = Object.entries(service.reasons).filter(([code]) => repliedReasons.has(code));
  return {
    up: up.length,
    endpoints: endpoints.length,
    weight: up.reduce((total, { weight }) => total + weight, 0),
    active: sum(({ active }) => active),
    requests: sum(({ requests }) => requests),
    rate: sum(({ rate }) => rate),
    connects: sum(({ connects }) => connects),
    connectFailures: sum((one) => one.connect_failures),
    otherFailures: sum((one) => Math.max(0, one.failures - one.connect_failures)),
    retries: sum(({ retries }) => retries),
    ejections: sum(({ ejections }) => ejections),
    downs: sum(({ downs }) => downs),
    bytesIn: sum(({ bytes }) => bytes.in),
    bytesOut: sum(({ bytes }) => bytes.out),
    codes: classes(service.codes),
    ownReplies: count(replied),
    clientFaults: count(replied.filter(([code]) => clientReasons.has(code))),
    p50: weightedMedian(endpoints),
    lastRequestMs: latest((one) => one.last_request),
    changedMs: latest(({ since }) => since),
  };
}

function classes(codes: Readonly<Record<string, number>>): Record<number, number> {
  const byClass: Record<number, number> = {};
  for (const [code, total] of Object.entries(codes)) {
    const first = Math.floor(Number(code) / 100);
    byClass[first] = (byClass[first] ?? 0) + total;
  }
  return byClass;
}

function count(entries: readonly (readonly [string, number])[]): number {
  return entries.reduce((total, [, one]) => total + one, 0);
}

function weightedMedian(endpoints: readonly EndpointFigures[]): number {
  const used = endpoints
    .filter((one) => one.latency_ms.p50 > 0)
    .sort((a, b) => a.latency_ms.p50 - b.latency_ms.p50);
  const half = used.reduce((total, { requests }) => total + requests, 0) / 2;
  let below = 0;
  for (const { latency_ms, requests } of used) {
    below += requests;
    if (below >= half) return latency_ms.p50;
  }
  return 0;
}
