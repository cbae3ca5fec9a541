// Every metric of ours, once: name, labels, help, and how its samples are read. Names and help of
// the counters come from ledger/layout.ts. docs/reference/metrics.md is made from this list.
import type { EndpointView, ServiceView, TableView } from '../control/view.ts';
import type { ProviderStatus } from '../discovery/provider.ts';
import { BUCKETS, upperBoundUs } from '../ledger/histogram.ts';
import {
  type CounterRow,
  EndpointColumn,
  endpointRows,
  ServiceColumn,
  serviceRows,
  WorkerColumn,
  workerRows,
} from '../ledger/layout.ts';
import type { Ledger } from '../ledger/ledger.ts';
import { type Reason, reasons } from '../model/reason.ts';
import type { CertificateStatus } from '../model/tls.ts';
import { certificateFamilies } from './certificate-families.ts';
import { statusCodes } from './figures.ts';
import { isUp } from './totals.ts';

export type Labels = Readonly<Record<string, string>>;

export interface Sample {
  readonly labels: Labels;
  readonly value: number;
  /** `_bucket`, `_sum` and `_count` of a histogram. */
  readonly suffix?: string;
}

/** What one scrape reads: the table is asked for its services once. */
export interface Scrape {
  readonly services: readonly ServiceView[];
  /** What is wrong with services that are not served, by name. */
  readonly unserved: ReadonlyMap<string, readonly string[]>;
  readonly ledger: Ledger;
  readonly convergence: TableView['convergence'];
  readonly registries: readonly ProviderStatus[];
  /** The clock of ProviderStatus.lastSyncMs. */
  readonly nowMs: number;
  readonly isReady: boolean;
  readonly memory: { readonly isShort: boolean; readonly resident: number; readonly max: number };
  readonly certificates: readonly CertificateStatus[];
  readonly config: { readonly error: string; readonly loadedMs: number };
  readonly workers: number;
  readonly version: string;
}

export interface Family {
  readonly name: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly help: string;
  readonly labels: readonly string[];
  readonly read: (scrape: Scrape) => Iterable<Sample>;
}

const perReason = (
  name: string,
  help: string,
  read: (ledger: Ledger, slot: number, reason: Reason) => number,
): Family => ({
  name,
  type: 'counter',
  help,
  labels: ['service', 'reason'],
  *read({ services, ledger }) {
    for (const { service, slot } of services) {
      for (const reason of reasons) {
        const value = read(ledger, slot, reason);
        if (value > 0) yield { labels: { service: service.name, reason: reason.code }, value };
      }
    }
  },
});

const perService = (
  { name, type, help }: Pick<Family, 'name' | 'type' | 'help'>,
  read: (view: ServiceView, ledger: Ledger) => number,
): Family => ({
  name,
  type,
  help,
  labels: ['service'],
  *read({ services, ledger }) {
    for (const view of services) {
      yield { labels: { service: view.service.name }, value: read(view, ledger) };
    }
  },
});

const serviceFamilies: readonly Family[] = [
  {
    name: 'upriver_requests_total',
    type: 'counter',
    help: 'Exchanges ended, by status code; code 0 had no response, as TCP sessions have none.',
    labels: ['service', 'code'],
    *read({ services, ledger }) {
      for (const { service, slot } of services) {
        for (const [code, value] of Object.entries(statusCodes(ledger, slot))) {
          yield { labels: { service: service.name, code }, value };
        }
      }
    },
  },
  {
    name: 'upriver_request_duration_seconds',
    type: 'histogram',
    help: 'From the complete head of a request to the end of its response; of a TCP session, all of it.',
    labels: ['service', 'le'],
    *read({ services, ledger }) {
      for (const { service, slot } of services) {
        const sumUs = ledger.serviceTotal(slot, ServiceColumn.latencySumUs);
        yield* durations(ledger.serviceBuckets(slot), sumUs, { service: service.name });
      }
    },
  },
  perService(
    {
      name: 'upriver_connections_active',
      type: 'gauge',
      help: 'Client connections that are open.',
    },
    ({ slot }, ledger) => ledger.connections(slot),
  ),
  perReason(
    'upriver_retries_total',
    'Attempts that failed and were made again, by reason.',
    (ledger, slot, { index }) => ledger.retryTotal(slot, index),
  ),
  perReason(
    'upriver_replies_total',
    "Exchanges that ended otherwise than with an endpoint's response, by reason.",
    (ledger, slot, { index }) => ledger.reasonTotal(slot, index),
  ),
  {
    name: 'upriver_ejections_total',
    type: 'counter',
    help: 'Ejections by why: the kind of failure in a row, silence, success-rate.',
    labels: ['service', 'reason'],
    *read({ services }) {
      for (const { service, ejections } of services) {
        for (const [kind, value] of ejections) {
          yield { labels: { service: service.name, reason: kind }, value };
        }
      }
    },
  },
  perService(
    {
      name: 'upriver_service_panic',
      type: 'gauge',
      help: '1 in panic mode: unhealthy endpoints get traffic too.',
    },
    ({ isPanicking }) => (isPanicking ? 1 : 0),
  ),
  perService(
    {
      name: 'upriver_service_priority',
      type: 'gauge',
      help: 'The priority whose endpoints get the traffic; above the lowest of the service after a failover.',
    },
    ({ priority }) => priority,
  ),
  {
    name: 'upriver_service_problems',
    type: 'gauge',
    help: 'What is wrong with the service itself, served or not: a listener, a setting, a refused endpoint.',
    labels: ['service'],
    *read({ services, unserved }) {
      const left = new Map(unserved);
      for (const { service, problems } of services) {
        const more = left.get(service.name)?.length ?? 0;
        left.delete(service.name);
        yield { labels: { service: service.name }, value: problems.length + more };
      }
      for (const [service, problems] of left) yield { labels: { service }, value: problems.length };
    },
  },
  ...rowFamilies(serviceRows, ['service'], function* (key, more, { services, ledger }) {
    for (const { service, slot } of services) {
      const value = ledger.serviceTotal(slot, ServiceColumn[key]);
      yield { labels: { service: service.name, ...more }, value };
    }
  }),
];

