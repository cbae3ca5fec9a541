// The figures of a service and its endpoints as the dashboard, the API and the CSV show them: the
// ledger's counters, the table's states and what the sampler has seen, together. Names are those of
// the JSON API (docs/reference/admin-api.md).
import type { Steps } from '../base/turns.ts';
import type { Compared, EndpointView, ServiceView } from '../control/view.ts';
import { EndpointColumn, type EndpointCounter, ServiceColumn } from '../ledger/layout.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { ComparisonFigures } from '../model/comparison.ts';
import { takesWork } from '../model/endpoint.ts';
import { formatListen } from '../model/listener.ts';
import { type Reason, reasons } from '../model/reason.ts';
import { formatSource } from '../model/source.ts';
import type { Quantiles, Sampler, ServiceTrack } from './sampler.ts';
import { whyItStays } from './stays.ts';
import { totalSteps } from './totals.ts';

export interface CheckFigures {
  readonly good: boolean;
  readonly text: string;
  readonly duration_ms: number;
  /** ms since the epoch. */
  readonly at: number;
}

export interface SourceFigures {
  /** `consul web`, with what else is asked. */
  readonly source: string;
  readonly priority: number;
}

/** A source that names an endpoint. */
export interface NamingFigures {
  readonly source: string;
  /** The id that the endpoint has there. */
  readonly id: string;
}

export interface EndpointFigures {
  readonly id: string;
  readonly address: string;
  readonly port: number;
  readonly state: string;
  readonly reason: string;
  /** ms since the epoch. */
  readonly since: number;
  readonly weight: number;
  /** Of the best of the sources that name it. */
  readonly priority: number;
  /** The sources that name it, the one that is believed first. */
  readonly sources: readonly NamingFigures[];
  readonly active: number;
  /** The most in flight that was seen. */
  readonly active_max: number;
  readonly requests: number;
  /** Per second. */
  readonly rate: number;
  readonly rate_max: number;
  /** When it last got a request, ms since the epoch; 0 for never. */
  readonly last_request: number;
  readonly failures: number;
  readonly connects: number;
  readonly connect_failures: number;
  readonly retries: number;
  readonly ejections: number;
  /** Times it went down or was ejected. */
  readonly downs: number;
  readonly downtime_seconds: number;
  readonly responses: Readonly<Record<'1xx' | '2xx' | '3xx' | '4xx' | '5xx', number>>;
  readonly bytes: { readonly in: number; readonly out: number };
  /** From request sent to response begun, over the last 30 to 60 s; zeros where there was none. */
  readonly latency_ms: Quantiles;
  readonly check: CheckFigures | null;
  /** Its failures beside those of its peers; null where none of them failed of late. */
  readonly comparison: ComparisonFigures | null;
  /** Why it gets requests although it fails; '' where there is nothing to say. */
  readonly stays: string;
}

/** From clients, to clients, and those of both that were not relayed. */
export interface DatagramFigures {
  readonly in: number;
  readonly out: number;
  readonly dropped: number;
}

export interface ServiceFigures {
  readonly name: string;
  readonly listen: readonly string[];
  readonly protocol: string;
  readonly balance: string;
  /** Registries of its sources. */
  readonly registry: string;
  /** Its sources in their order. */
  readonly sources: readonly SourceFigures[];
  /** Endpoints of this priority get the traffic. */
  readonly priority: number;
  readonly connections: number;
  readonly connections_max: number;
  readonly connections_total: number;
  readonly connection_rate: number;
  readonly connection_rate_max: number;
  readonly requests: number;
  readonly rate: number;
  readonly rate_max: number;
  /** The most that was in flight at its endpoints together. */
  readonly active_max: number;
  readonly upgrades: number;
  readonly bytes: { readonly in: number; readonly out: number };
  /** Of protocol udp; null for others. */
  readonly datagrams: DatagramFigures | null;
  /** Whole exchanges, over the last 30 to 60 s; zeros where there was none. */
  readonly latency_ms: Quantiles;
  /** Exchanges by status code; `0` for those without a response, TCP sessions among them. */
  readonly codes: Readonly<Record<string, number>>;
  /** Exchanges that ended for a reason of model/reason.ts. */
  readonly reasons: Readonly<Record<string, number>>;
  readonly retries: Readonly<Record<string, number>>;
  /** Panic mode: unhealthy endpoints get traffic too. */
  readonly panic: boolean;
  readonly problems: readonly string[];
  readonly endpoints: readonly EndpointFigures[];
}

export interface FigureSources {
  readonly ledger: Ledger;
  readonly sampler: Sampler;
  /** Wall clock, ms since the epoch. */
  readonly nowMs: number;
}

/** A step per endpoint; what they come to is summed up as well (totals.ts). */
export function* figuresInSteps(view: ServiceView, sources: FigureSources): Steps<ServiceFigures> {
  const { service, slot } = view;
  const { ledger, sampler } = sources;
  const track = sampler.known(service.name, slot);
  const endpoints: EndpointFigures[] = [];
  for (const endpoint of view.endpoints) {
    endpoints.push(endpointFigures(endpoint, track, { ...sources, service: view }));
    yield '';
  }
  const total = (column: number) => ledger.serviceTotal(slot, column);
  const figures = {
    name: service.name,
    listen: service.listen.map(({ address }) => formatListen(address)),
    protocol: service.protocol,
    balance: service.balance.policy,
    registry: [...new Set(service.from.map(({ source }) => source.registry))].join(', '),
    sources: service.from.map(({ source, priority }) => ({
      source: formatSource(source),
      priority,
    })),
    priority: view.priority,
    ...meters(track),
    connections: ledger.connections(slot),
    connections_max: Math.max(track.connections.levelMax, ledger.connections(slot)),
    connections_total: total(ServiceColumn.connections),
    requests: total(ServiceColumn.requests),
    upgrades: total(ServiceColumn.upgrades),
    bytes: { in: total(ServiceColumn.bytesIn), out: total(ServiceColumn.bytesOut) },
    datagrams: service.protocol === 'udp' ? datagramsOf(total) : null,
    latency_ms: track.latency.quantiles(ledger.serviceBuckets(slot)),
    codes: statusCodes(ledger, slot),
    reasons: counted(({ index }) => ledger.reasonTotal(slot, index)),
    retries: counted(({ index }) => ledger.retryTotal(slot, index)),
    panic: view.isPanicking,
    problems: view.problems,
    endpoints,
  };
  yield* totalSteps(figures);
  return figures;
}

