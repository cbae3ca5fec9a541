// What gRPC wants of a proxy beside HTTP/2: its errors are trailers of a response that is 200, and its
// deadlines are fields of requests (github.com/grpc/grpc, doc/PROTOCOL-HTTP2.md and
// doc/http-grpc-status-mapping.md).
import { type Head, HeadFlag } from '../../http1/head.ts';
import type { Reason } from '../../model/reason.ts';

const UNKNOWN = 2;
const DEADLINE_EXCEEDED = 4;
const RESOURCE_EXHAUSTED = 8;
const UNIMPLEMENTED = 12;
const INTERNAL = 13;
const UNAVAILABLE = 14;

/** Of the statuses that we answer with. What a client would only repeat in vain is not UNAVAILABLE. */
const CODES: Readonly<Record<number, number>> = {
  400: INTERNAL,
  404: UNIMPLEMENTED,
  405: UNIMPLEMENTED,
  408: DEADLINE_EXCEEDED,
  413: RESOURCE_EXHAUSTED,
  414: RESOURCE_EXHAUSTED,
  417: INTERNAL,
  429: UNAVAILABLE,
  431: RESOURCE_EXHAUSTED,
  500: INTERNAL,
  501: UNIMPLEMENTED,
  502: UNAVAILABLE,
  503: UNAVAILABLE,
  504: DEADLINE_EXCEEDED,
  505: INTERNAL,
  508: INTERNAL,
};

/** Whether the request is gRPC, which is always a POST that takes trailers. */
export function isGrpc(head: Head): boolean {
  if (head.method !== 'POST' || !head.has(HeadFlag.teTrailers)) return false;
  const type = head.valueOfName('content-type') ?? '';
  return type === 'application/grpc' || /^application\/grpc[+;]/.test(type);
}

/** The fields of an answer that is trailers alone, for a failure of ours; a line each. */
export function grpcLines({ status, code, text }: Reason, detail: string): string {
  const number = CODES[status] ?? UNKNOWN;
  const message = detail === '' ? text : `${text.replace(/\.$/, '')}: ${detail}`;
  return (
    `content-type: application/grpc\r\ngrpc-status: ${number}\r\n` +
    `grpc-message: ${escapeMessage(message)}\r\nx-upriver-reason: ${code}\r\n`
  );
}

/** Percent-encoding of what is no visible ASCII, and of the sign itself. */
function escapeMessage(text: string): string {
  return [...Buffer.from(text)]
    .map((byte) =>
      byte >= 32 && byte <= 126 && byte !== 37
        ? String.fromCharCode(byte)
        : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`,
    )
    .join('');
}

const UNITS_MS: Readonly<Record<string, number>> = {
  H: 3_600_000,
  M: 60_000,
  S: 1000,
  m: 1,
  u: 0.001,
  n: 0.000_001,
};

/** The time that grpc-timeout gives a request, ms; 0 where it gives none, or is malformed. */
export function grpcTimeoutMs(head: Head): number {
  const match = /^(\d{1,8})([HMSmun])$/.exec(head.valueOfName('grpc-timeout') ?? '');
  if (match === null) return 0;
  return Math.max(1, Math.ceil(Number(match[1]) * UNITS_MS[match[2]!]!));
}
