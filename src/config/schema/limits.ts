// How long things may take, and how much there may be: `timeouts`, `limits`, `tcp`; with the keys
// that belong to a listener.
import { z } from 'zod';
import type { Limits, Timeouts } from '../../model/service.ts';
import { count, duration, flag, size } from '../values.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;
const IDLE_UDP_MS = 30_000;

/** What belongs to a listener: of a service that has one, or of a router. */
export const listenerTimeouts = {
  client_header: duration(1)
    .prefault('10s')
    .meta({ description: 'From the first byte of a request head to its last.' }),
  keep_alive: duration(1)
    .prefault('1m')
    .meta({ description: 'How long a client connection may wait for its next request.' }),
};

export const listenerLimits = {
  header_bytes: size.prefault('32KiB').meta({ description: 'Size of a request head.' }),
  header_count: count(1, 1000).prefault(100).meta({ description: 'Fields of a request head.' }),
  target_bytes: size.prefault('8KiB').meta({ description: 'Length of a request target.' }),
  keep_alive_requests: count(0, 1_000_000_000)
    .prefault(0)
    .meta({ description: 'Requests on one client connection; 0 is no limit.' }),
  pipelined: count(0, 1_000_000).prefault(0).meta({
    description:
      'Requests that a client may have sent ahead of their answers; 0 is what fits into one read (64 KiB).',
  }),
};

/** Paths of the keys of a service that mean nothing where only routers lead to it. */
export const LISTENER_KEYS: readonly (readonly string[])[] = [
  ...Object.keys(listenerTimeouts).map((key) => ['timeouts', key]),
  ...Object.keys(listenerLimits).map((key) => ['limits', key]),
];

export const timeoutsSchema = z.strictObject({
  connect: duration(1).prefault('5s').meta({ description: 'To connect to an endpoint.' }),
  response: duration(1)
    .prefault('1m')
    .meta({ description: 'From the request sent to the first byte of the response.' }),
  idle: duration()
    .optional()
    .meta({ description: 'Default of the next four; without it each has its own default.' }),
  // Optional, since a default of their own would hide whether `idle` is to be taken.
  idle_body: duration()
    .optional()
    .meta({ 'x-default': '1m', description: 'Between two pieces of a body; 0 is no limit.' }),
  idle_tunnel: duration().optional().meta({
    'x-default': '1h',
    description: 'An upgraded connection without a byte either way; 0 is no limit.',
  }),
  idle_tcp: duration().optional().meta({
    'x-default': '1h',
    description: 'A TCP session without a byte either way; 0 is no limit.',
  }),
  idle_udp: duration(1).optional().meta({
    'x-default': '30s',
    description: 'A UDP session without a datagram either way.',
  }),
  ...listenerTimeouts,
  request: duration().prefault('0s').meta({
    description:
      'From the request head to the end of the response, with all attempts; 0 is no limit.',
  }),
});

export const limitsSchema = z.strictObject({
  connections: count(1, 10_000_000)
    .prefault(10_000)
    .meta({ description: 'Client connections, or UDP sessions, of the service; per process.' }),
  connections_per_client: count(0, 10_000_000)
    .prefault(0)
    .meta({ description: 'The same for each client address; 0 is no limit.' }),
  per_endpoint: count(0, 1_000_000).prefault(0).meta({
    description: 'Requests in flight, or sessions, per endpoint and process; 0 is no limit.',
  }),
  queue: count(0, 1_000_000)
    .prefault(1000)
    .meta({ description: 'Requests that may wait for a place, per process.' }),
  queue_timeout: duration().prefault('5s').meta({ description: 'How long one may wait.' }),
  park: duration().prefault('0s').meta({
    description:
      'How long requests wait for an endpoint to come up when there is none; 0 answers 503 at once.',
  }),
  requests: count(0, 1_000_000).prefault(0).meta({
    description:
      'Requests in flight of the service, over all workers of the process; more wait in the queue. 0 is no limit.',
  }),
  adaptive: flag.prefault(false).meta({
    description:
      'Find such a limit from response times, each process its own, and answer 503 early above it.',
  }),
  ...listenerLimits,
  body: size.prefault('0').meta({ description: 'Size of a request body; 0 is no limit.' }),
  idle_upstream: count(0, 100_000)
    .prefault(100)
    .meta({ description: 'Idle upstream connections kept per endpoint and worker.' }),
  idle_upstream_time: duration().prefault('30s').meta({ description: 'How long one is kept.' }),
  upstream_age: duration()
    .prefault('0s')
    .meta({ description: 'How long an upstream connection gets new requests; 0 is no limit.' }),
});

/** `idle` is the default of the four idle times; 0 turns one off, but for UDP. */
export function buildTimeouts(timeouts: z.output<typeof timeoutsSchema>): Timeouts {
  return {
    connectMs: timeouts.connect,
    responseMs: timeouts.response,
    idleBodyMs: timeouts.idle_body ?? timeouts.idle ?? MINUTE_MS,
    idleTunnelMs: timeouts.idle_tunnel ?? timeouts.idle ?? HOUR_MS,
    idleTcpMs: timeouts.idle_tcp ?? timeouts.idle ?? HOUR_MS,
    // A source that has gone says nothing, so there is always a limit.
    idleUdpMs: timeouts.idle_udp ?? (timeouts.idle || IDLE_UDP_MS),
    clientHeaderMs: timeouts.client_header,
    keepAliveMs: timeouts.keep_alive,
    requestMs: timeouts.request,
  };
}

export function buildLimits(limits: z.output<typeof limitsSchema>): Limits {
  return {
    connections: limits.connections,
    connectionsPerClient: limits.connections_per_client,
    perEndpoint: limits.per_endpoint,
    queue: limits.queue,
    queueTimeoutMs: limits.queue_timeout,
    parkMs: limits.park,
    requests: limits.requests,
    adaptive: limits.adaptive,
    headerBytes: limits.header_bytes,
    headerCount: limits.header_count,
    targetBytes: limits.target_bytes,
    bodyBytes: limits.body,
    keepAliveRequests: limits.keep_alive_requests,
    pipelined: limits.pipelined,
    idleUpstream: limits.idle_upstream,
    idleUpstreamMs: limits.idle_upstream_time,
    upstreamAgeMs: limits.upstream_age,
  };
}
