// Why a request, an attempt or a connection ended otherwise than well: one row per reason.
// The replies we make ourselves, X-Upriver-Reason, the access log, the `reason` labels of the
// metrics, the decision to retry and docs/reference/reasons.md all read this table, so they can't
// disagree. A failure in the data plane is a value (a row of this table), never a thrown error.

/** Whose fault it was. */
export type Side = 'client' | 'upstream' | 'self';

/**
 * What a failed attempt permits (RFC 9110 section 9.2.2):
 * never - the request may have been acted on, or another endpoint would not help;
 * unsent - no byte of the request reached the endpoint: any method may be tried again;
 * idempotent - it may have been acted on: only idempotent methods may be tried again.
 */
export type RetryRule = 'never' | 'unsent' | 'idempotent';

export interface Reason {
  /** Stable identifier: header value, label value, log field. */
  readonly code: string;
  /** Its row number: the ledger's column for it. */
  readonly index: number;
  readonly side: Side;
  /** Status of our own reply when it ends the exchange before a response began; 0: no reply is possible. */
  readonly status: number;
  readonly retry: RetryRule;
  /** What `retry.on` calls this kind of failure; '' where configuration can't choose it. */
  readonly retryOn: '' | 'connect' | 'reset' | 'timeout' | 'bad-response' | 'status';
  /** Counts as a failure of the endpoint for passive health. */
  readonly blamesEndpoint: boolean;
  /** One human-readable sentence; the body of our reply. */
  readonly text: string;
}

type Row = Omit<Reason, 'code' | 'index'>;

const client = (status: number, text: string): Row => ({
  side: 'client',
  status,
  retry: 'never',
  retryOn: '',
  blamesEndpoint: false,
  text,
});

const self = (status: number, text: string): Row => ({
  side: 'self',
  status,
  retry: 'never',
  retryOn: '',
  blamesEndpoint: false,
  text,
});

const upstream = (
  status: number,
  retry: RetryRule,
  retryOn: Reason['retryOn'],
  text: string,
): Row => ({ side: 'upstream', status, retry, retryOn, blamesEndpoint: true, text });

