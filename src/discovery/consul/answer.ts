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
  response: { status: number; headers: Headers; text: string },
  options: { mayBeMissing: boolean; nowMs: number; wallMs: number },
): Answer {
  const { status, headers, text } = response;
  const isMissing = status === 404 && options.mayBeMissing;
  if (status !== 200 && !isMissing) {
    const retryAfterMs = retryAfter(headers['retry-after'], options.wallMs);
    const message = `answered ${status}${text === '' ? '' : `: ${firstLine(text)}`}`;
    throw new ConsulError(`http-${status}`, message, { retryAfterMs, status });
  }
  return {
    index: indexOf(headers['x-consul-index']),
    body: isMissing ? null : parse(text),
    doubt: doubtOf(headers),
    receivedMs: options.nowMs,
    bodyBytes: text.length,
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

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new ConsulError('not-json', `answered what is not JSON: ${firstLine(text)}`);
  }
}

function doubtOf(headers: Headers): string {
  if (headers['x-consul-knownleader'] === 'false') return 'no known leader';
  if (headers['x-consul-results-filtered-by-acls'] === 'true') return FILTERED;
  return '';
}

function firstLine(text: string): string {
  return (text.trim().split('\n')[0] ?? '').slice(0, 200);
}
