// Prometheus metrics: nothing is counted here. At each scrape the ledger and the table are read, so
// the series of an endpoint that has left are gone with it. Names and help of the counters come from
// ledger/layout.ts.
import { collectDefaultMetrics, type Metric, Registry } from 'prom-client';
import { BUCKETS, upperBoundUs } from '../ledger/histogram.ts';
import {
  type CounterRow,
  EndpointColumn,
  endpointRows,
  ServiceColumn,
  serviceRows,
} from '../ledger/layout.ts';
import { reasons } from '../model/reason.ts';
import type { StatsSources } from './sources.ts';

type Labels = Readonly<Record<string, string>>;

interface Sample {
  readonly labels: Labels;
  readonly value: number;
  /** `_bucket`, `_sum` and `_count` of a histogram. */
  readonly suffix?: string;
}

interface Family {
  readonly name: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly help: string;
  readonly read: () => Iterable<Sample>;
}

/** A registry of its own with every family; `collectDefaults` adds those of the process. */
export function createMetrics(sources: StatsSources): Registry {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  for (const family of families(sources)) registry.registerMetric(metricOf(family));
  return registry;
}

/** What the client library asks of a metric: a name and a way to get plain values. */
function metricOf({ name, type, help, read }: Family): Metric {
  const metric = {
    name,
    help,
    type,
    aggregator: 'sum',
    get: () =>
      Promise.resolve({
        name,
        help,
        type,
        aggregator: 'sum',
        values: [...read()].map(({ labels, value, suffix }) => ({
          labels,
          value,
          ...(suffix === undefined ? {} : { metricName: `${name}${suffix}` }),
        })),
      }),
    reset() {},
  };
  // The library takes any object of this shape; its types know its own classes alone.
  return metric as unknown as Metric;
}

function families(sources: StatsSources): Family[] {
  return [...serviceFamilies(sources), ...endpointFamilies(sources), ...processFamilies(sources)];
}

function serviceFamilies({ view, ledger }: StatsSources): Family[] {
  const perService = function* (read: (slot: number, labels: Labels) => Iterable<Sample>) {
    for (const { service, slot } of view.services()) yield* read(slot, { service: service.name });
  };
  return [
    {
      name: 'upriver_requests_total',
      type: 'counter',
      help: 'Exchanges ended, by status code; code 0 had no response.',
      read: () =>
        perService(function* (slot, labels) {
          for (let status = 100; status < 600; status += 1) {
            const value = ledger.statusTotal(slot, status);
            if (value > 0) yield { labels: { ...labels, code: String(status) }, value };
          }
        }),
    },
    {
      name: 'upriver_request_duration_seconds',
      type: 'histogram',
      help: 'From the first byte of a request to the end of its response.',
      read: () => perService((slot, labels) => durationSamples(sources(ledger, slot), labels)),
    },
    {
      name: 'upriver_connections_active',
      type: 'gauge',
      help: 'Client connections that are open.',
      read: () => perService((slot, labels) => [{ labels, value: ledger.connections(slot) }]),
    },
    reasonFamily(
      'upriver_retries_total',
      'Attempts that failed and were made again, by reason.',
      (slot, i) => ledger.retryTotal(slot, i),
    ),
    reasonFamily(
      'upriver_failures_total',
      'Exchanges that ended for a reason of ours, by reason.',
      (slot, i) => ledger.reasonTotal(slot, i),
    ),
    ...rowFamilies(serviceRows, (row, labels) =>
      perService((slot, own) => [
        { labels: { ...own, ...labels }, value: ledger.serviceTotal(slot, ServiceColumn[row]) },
      ]),
    ),
  ];

  function reasonFamily(
    name: string,
    help: string,
    read: (slot: number, index: number) => number,
  ): Family {
    return {
      name,
      type: 'counter',
      help,
      read: () =>
        perService(function* (slot, labels) {
          for (const { code, index } of reasons) {
            const value = read(slot, index);
            if (value > 0) yield { labels: { ...labels, reason: code }, value };
          }
        }),
    };
  }
}

interface DurationCounts {
  readonly buckets: Float64Array;
  readonly sumUs: number;
}

function sources(ledger: StatsSources['ledger'], slot: number): DurationCounts {
  return {
    buckets: ledger.serviceBuckets(slot),
    sumUs: ledger.serviceTotal(slot, ServiceColumn.latencySumUs),
  };
}

/** Octaves of the ledger's buckets from 128 us on: four of its buckets each, so they are exact. */
const FIRST_OCTAVE = 7;

