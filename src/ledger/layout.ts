// Every counter of the data plane, once: its key in the code, its metric, its help. The ledger
// gives each row a column; the metrics server, the dashboard and the CSV read the same rows.
// `share` splits one metric over several rows by a label.

export interface CounterRow {
  readonly key: string;
  /** Prometheus name; '' for a column that is only part of another figure. */
  readonly metric: string;
  readonly help: string;
  readonly labels?: Readonly<Record<string, string>>;
}

const RESPONSES = 'Responses by class of status code.';
const BYTES = 'Body bytes relayed: in from clients to endpoints, out from endpoints to clients.';

const DATAGRAMS = 'Datagrams: in from clients, out to clients.';

/** Kept per endpoint and worker. */
export const endpointRows = [
  {
    key: 'attempts',
    metric: 'upriver_endpoint_attempts_total',
    help: 'Requests sent to the endpoint, retries included; sessions for protocols tcp and udp.',
  },
  {
    key: 'connects',
    metric: 'upriver_endpoint_connects_total',
    help: 'Upstream connections opened.',
  },
  {
    key: 'connectFailures',
    metric: 'upriver_endpoint_connect_failures_total',
    help: 'Upstream connections that could not be opened.',
  },
  {
    key: 'resets',
    metric: 'upriver_endpoint_resets_total',
    help: 'Attempts whose connection broke, or that got an invalid response.',
  },
  {
    key: 'timeouts',
    metric: 'upriver_endpoint_timeouts_total',
    help: 'Attempts that timed out: no response, or an incomplete one.',
  },
  {
    key: 'failures',
    metric: 'upriver_endpoint_failures_total',
    help: 'Attempts that failed by the fault of the endpoint.',
  },
  {
    key: 'retries',
    metric: 'upriver_endpoint_retries_total',
    help: 'Attempts that failed here and were repeated.',
  },
  {
    key: 'outcomes',
    metric: 'upriver_endpoint_outcomes_total',
    help: 'Attempts that were answered, or failed; sessions of TCP and UDP that were connected or answered, or failed.',
  },
  {
    key: 'faults',
    metric: 'upriver_endpoint_faults_total',
    help: 'Outcomes that count against the endpoint beside its peers: failed attempts, and answers of 500 and above but 501 and 505.',
  },
  {
    key: 'responses1xx',
    metric: 'upriver_endpoint_responses_total',
    help: RESPONSES,
    labels: { code: '1xx' },
  },
  {
    key: 'responses2xx',
    metric: 'upriver_endpoint_responses_total',
    help: RESPONSES,
    labels: { code: '2xx' },
  },
  {
    key: 'responses3xx',
    metric: 'upriver_endpoint_responses_total',
    help: RESPONSES,
    labels: { code: '3xx' },
  },
  {
    key: 'responses4xx',
    metric: 'upriver_endpoint_responses_total',
    help: RESPONSES,
    labels: { code: '4xx' },
  },
  {
    key: 'responses5xx',
    metric: 'upriver_endpoint_responses_total',
    help: RESPONSES,
    labels: { code: '5xx' },
  },
  {
    key: 'bytesIn',
    metric: 'upriver_endpoint_bytes_total',
    help: BYTES,
    labels: { direction: 'in' },
  },
  {
    key: 'bytesOut',
    metric: 'upriver_endpoint_bytes_total',
    help: BYTES,
    labels: { direction: 'out' },
  },
] as const satisfies readonly CounterRow[];

/** Kept per service and worker. */
export const serviceRows = [
  {
    key: 'requests',
    metric: '',
    help: 'Exchanges ended, with whatever outcome; sessions for protocols tcp and udp.',
  },
  {
    key: 'connections',
    metric: 'upriver_connections_total',
    help: 'Client connections accepted; UDP sessions for protocol udp.',
  },
  { key: 'bytesIn', metric: 'upriver_bytes_total', help: BYTES, labels: { direction: 'in' } },
  { key: 'bytesOut', metric: 'upriver_bytes_total', help: BYTES, labels: { direction: 'out' } },
  {
    key: 'latencySumUs',
    metric: '',
    help: 'Sum of the durations in upriver_request_duration_seconds, microseconds.',
  },
  {
    key: 'upgrades',
    metric: 'upriver_upgrades_total',
    help: 'Exchanges that became tunnels (101 Switching Protocols).',
  },
  {
    key: 'hedges',
    metric: 'upriver_hedges_total',
    help: 'Second tries beside a slow first one.',
  },
  {
    key: 'hedgesWon',
    metric: 'upriver_hedges_won_total',
    help: 'Second tries that answered first.',
  },
  {
    key: 'datagramsIn',
    metric: 'upriver_datagrams_total',
    help: DATAGRAMS,
    labels: { direction: 'in' },
  },
  {
    key: 'datagramsOut',
    metric: 'upriver_datagrams_total',
    help: DATAGRAMS,
    labels: { direction: 'out' },
  },
  {
    key: 'datagramsDropped',
    metric: 'upriver_datagrams_dropped_total',
    help: 'Datagrams, of clients or of endpoints, that were not relayed.',
  },
] as const satisfies readonly CounterRow[];

const HANDSHAKES = 'TLS handshakes with clients.';
const HANDSHAKE_FAILURES = 'TLS handshakes with clients that failed, by reason.';
const failedHandshake = <Key extends string>(key: Key, reason: string) => ({
  key,
  metric: 'upriver_tls_handshake_failures_total',
  help: HANDSHAKE_FAILURES,
  labels: { reason },
});

/** Kept per worker, of no service: before a request is routed. */
export const workerRows = [
  { key: 'tlsHandshakes', metric: 'upriver_tls_handshakes_total', help: HANDSHAKES },
  {
    key: 'tlsResumed',
    metric: 'upriver_tls_resumed_total',
    help: 'TLS handshakes with clients that resumed a session.',
  },
  failedHandshake('tlsClosed', 'closed'),
  failedHandshake('tlsPlain', 'plain'),
  failedHandshake('tlsVersion', 'version'),
  failedHandshake('tlsCipher', 'cipher'),
  failedHandshake('tlsPeer', 'client-certificate'),
  failedHandshake('tlsRefused', 'refused-by-client'),
  failedHandshake('tlsTimeout', 'timeout'),
  failedHandshake('tlsMalformed', 'malformed'),
] as const satisfies readonly CounterRow[];

export type WorkerCounter = (typeof workerRows)[number]['key'];
export type EndpointCounter = (typeof endpointRows)[number]['key'];
export type ServiceCounter = (typeof serviceRows)[number]['key'];

function columnsOf<Key extends string>(
  rows: readonly { readonly key: Key }[],
): Record<Key, number> {
  const columns: Partial<Record<Key, number>> = {};
  rows.forEach((row, column) => {
    columns[row.key] = column;
  });
  return columns as Record<Key, number>;
}

/** Column numbers by key: `ledger.addEndpoint(slot, EndpointColumn.failures, 1)`. */
export const EndpointColumn: Readonly<Record<EndpointCounter, number>> = columnsOf(endpointRows);
export const WorkerColumn: Readonly<Record<WorkerCounter, number>> = columnsOf(workerRows);
export const ServiceColumn: Readonly<Record<ServiceCounter, number>> = columnsOf(serviceRows);