/** Octaves of the ledger's buckets (four each) whose upper ends are exact bounds: 256 us to 134 s. */
const FIRST_OCTAVE = 7;
/** What is longer than the last octave is counted in it, so its end is no bound. */
const LAST_OCTAVE = BUCKETS / 4 - 2;

function* durations(buckets: Float64Array, sumUs: number, labels: Labels): Iterable<Sample> {
  let below = 0;
  for (let bucket = 0; bucket < BUCKETS; bucket += 1) {
    below += buckets[bucket]!;
    const octave = bucket >> 2;
    if (bucket % 4 !== 3 || octave < FIRST_OCTAVE || octave > LAST_OCTAVE) continue;
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
  labels: readonly string[],
  read: (key: Key, more: Labels, scrape: Scrape) => Iterable<Sample>,
): Family[] {
  const byName = Map.groupBy(rows, (row) => row.metric);
  byName.delete('');
  return [...byName].map(([name, members]) => ({
    name,
    type: 'counter',
    help: members[0]!.help,
    labels: [...labels, ...Object.keys(members[0]!.labels ?? {})],
    *read(scrape) {
      for (const { key, labels: more = {} } of members) yield* read(key, more, scrape);
    },
  }));
}

const perEndpoint = (
  { name, type, help }: Pick<Family, 'name' | 'type' | 'help'>,
  read: (endpoint: EndpointView, ledger: Ledger) => number,
): Family => ({
  name,
  type,
  help,
  labels: ['service', 'endpoint'],
  *read({ services, ledger }) {
    for (const { service, endpoints } of services) {
      for (const endpoint of endpoints) {
        const labels = { service: service.name, endpoint: endpoint.id };
        yield { labels, value: read(endpoint, ledger) };
      }
    }
  },
});

const endpointFamilies: readonly Family[] = [
  perEndpoint(
    { name: 'upriver_endpoint_up', type: 'gauge', help: '1 while the endpoint takes new work.' },
    (endpoint) => (isUp(endpoint) ? 1 : 0),
  ),
  perEndpoint(
    {
      name: 'upriver_endpoint_active',
      type: 'gauge',
      help: 'Requests in flight; sessions for protocols tcp and udp.',
    },
    ({ slot }, ledger) => ledger.inFlight(slot),
  ),
  perEndpoint(
    {
      name: 'upriver_endpoint_weight',
      type: 'gauge',
      help: 'Share of the traffic relative to its peers.',
    },
    ({ weight }) => weight,
  ),
  perEndpoint(
    {
      name: 'upriver_endpoint_ejections_total',
      type: 'counter',
      help: 'Times the endpoint was ejected for failing requests.',
    },
    ({ ejections }) => ejections,
  ),
  ...rowFamilies(endpointRows, ['service', 'endpoint'], function* (key, more, scrape) {
    for (const { service, endpoints } of scrape.services) {
      for (const { id, slot } of endpoints) {
        const value = scrape.ledger.endpointTotal(slot, EndpointColumn[key]);
        yield { labels: { service: service.name, endpoint: id, ...more }, value };
      }
    }
  }),
];

const perRegistry = (
  { name, type, help }: Pick<Family, 'name' | 'type' | 'help'>,
  read: (registry: ProviderStatus, scrape: Scrape) => number,
): Family => ({
  name,
  type,
  help,
  labels: ['registry'],
  read: (scrape) =>
    scrape.registries.map((registry) => ({
      labels: { registry: registry.name },
      value: read(registry, scrape),
    })),
});

const single = (
  { name, help }: Pick<Family, 'name' | 'help'>,
  read: (scrape: Scrape) => number,
): Family => ({
  name,
  type: 'gauge',
  help,
  labels: [],
  read: (scrape) => [{ labels: {}, value: read(scrape) }],
});

const processFamilies: readonly Family[] = [
  perRegistry(
    {
      name: 'upriver_registry_sync_age_seconds',
      type: 'gauge',
      help: 'Time since the registry last answered; since the start where it never did.',
    },
    ({ lastSyncMs }, { nowMs }) => Math.max(0, nowMs - lastSyncMs) / 1000,
  ),
  perRegistry(
    {
      name: 'upriver_registry_synced',
      type: 'gauge',
      help: '1 once the registry has answered about everything that is followed.',
    },
    ({ isSynced }) => (isSynced ? 1 : 0),
  ),
  perRegistry(
    {
      name: 'upriver_registry_errors_total',
      type: 'counter',
      help: 'Exchanges with the registry that failed.',
    },
    ({ errors }) => errors,
  ),
  {
    name: 'upriver_registry_second_reads_total',
    type: 'counter',
    help: 'Answers that left out much, or were in doubt, by what a second, consistent read said: confirmed, contradicted, unconfirmed.',
    labels: ['registry', 'result'],
    *read({ registries }) {
      for (const { name, secondReads = {} } of registries) {
        for (const result of ['confirmed', 'contradicted', 'unconfirmed']) {
          yield { labels: { registry: name, result }, value: secondReads[result] ?? 0 };
        }
      }
    },
  },
  perRegistry(
    { name: 'upriver_registry_watches', type: 'gauge', help: 'Queries that wait for changes.' },
    ({ watches }) => watches,
  ),
  {
    name: 'upriver_convergence_seconds',
    type: 'histogram',
    help: "From a registry's answer to the change being live in all workers.",
    labels: ['le'],
    *read({ convergence }) {
      const { bounds, counts, sumSeconds } = convergence;
      let below = 0;
      for (const [i, count] of counts.entries()) {
        below += count;
        const le = i < bounds.length ? String(bounds[i]) : '+Inf';
        yield { labels: { le }, value: below, suffix: '_bucket' };
      }
      yield { labels: {}, value: sumSeconds, suffix: '_sum' };
      yield { labels: {}, value: below, suffix: '_count' };
    },
  },
  single(
    {
      name: 'upriver_ready',
      help: '1 once tables are synced and listeners bound; 0 while draining.',
    },
    ({ isReady }) => (isReady ? 1 : 0),
  ),
  single(
    {
      name: 'upriver_config_last_reload_successful',
      help: '1 unless the last configuration was refused.',
    },
    ({ config }) => (config.error === '' ? 1 : 0),
  ),
  single(
    {
      name: 'upriver_config_last_reload_timestamp_seconds',
      help: 'When the configuration in force was loaded.',
    },
    ({ config }) => config.loadedMs / 1000,
  ),
  ...rowFamilies(workerRows, [], function* (key, more, { ledger }) {
    yield { labels: more, value: ledger.workerTotal(WorkerColumn[key]) };
  }),
  ...certificateFamilies,
  single(
    {
      name: 'upriver_memory_short',
      help: '1 while memory is short, and idle connections and load are shed.',
    },
    ({ memory }) => (memory.isShort ? 1 : 0),
  ),
  single(
    { name: 'upriver_memory_max_bytes', help: 'What the process may take (memory.max).' },
    ({ memory }) => memory.max,
  ),
  single({ name: 'upriver_workers', help: 'Data-plane threads.' }, ({ workers }) => workers),
  {
    name: 'upriver_build_info',
    type: 'gauge',
    help: 'Version of the program and of Node; always 1.',
    labels: ['version', 'node'],
    read: ({ version }) => [{ labels: { version, node: process.versions.node }, value: 1 }],
  },
];

export const families: readonly Family[] = [
  ...serviceFamilies,
  ...endpointFamilies,
  ...processFamilies,
];
