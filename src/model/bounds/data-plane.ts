// What clients and endpoints of the data plane may stretch without a setting of their service.
import type { Bound } from './bound.ts';

export const DATA_PLANE = {
  http2Streams: {
    input: 'HTTP/2 connection of a client',
    what: 'requests at the same time',
    max: 100,
    unit: 'items',
    beyond: 'further ones are refused with REFUSED_STREAM, and may be sent again',
  },
  http2Window: {
    input: 'HTTP/2 request',
    what: 'content that is taken before an endpoint takes it',
    max: 64 * 1024 - 1,
    unit: 'bytes',
    beyond: 'the connection is closed with FLOW_CONTROL_ERROR',
  },
  http2EndpointStreams: {
    input: 'HTTP/2 connection to an endpoint',
    what: 'requests at the same time, or fewer where the endpoint says so',
    max: 100,
    unit: 'items',
    beyond: 'another connection is opened',
  },
  http2ResponseWindow: {
    input: 'HTTP/2 response',
    what: 'content that is taken before the client takes it',
    max: 256 * 1024,
    unit: 'bytes',
    beyond: 'the connection is closed with FLOW_CONTROL_ERROR',
  },
  introducedConnections: {
    input: 'client connection whose endpoints get PROXY headers (upstream.send_proxy, HTTP)',
    what: 'idle connections to one endpoint that are kept for it',
    max: 4,
    unit: 'items',
    beyond: 'further ones close after their response',
  },
  introducedEndpoints: {
    input: 'the same',
    what: 'endpoints to which connections are kept for it',
    max: 16,
    unit: 'items',
    beyond: 'those to the endpoint that it met first close',
  },
  http2Frames: {
    input: 'HTTP/2 connection',
    what: 'frames that are read in one turn of the event loop; the head of a request counts as 32',
    max: 4096,
    unit: 'items',
    beyond: 'they wait for the next turn, or for 25 ms where the average is below 64 bytes',
  },
} as const satisfies Readonly<Record<string, Bound>>;