function meters({ connections, requests, activeMax }: ServiceTrack) {
  return {
    connection_rate: round(connections.rate),
    connection_rate_max: round(connections.rateMax),
    rate: round(requests.rate),
    rate_max: round(requests.rateMax),
    active_max: activeMax,
  };
}

/** The figures of one endpoint; null where the service has no such one. */
export function figuresOfOne(
  service: ServiceView,
  id: string,
  sources: FigureSources,
): EndpointFigures | null {
  const view = service.endpoints.find((one) => one.id === id);
  if (view === undefined) return null;
  const track = sources.sampler.known(service.service.name, service.slot);
  return endpointFigures(view, track, { ...sources, service });
}

function endpointFigures(
  view: EndpointView,
  serviceTrack: ServiceTrack,
  { ledger, nowMs, service }: FigureSources & { readonly service: ServiceView },
): EndpointFigures {
  const compared = view.compared();
  const { isPanicking } = service;
  const total = (key: EndpointCounter) => ledger.endpointTotal(view.slot, EndpointColumn[key]);
  const track = serviceTrack.known(view.id, view.slot);
  const { meter, latency } = track;
  return {
    id: view.id,
    address: view.address,
    port: view.port,
    state: view.state,
    reason: view.reason || standbyText(view, service),
    since: view.sinceMs,
    weight: view.weight,
    priority: view.priority,
    sources: view.namings.map(({ source, id }) => ({ source: formatSource(source), id })),
    active: ledger.inFlight(view.slot),
    active_max: Math.max(meter.levelMax, ledger.inFlight(view.slot)),
    requests: total('attempts'),
    rate: round(meter.rate),
    rate_max: round(meter.rateMax),
    last_request: meter.lastMs,
    failures: total('failures'),
    connects: total('connects'),
    connect_failures: total('connectFailures'),
    retries: total('retries'),
    ejections: view.ejections,
    downs: track.downs,
    downtime_seconds: Math.round(track.downtimeMs(nowMs) / 1000),
    responses: {
      '1xx': total('responses1xx'),
      '2xx': total('responses2xx'),
      '3xx': total('responses3xx'),
      '4xx': total('responses4xx'),
      '5xx': total('responses5xx'),
    },
    bytes: { in: total('bytesIn'), out: total('bytesOut') },
    latency_ms: latency.quantiles(ledger.endpointBuckets(view.slot)),
    check: checkFigures(view.check),
    comparison: comparisonFigures(compared),
    stays: whyItStays(view, { service: service.service, isPanicking, nowMs, compared }),
  };
}

/** Why an endpoint that works gets no requests; '' where it does. */
function standbyText(view: EndpointView, { priority }: ServiceView): string {
  if (view.priority === priority || !takesWork(view)) return '';
  return `standby: priority ${view.priority}, while priority ${priority} is in use`;
}

function checkFigures(check: EndpointView['check']): CheckFigures | null {
  if (check === null) return null;
  const { isGood, text, durationMs, atMs } = check;
  return { good: isGood, text, duration_ms: round(durationMs), at: atMs };
}

function comparisonFigures(compared: Compared | null): ComparisonFigures | null {
  if (compared === null) return null;
  const { own, peers, peerCount, spanMs, evidence, evidenceMin } = compared;
  return {
    requests: own.requests,
    failures: own.faults,
    peers: peerCount,
    peer_requests: peers.requests,
    peer_failures: peers.faults,
    span_seconds: round(spanMs / 1000),
    evidence: round(evidence),
    evidence_needed: evidenceMin,
  };
}

/** Exchanges of the service by exact status code; those without a valid one under `0`. */
export function statusCodes(ledger: Ledger, slot: number): Record<string, number> {
  const codes: Record<string, number> = {};
  let answered = 0;
  for (let status = 100; status < 600; status += 1) {
    const count = ledger.statusTotal(slot, status);
    if (count === 0) continue;
    codes[status] = count;
    answered += count;
  }
  // The workers count on while we read: never below zero.
  const others = ledger.serviceTotal(slot, ServiceColumn.requests) - answered;
  return others > 0 ? { '0': others, ...codes } : codes;
}

function counted(read: (reason: Reason) => number): Record<string, number> {
  return Object.fromEntries(
    reasons.map((reason) => [reason.code, read(reason)] as const).filter(([, count]) => count > 0),
  );
}

function round(value: number): number {
  return Math.round(value * 1000) / 1000;
}

function datagramsOf(total: (column: number) => number): DatagramFigures {
  const { datagramsIn, datagramsOut, datagramsDropped } = ServiceColumn;
  return { in: total(datagramsIn), out: total(datagramsOut), dropped: total(datagramsDropped) };
}