function* durationSamples({ buckets, sumUs }: DurationCounts, labels: Labels): Iterable<Sample> {
  let below = 0;
  for (let bucket = 0; bucket < BUCKETS; bucket += 1) {
    below += buckets[bucket]!;
    const isOctave = bucket % 4 === 3 && bucket >> 2 >= FIRST_OCTAVE;
    if (!isOctave) continue;
    const le = String(upperBoundUs(bucket) / 1e6);
    yield { labels: { ...labels, le }, value: below, suffix: '_bucket' };
  }
  yield { labels: { ...labels, le: '+Inf' }, value: below, suffix: '_bucket' };
  yield { labels, value: sumUs / 1e6, suffix: '_sum' };
  yield { labels, value: below, suffix: '_count' };
}

/** One family per metric name of the layout; rows that share a name differ by label. */
function rowFamilies<Key extends string>(
  rows: readonly (CounterRow & { readonly key: Key })[],
  read: (row: Key, labels: Labels) => Iterable<Sample>,
): Family[] {
  const names = [...new Set(rows.map((row) => row.metric).filter((name) => name !== ''))];
  return names.map((name) => {
    const members = rows.filter((row) => row.metric === name);
    return {
      name,
      type: 'counter',
      help: members[0]!.help,
      *read() {
        for (const row of members) yield* read(row.key, row.labels ?? {});
      },
    };
  });
}

function endpointFamilies({ view, ledger }: StatsSources): Family[] {
  const perEndpoint = function* (
    read: (endpoint: { slot: number; state: string; ejections: number; weight: number }) => number,
    more: Labels = {},
  ): Iterable<Sample> {
    for (const { service, endpoints } of view.services()) {
      for (const endpoint of endpoints) {
        const labels = { service: service.name, endpoint: endpoint.id, ...more };
        yield { labels, value: read(endpoint) };
      }
    }
  };
  return [
    {
      name: 'upriver_endpoint_up',
      type: 'gauge',
      help: '1 while the endpoint takes new work.',
      read: () => perEndpoint(({ state }) => (state === 'up' || state === 'slow-start' ? 1 : 0)),
    },
    {
      name: 'upriver_endpoint_active',
      type: 'gauge',
      help: 'Requests in flight; TCP sessions for protocol tcp.',
      read: () => perEndpoint(({ slot }) => ledger.inFlight(slot)),
    },
    {
      name: 'upriver_endpoint_weight',
      type: 'gauge',
      help: 'Share of the traffic relative to its peers.',
      read: () => perEndpoint(({ weight }) => weight),
    },
    {
      name: 'upriver_endpoint_ejections_total',
      type: 'counter',
      help: 'Times the endpoint was ejected for failing requests.',
      read: () => perEndpoint(({ ejections }) => ejections),
    },
    ...rowFamilies(endpointRows, (row, labels) =>
      perEndpoint(({ slot }) => ledger.endpointTotal(slot, EndpointColumn[row]), labels),
    ),
  ];
}

function processFamilies(options: StatsSources): Family[] {
  const { view, clock, providers, config } = options;
  const perRegistry = (read: (provider: ReturnType<typeof providers>[number]) => number) =>
    providers().map((provider) => ({ labels: { registry: provider.name }, value: read(provider) }));
  return [
    {
      name: 'upriver_registry_sync_age_seconds',
      type: 'gauge',
      help: 'Time since the registry last answered.',
      read: () => perRegistry(({ lastSyncMs }) => (clock.nowMs() - lastSyncMs) / 1000),
    },
    {
      name: 'upriver_registry_errors_total',
      type: 'counter',
      help: 'Exchanges with the registry that failed.',
      read: () => perRegistry(({ errors }) => errors),
    },
    {
      name: 'upriver_convergence_seconds',
      type: 'histogram',
      help: "From a registry's answer to the change being live in all workers.",
      read: () => convergenceSamples(view.convergence),
    },
    {
      name: 'upriver_config_last_reload_successful',
      type: 'gauge',
      help: '1 unless the last configuration was refused.',
      read: () => [{ labels: {}, value: config().error === '' ? 1 : 0 }],
    },
    {
      name: 'upriver_workers',
      type: 'gauge',
      help: 'Data-plane threads.',
      read: () => [{ labels: {}, value: options.workers }],
    },
    {
      name: 'upriver_build_info',
      type: 'gauge',
      help: 'Version of the program and of Node.',
      read: () => [{ labels: { version: options.version, node: process.versions.node }, value: 1 }],
    },
  ];
}

function* convergenceSamples({
  bounds,
  counts,
  sumSeconds,
}: StatsSources['view']['convergence']): Iterable<Sample> {
  let below = 0;
  for (const [i, count] of counts.entries()) {
    below += count;
    const le = i < bounds.length ? String(bounds[i]) : '+Inf';
    yield { labels: { le }, value: below, suffix: '_bucket' };
  }
  yield { labels: {}, value: sumSeconds, suffix: '_sum' };
  yield { labels: {}, value: below, suffix: '_count' };
}
