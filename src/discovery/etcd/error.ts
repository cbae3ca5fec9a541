// Every way in which etcd gives no answer: by HTTP, by gRPC's codes within JSON (both APIs), and by
// answers that are none. Pure. Source: etcd's api/v3rpc/rpctypes and api/v2error.
import { CodedError } from '../../base/coded-error.ts';
import { fieldsOf, textOf } from '../../base/foreign.ts';

export interface ErrorKind {
  /** Another member would refuse it as well. */
  readonly isRefusal?: boolean;
  /** The token has expired, or is another member's. */
  readonly isStaleToken?: boolean;
}

export class EtcdError extends CodedError {
  readonly isRefusal: boolean;
  readonly isStaleToken: boolean;

  constructor(code: string, message: string, kind: ErrorKind = {}) {
    super(code, message);
    this.isRefusal = kind.isRefusal ?? false;
    this.isStaleToken = kind.isStaleToken ?? false;
  }
}

/** gRPC codes by which a question is refused: invalid, unknown, forbidden, out of place. */
const REFUSALS: ReadonlySet<unknown> = new Set([3, 5, 7, 9, 12, 16]);
const STALE = /invalid auth token|revision of auth store is old/;
const TEXT_MAX = 200;

/** Codes of errors that callers look for. */
export const TOO_LARGE = 'too-large';
export const COMPACTED = 'compacted';
export const NO_API = 'no-api';
export const HISTORY_LOST = 'history-lost';
export const NO_KEY = 'no-key';
export const AUTH_OFF = 'auth-off';

/** The error in the JSON of the v3 gateway: of an answer, or of a message of a stream. */
export function grpcError(body: unknown, status: number): EtcdError {
  const fields = fieldsOf(body);
  // Before grpc-gateway 2 `error` is the text, or in a stream a map.
  const inner = fieldsOf(fields.error);
  const said = textOf(inner.message) || textOf(fields.message) || textOf(fields.error);
  const grpcCode = inner.grpc_code ?? inner.code ?? fields.code;
  return errorOf(said === '' ? `answered ${status}` : said, grpcCode, status);
}

/** The error in a message of a watch that was cancelled: 'rpc error: code = X desc = ...'. */
export function cancelError(reason: string): EtcdError {
  const said = reason.replace(/^rpc error: code = \w+ desc = /, '');
  const isRefused = /code = (InvalidArgument|PermissionDenied|Unauthenticated)/.test(reason);
  return errorOf(said === '' ? 'the watch was cancelled' : said, isRefused ? 3 : 14, 0);
}

function errorOf(text: string, grpcCode: unknown, status: number): EtcdError {
  const message = text.slice(0, TEXT_MAX).split('\n')[0] ?? '';
  if (text.includes('user name is empty')) {
    const why = `etcd asks for a user name and password (${message})`;
    return new EtcdError('refused', why, { isRefusal: true, isStaleToken: true });
  }
  if (STALE.test(text)) return new EtcdError('token', message, { isStaleToken: true });
  if (text.includes('required revision has been compacted')) {
    return new EtcdError(COMPACTED, message);
  }
  if (text.includes('authentication is not enabled')) return new EtcdError(AUTH_OFF, message);
  const isRefusal = REFUSALS.has(grpcCode) || status === 413;
  return new EtcdError(isRefusal ? 'refused' : `http-${status}`, message, { isRefusal });
}

/** The error in the JSON of the v2 API. */
export function v2Error(body: unknown, status: number): EtcdError {
  const { errorCode, message, cause } = fieldsOf(body);
  const said = [textOf(message), textOf(cause)].filter((text) => text !== '').join(': ');
  const text = said === '' ? `answered ${status}` : said.slice(0, TEXT_MAX);
  if (errorCode === 100) return new EtcdError(NO_KEY, text);
  if (errorCode === 401) return new EtcdError(HISTORY_LOST, text);
  const isRefusal = status >= 400 && status < 500 && status !== 429;
  return new EtcdError(isRefusal ? 'refused' : `http-${status}`, text, { isRefusal });
}
