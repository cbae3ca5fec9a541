// What a certificate authority refused, and why, in its own words: bounded, and harmless where shown.
import { safeLine } from '../../base/safe-text.ts';
import type { Failure } from './schedule.ts';

const DETAIL_MAX = 400;
/** What is kept of a failure, characters: it is written to the folder, and read from there again. */
const MESSAGE_MAX = 1000;
const PREFIX = 'urn:ietf:params:acme:error:';
/** Types after which the same is tried again, without anything having been held against us. */
const PATIENCE = new Set(['badNonce', 'serverInternal', 'rateLimited']);

/** An attempt that failed; `message` says at which domain and challenge, and what the CA said. */
export class AcmeError extends Error implements Failure {
  /** `unauthorized`, `rateLimited`, ... without its prefix; '' where the CA said none. */
  readonly type: string;
  readonly isUnreached: boolean;
  readonly retryAfterMs: number;

  constructor(message: string, about: Partial<Failure> & { type?: string } = {}) {
    super(safeLine(message, MESSAGE_MAX));
    this.name = 'AcmeError';
    this.type = about.type ?? '';
    this.isUnreached = about.isUnreached ?? false;
    this.retryAfterMs = about.retryAfterMs ?? 0;
  }
}

/** A problem document (RFC 7807) as far as it is one. */
export interface Problem {
  readonly type: string;
  readonly text: string;
}

/** The problem document (RFC 8555 section 6.7) in a parsed answer of the CA; what it does not say is ''. */
export function readProblem(value: unknown): Problem {
  const { type, detail, subproblems } = (value ?? {}) as Record<string, unknown>;
  const name = typeof type === 'string' ? safeLine(type.replace(PREFIX, ''), 100) : '';
  const own = typeof detail === 'string' ? safeLine(detail, DETAIL_MAX) : '';
  const more = Array.isArray(subproblems) ? subproblems.slice(0, 5).map(subproblemText) : [];
  const parts = [name, own].filter((part) => part !== '').join(': ');
  return { type: name, text: [parts, ...more].filter((part) => part !== '').join('; ') };
}

function subproblemText(value: unknown): string {
  const { identifier, detail } = (value ?? {}) as Record<string, unknown>;
  const { value: name } = (identifier ?? {}) as Record<string, unknown>;
  const domain = typeof name === 'string' ? `${safeLine(name, 253)}: ` : '';
  return typeof detail === 'string' ? `${domain}${safeLine(detail, DETAIL_MAX)}` : '';
}

/** The error for an answer of the CA with this status and body. */
export function refusalOf(
  what: string,
  { status, body, retryAfterMs }: { status: number; body: unknown; retryAfterMs: number },
): AcmeError {
  const { type, text } = readProblem(body);
  const isUnreached = status >= 500 || status === 429 || PATIENCE.has(type);
  const said = text === '' ? `status ${status}` : text;
  return new AcmeError(`${what}: the CA answered ${said}`, { type, isUnreached, retryAfterMs });
}