const rows = {
  // The client's faults (RFC 9112).
  'bad-request-line': client(400, 'The request line is malformed.'),
  'bad-header': client(400, 'A header field is malformed.'),
  'bad-line-end': client(400, 'A line does not end in CRLF.'),
  'bad-host': client(400, 'The Host field is missing, repeated or malformed.'),
  'bad-content-length': client(400, 'Content-Length is malformed or repeated.'),
  'bad-transfer-encoding': client(400, 'Transfer-Encoding is malformed or not allowed here.'),
  'ambiguous-length': client(400, 'Both Content-Length and Transfer-Encoding are present.'),
  'bad-chunk': client(400, 'The chunked body is malformed.'),
  'bad-trailer': client(400, 'The trailer section is malformed or too large.'),
  'bad-connection-option': client(400, 'Connection names a field that must not be removed.'),
  'client-header-timeout': client(408, 'The request head took too long to arrive.'),
  'client-body-timeout': client(408, 'The request body took too long to arrive.'),
  'body-too-large': client(413, 'The request body is larger than allowed.'),
  'target-too-long': client(414, 'The request target is longer than allowed.'),
  'bad-expectation': client(417, 'Only Expect: 100-continue is supported.'),
  'header-too-large': client(431, 'The request head is larger than allowed.'),
  'method-not-allowed': client(405, 'This method is not served here.'),
  'client-connections': client(429, 'This client has too many connections open.'),
  'client-datagrams': client(0, 'This client has sent too many datagrams.'),
  'bad-client-hello': client(0, 'The connection does not begin with a valid TLS ClientHello.'),
  'bad-proxy-header': client(
    0,
    'The connection does not begin with a valid PROXY protocol header, or one came from an untrusted network.',
  ),
  'unsupported-coding': client(501, 'Only the chunked transfer coding is supported.'),
  'unsupported-protocol': client(501, 'Over HTTP/2 only the upgrade to WebSocket is supported.'),
  'bad-version': client(505, 'Only HTTP/1.0 and HTTP/1.1 are supported.'),
  'http2-error': client(400, 'The client broke a rule of HTTP/2.'),
  'http2-flood': client(0, 'The client sent more HTTP/2 frames than its requests need.'),
  'client-closed': client(0, 'The client closed the connection before the response was complete.'),
  'client-idle': client(0, 'The client sent nothing for too long.'),

  // Nothing to send to, or our own limits.
  'no-service': self(404, 'No route matches this host and path.'),
  'no-endpoint': self(503, 'no healthy endpoint'),
  'queue-full': self(503, 'Every endpoint is at its limit and the queue is full.'),
  'queue-timeout': self(503, 'Every endpoint stayed at its limit for too long.'),
  overloaded: self(503, 'Overloaded: concurrency limit reached.'),
  'out-of-descriptors': self(503, 'This balancer has no file descriptor or port left.'),
  'out-of-memory': self(503, 'Low on memory: shedding load.'),
  'request-timeout': self(504, 'The request exceeded its total timeout.'),
  'too-many-connections': self(503, 'The service is at its connection limit.'),
  draining: self(503, 'This balancer is shutting down.'),
  loop: self(508, 'The request passed through this balancer before.'),
  bug: self(500, 'The balancer broke one of its own rules on this connection.'),

  // The endpoint's faults.
  'connect-refused': upstream(502, 'unsent', 'connect', 'The endpoint refused the connection.'),
  'connect-failed': upstream(502, 'unsent', 'connect', 'The endpoint could not be reached.'),
  'connect-timeout': upstream(
    504,
    'unsent',
    'connect',
    'Connecting to the endpoint took too long.',
  ),
  'tls-untrusted': upstream(502, 'unsent', 'connect', "The endpoint's certificate is not trusted."),
  'tls-wrong-name': upstream(
    502,
    'unsent',
    'connect',
    "The endpoint's certificate is for another name.",
  ),
  'tls-plain': upstream(502, 'unsent', 'connect', 'The endpoint does not speak TLS.'),
  'tls-refused': upstream(502, 'unsent', 'connect', 'The TLS handshake with the endpoint failed.'),
  'stream-refused': {
    ...upstream(503, 'unsent', 'connect', 'The endpoint did not take the HTTP/2 stream.'),
    blamesEndpoint: false,
  },
  'no-tunnels': {
    ...upstream(501, 'unsent', 'connect', 'The endpoint speaks HTTP/2 and takes no WebSockets.'),
    blamesEndpoint: false,
  },
  'session-refused': upstream(
    0,
    'unsent',
    'connect',
    'The endpoint closed the TCP session before it sent anything.',
  ),
  'stale-connection': {
    ...upstream(502, 'idempotent', 'reset', 'A kept connection turned out to be closed.'),
    blamesEndpoint: false,
  },
  reset: upstream(502, 'idempotent', 'reset', 'The endpoint closed before it answered.'),
  'response-timeout': upstream(
    504,
    'idempotent',
    'timeout',
    'The endpoint did not answer in time.',
  ),
  'not-primary': {
    ...upstream(
      502,
      'idempotent',
      'reset',
      'The endpoint is no longer the primary: requests and sessions on it are ended.',
    ),
    blamesEndpoint: false,
  },
  'endpoint-left': {
    ...upstream(
      0,
      'never',
      '',
      'The endpoint is down, drained or gone, and its sessions are closed.',
    ),
    blamesEndpoint: false,
  },
  'endpoint-down': {
    ...upstream(502, 'idempotent', 'timeout', 'The endpoint went down before it answered.'),
    blamesEndpoint: false,
  },
  'bad-response': upstream(
    502,
    'idempotent',
    'bad-response',
    'The endpoint sent a malformed response.',
  ),
  'response-head-too-large': upstream(
    502,
    'never',
    '',
    'The response head is larger than allowed.',
  ),
  'unexpected-upgrade': upstream(502, 'never', '', 'The endpoint switched protocols unasked.'),
  'retry-status': {
    ...upstream(
      502,
      'idempotent',
      'status',
      'The endpoint answered with a status that is retried.',
    ),
    blamesEndpoint: true,
  },
  'response-cut': upstream(0, 'never', '', 'The endpoint closed in the middle of its response.'),
  'response-stalled': upstream(
    0,
    'never',
    '',
    'The endpoint stopped in the middle of its response.',
  ),
  'bad-response-body': upstream(0, 'never', '', 'The chunked body of the response is malformed.'),
} satisfies Record<string, Row>;

export type ReasonCode = keyof typeof rows;

/** Every reason, in the order of their ledger columns. */
export const reasons: readonly Reason[] = Object.entries(rows).map(([code, row], index) => ({
  code,
  index,
  ...row,
}));

const byCode = new Map(reasons.map((reason) => [reason.code, reason]));

/** The row of `code`. The lookup is for module scope: hot code keeps the row in a constant. */
export function reason(code: ReasonCode): Reason {
  return byCode.get(code)!;
}
