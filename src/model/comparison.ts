// The failures of an endpoint beside those of its peers, as the API answers and commands read it.

/** Over the time that speaks most against the endpoint, a minute at the most by default. */
export interface ComparisonFigures {
  readonly requests: number;
  readonly failures: number;
  readonly peers: number;
  readonly peer_requests: number;
  readonly peer_failures: number;
  readonly span_seconds: number;
  /** Powers of ten by which it speaks against the endpoint. */
  readonly evidence: number;
  readonly evidence_needed: number;
}
