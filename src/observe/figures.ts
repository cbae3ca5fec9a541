// The figures of a service and its endpoints as the dashboard, the API and the CSV show them: the
// ledger's counters together with the table's states.
import type { EndpointView, ServiceView } from '../control/view.ts';
import { quantileMs } from '../ledger/histogram.ts';
import { EndpointColumn, type EndpointCounter, ServiceColumn } from '../ledger/layout.ts';
import type { Ledger } from '../ledger/ledger.ts';
import { formatListen } from '../model/listener.ts';
import { reasons } from '../model/reason.ts';

export interface EndpointFigures {
  readonly id: string;
  readonly address: string;
  readonly port: number;
  readonly state: string;
  readonly reason: string;
  /** ms since the epoch. */
  readonly since: number;
  readonly weight: number;
  readonly active: number;
  readonly requests: number;
  readonly failures: number;
  readonly connect_failures: number;
  readonly retries: number;
  readonly ejections: number;
  readonly responses: Readonly<Record<'1xx' | '2xx' | '3xx' | '4xx' | '5xx', number>>;
  readonly bytes: { readonly in: number; readonly out: number };
  readonly latency_ms: { readonly p50: number; readonly p99: number };
  readonly check: {
    readonly good: boolean;
    readonly text: string;
    readonly duration_ms: number;
    readonly at: number;
  } | null;
}

export interface ServiceFigures {
  readonly name: string;
  readonly listen: readonly string[];
  readonly protocol: string;
  readonly balance: string;
  readonly registry: string;
  readonly connections: number;
  readonly requests: number;
  readonly bytes: { readonly in: number; readonly out: number };
  readonly latency_ms: { readonly p50: number; readonly p99: number };
  /** Exchanges that ended for a reason of model/reason.ts. */
  readonly reasons: Readonly<Record<string, number>>;
  readonly problems: readonly string[];
  readonly endpoints: readonly EndpointFigures[];
}

export function serviceFigures(view: ServiceView, ledger: Ledger): ServiceFigures {
  const { service, slot } = view;
  const buckets = ledger.serviceBuckets(slot);
  return {
    name: service.name,
    listen: service.listen.map(formatListen),
    protocol: service.protocol,
    balance: service.balance.policy,
    registry: service.from.registry,
    connections: ledger.connections(slot),
    requests: ledger.serviceTotal(slot, ServiceColumn.requests),
    bytes: {
      in: ledger.serviceTotal(slot, ServiceColumn.bytesIn),
      out: ledger.serviceTotal(slot, ServiceColumn.bytesOut),
    },
    latency_ms: quantiles(buckets),
    reasons: Object.fromEntries(
      reasons
        .map(({ code, index }) => [code, ledger.reasonTotal(slot, index)] as const)
        .filter(([, count]) => count > 0),
    ),
    problems: view.problems,
    endpoints: view.endpoints.map((endpoint) => endpointFigures(endpoint, ledger)),
  };
}

function endpointFigures(view: EndpointView, ledger: Ledger): EndpointFigures {
  const total = (key: EndpointCounter) => ledger.endpointTotal(view.slot, EndpointColumn[key]);
  return {
    id: view.id,
    address: view.address,
    port: view.port,
    state: view.state,
    reason: view.reason,
    since: view.sinceMs,
    weight: view.weight,
    active: ledger.inFlight(view.slot),
    requests: total('attempts'),
    failures: total('failures'),
    connect_failures: total('connectFailures'),
    retries: total('retries'),
    ejections: view.ejections,
    responses: {
      '1xx': total('responses1xx'),
      '2xx': total('responses2xx'),
      '3xx': total('responses3xx'),
      '4xx': total('responses4xx'),
      '5xx': total('responses5xx'),
    },
    bytes: { in: total('bytesIn'), out: total('bytesOut') },
    latency_ms: quantiles(ledger.endpointBuckets(view.slot)),
    check:
      view.check === null
        ? null
        : {
            good: view.check.isGood,
            text: view.check.text,
            duration_ms: round(view.check.durationMs),
            at: view.check.atMs,
          },
  };
}

function quantiles(buckets: Float64Array): { p50: number; p99: number } {
  return { p50: round(quantileMs(buckets, 0.5)), p99: round(quantileMs(buckets, 0.99)) };
}

function round(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}
