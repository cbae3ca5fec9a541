// What a service's figures come to: sums over its endpoints and over its replies, for the last row
// of its table in the dashboard and for HAProxy's FRONTEND and BACKEND rows.
import type { Steps } from '../base/turns.ts';
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

/** Sums of figures that live still: a page asks for them in several places. */
const known = new WeakMap<ServiceFigures, Totals>();
/** Endpoints that are summed up in one step. */
const STEP_ENDPOINTS = 256;

/** The sums of figures, made by totalSteps when those were. */
export function totalsOf(service: ServiceFigures): Totals {
  let totals = known.get(service);
  if (totals === undefined) {
    const steps = totalSteps(service);
    let step = steps.next();
    while (step.done !== true) step = steps.next();
    totals = step.value;
  }
  return totals;
}

/** Sums up the endpoints, of which there may be thousands, and keeps the sums for totalsOf. */
export function* totalSteps(service: ServiceFigures): Steps<Totals> {
  const { endpoints } = service;
  const sums = emptySums();
  for (const [i, one] of endpoints.entries()) {
    addTo(sums, one);
    if (i % STEP_ENDPOINTS === STEP_ENDPOINTS - 1) yield '';
  }
  const replied = Object.entries(service.reasons).filter(([code]) => repliedReasons.has(code));
  const totals = {
    ...sums,
    endpoints: endpoints.length,
    codes: classes(service.codes),
    ownReplies: count(replied),
    clientFaults: count(replied.filter(([code]) => clientReasons.has(code))),
    p50: weightedMedian(endpoints),
  };
  known.set(service, totals);
  return totals;
}

/** What endpoints add up to. */
function emptySums() {
  return {
    up: 0,
    weight: 0,
    active: 0,
    requests: 0,
    rate: 0,
    connects: 0,
    connectFailures: 0,
    otherFailures: 0,
    retries: 0,
    ejections: 0,
    downs: 0,
    bytesIn: 0,
    bytesOut: 0,
    lastRequestMs: 0,
    changedMs: 0,
  };
}

function addTo(sums: ReturnType<typeof emptySums>, one: EndpointFigures): void {
  if (isUp(one)) {
    sums.up += 1;
    sums.weight += one.weight;
  }
  sums.active += one.active;
  sums.requests += one.requests;
  sums.rate += one.rate;
  sums.connects += one.connects;
  sums.connectFailures += one.connect_failures;
  sums.otherFailures += Math.max(0, one.failures - one.connect_failures);
  sums.retries += one.retries;
  sums.ejections += one.ejections;
  sums.downs += one.downs;
  sums.bytesIn += one.bytes.in;
  sums.bytesOut += one.bytes.out;
  sums.lastRequestMs = Math.max(sums.lastRequestMs, one.last_request);
  sums.changedMs = Math.max(sums.changedMs, one.since);
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
