// What a test's endpoint is told to do; see endpoint-main.ts.

export interface Behaviour {
  /** 'ok', 'reset' (the connection is cut instead of an answer), or a status to answer with. */
  readonly requests?: 'ok' | 'reset' | number;
  /** Every answer but that of /health comes so much later. */
  readonly delayMs?: number;
  /** False: what waits at /held is answered, and what comes there is answered at once. */
  readonly holds?: boolean;
  /** What /health answers. */
  readonly health?: 200 | 503;
}
