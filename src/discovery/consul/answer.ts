// What an answer of Consul is worth: its index, why it may be doubted, and every way in which it
// can be no answer at all. Pure. Source: Consul API, "Blocking Queries" and "Consistency Modes".
import { CodedError } from '../../base/coded-error.ts';

export interface Answer {
  /** X-Consul-Index as sent; 0 is possible and means a bug of the agent. */
  readonly index: bigint;
  readonly body: unknown;
  /** Why something that it leaves out may be there all the same, or ''. */
  readonly doubt: string;
  /** Clock.nowMs() when its last byte was here. */
  readonly receivedMs: number;
  readonly bodyBytes: number;
}

/**
 * What makes an answer doubtful: itself (no known leader, filtered), an index that fell, or what
 * went on before it (an outage, another agent, another token).
 */
export type DoubtKind = 'answer' | 'fall' | 'outage';

export type Headers = Readonly<Record<string, string | readonly string[] | undefined>>;

/** The body of a 200, as far as it was read. */
export interface Body {
  /** What was parsed; null with a fault. */
  readonly value: unknown;
  readonly bytes: number;
  /** What is left out of it, human-readable; '' where nothing is. */
  readonly excess: string;
  /** It is no JSON, or too much of it. */
  readonly fault: ConsulError | null;
}

export interface Response {
  readonly status: number;
  readonly headers: Headers;
  /** The beginning of the body of anything but a 200. */
  readonly text: string;
  /** Null for anything but a 200. */
  readonly body: Body | null;
}

/** An exchange that gave no answer. */
export class ConsulError extends CodedError {
  /** The wait that the agent asked for, ms; 0 for none. */
  readonly retryAfterMs: number;
  /** The question was refused (4xx): another agent would refuse it as well. */
  readonly isRefusal: boolean;

  constructor(
    code: string,
    message: string,
    more: { retryAfterMs?: number; status?: number } = {},
  ) {
    super(code, message);
    const { retryAfterMs = 0, status = 0 } = more;
    this.retryAfterMs = retryAfterMs;
    this.isRefusal = status >= 400 && status < 500 && status !== 429;
  }
}

/** Why the first answer after this error is to be doubted. */
export function outageText(error: ConsulError): string {
  return `first answer after an outage: ${error.message}`;
}

/** The doubt about an answer from which rights took something. */
export const FILTERED = 'filtered by ACLs';

const RETRY_AFTER_MS_MAX = 60_000;

/**
 * Reads a response. Throws ConsulError where it isn't a 200 with an index and JSON: the index of
 * anything else is never used (errors of Consul carry index 1). With `mayBeMissing` a 404 which
 * has an index is an answer too, with body null: so the KV store says that there is no such key.
 */
export function readAnswer(
  response: Response,
  options: { mayBeMissing: boolean; nowMs: number; wallMs: number },
): Answer {
  const { status, headers, text, body } = response;
  const isMissing = status === 404 && options.mayBeMissing;
  if (status !== 200 && !isMissing) {
    const retryAfterMs = retryAfter(headers['retry-after'], options.wallMs);
    const message = `answered ${status}${text === '' ? '' : `: ${firstLine(text)}`}`;
    throw new ConsulError(`http-${status}`, message, { retryAfterMs, status });
  }
  const index = indexOf(headers['x-consul-index']);
  if (body !== null && body.fault !== null) throw body.fault;
  return {
    index,
    body: body?.value ?? null,
    doubt: doubtOf(headers),
    receivedMs: options.nowMs,
    bodyBytes: body?.bytes ?? 0,
  };
}

/** Retry-After in ms: seconds or a date (RFC 9110 section 10.2.3), a minute at the most. */
function retryAfter(header: Headers[string], wallMs: number): number {
  if (typeof header !== 'string') return 0;
  const ms = /^\d+$/.test(header) ? Number(header) * 1000 : Date.parse(header) - wallMs;
  return Number.isNaN(ms) ? 0 : Math.min(RETRY_AFTER_MS_MAX, Math.max(0, ms));
}

function indexOf(header: Headers[string]): bigint {
  if (typeof header !== 'string' || !/^\d{1,20}$/.test(header)) {
    throw new ConsulError('no-index', 'answered without X-Consul-Index');
  }
  return BigInt(header);
}

function doubtOf(headers: Headers): string {
  if (headers['x-consul-knownleader'] === 'false') return 'no known leader';
  if (headers['x-consul-results-filtered-by-acls'] === 'true') return FILTERED;
  return '';
}

function firstLine(text: string): string {
  return (text.trim().split('\n')[0] ?? '').slice(0, 200);
}
