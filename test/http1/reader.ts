// Reads whole connections with http1/, the way the proxy does, for tests: pieces in, messages out.
import { BodyState, ChunkedDecoder } from '../../src/http1/chunked-decoder.ts';
import { FIELD_IDS, LOOKALIKE } from '../../src/http1/fields.ts';
import { Body, requestBody, responseBody } from '../../src/http1/framing.ts';
import { type Head, HeadFlag, Target } from '../../src/http1/head.ts';
import { type HeadLimits, HeadParser, HeadState } from '../../src/http1/head-parser.ts';
import { copyFields, HeadWriter } from '../../src/http1/head-writer.ts';
import type { HeadSummary } from './corpus/row.ts';

export const WIDE_LIMITS: HeadLimits = { headBytes: 32_768, fieldCount: 100, targetBytes: 8192 };

export const bytesOf = (text: string): Buffer => Buffer.from(text, 'latin1');
export const textOf = (bytes: Buffer): string => bytes.toString('latin1');

/** What a parser says of the bytes: a fault, `more`, or what a complete head holds. */
export type HeadVerdict = string | HeadSummary;

/** Cuts bytes at these offsets; every piece is a copy in a buffer of its own, at some offset. */
export function piecesOf(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const offsets = [0, ...[...cuts].sort((a, b) => a - b), bytes.length];
  return offsets.slice(1).map((end, i) => Buffer.from(bytes.subarray(offsets[i], end)));
}

/** Feeds the pieces to a parser and summarises; `to` is the method a response answers. */
export function readHead(
  parser: HeadParser,
  pieces: readonly Buffer[],
  to: string | null,
): HeadVerdict {
  let rest = '';
  for (const piece of pieces) {
    if (parser.state !== HeadState.more) {
      rest += textOf(piece);
      continue;
    }
    // Like a wire's buffer: other bytes lie before and behind the piece, and it is written over
    // after the call.
    const base = Buffer.alloc(piece.length + 16, '\r');
    piece.copy(base, 7);
    const next = parser.feed(base, 7, 7 + piece.length);
    if (parser.state === HeadState.more && next !== 7 + piece.length) return 'left bytes';
    rest += textOf(base.subarray(next, 7 + piece.length));
    if (parser.state === HeadState.more) base.fill('X');
  }
  if (parser.state === HeadState.rejected) return parser.fault;
  if (parser.state === HeadState.more) return 'more';
  return summaryOf(parser.head, to, rest);
}

const FORMS = ['origin', 'absolute', 'authority', 'asterisk'] as const;
const NOTHING = new Uint8Array(FIELD_IDS);

export function summaryOf(head: Head, to: string | null, rest = ''): HeadSummary {
  const hostStart = head.target === Target.absolute ? head.authorityStart : head.hostStart;
  const hostEnd = head.target === Target.absolute ? head.authorityEnd : head.hostEnd;
  return {
    method: head.method,
    target: to === null ? head.text(head.targetStart, head.targetEnd) : '',
    form: FORMS[head.target],
    status: head.status,
    reason: to === null ? '' : head.text(head.reasonStart, head.reasonEnd),
    version: head.minorVersion === 1 ? '1.1' : '1.0',
    host: hostStart < 0 ? null : head.text(hostStart, hostEnd),
    body: bodyOf(head, to),
    flags: flagsOf(head),
    on: onOf(head),
    rest,
  };
}

function bodyOf(head: Head, to: string | null): HeadSummary['body'] {
  const kind = to === null ? requestBody(head) : responseBody(head, to);
  if (kind === Body.length) return `length ${head.contentLength}`;
  if (kind === Body.chunked) return 'chunked';
  return kind === Body.none ? 'none' : 'until close';
}

function flagsOf(head: Head): string {
  const names = Object.entries(HeadFlag).flatMap(([name, bit]) => (head.has(bit) ? [name] : []));
  let hasLookalike = false;
  head.forEachField((id) => {
    if (id === LOOKALIKE) hasLookalike = true;
  });
  if (hasLookalike) names.push('lookalike');
  return names.sort().join();
}

function onOf(head: Head): string {
  const writer = new HeadWriter(16);
  copyFields(writer, head, NOTHING);
  return textOf(writer.view()).slice(0, -2);
}

/** What a chunked body comes to. */
export type BodyVerdict = string | { data: string; trailers: string; rest: string };

export function readChunked(pieces: readonly Buffer[]): BodyVerdict {
  const decoder = new ChunkedDecoder();
  decoder.reset();
  let data = '';
  let rest = '';
  for (const piece of pieces) {
    if (decoder.state === BodyState.more) {
      const next = decoder.decode(piece, 0, piece.length);
      data += textOf(piece.subarray(0, decoder.dataEnd));
      rest += textOf(piece.subarray(next));
    } else rest += textOf(piece);
  }
  if (decoder.state === BodyState.rejected) return decoder.fault;
  if (decoder.state === BodyState.more) return 'more';
  return { data, trailers: decoder.trailers, rest };
}

export interface ReadRequest {
  readonly method: string;
  readonly target: string;
  readonly body: string;
}

/** All requests of a connection that ends after these bytes, and how it ended. */
export function readRequests(bytes: Buffer): { requests: ReadRequest[]; end: string } {
  const parser = new HeadParser('request', WIDE_LIMITS);
  const requests: ReadRequest[] = [];
  let at = 0;
  for (;;) {
    parser.reset();
    at = parser.feed(bytes, at, bytes.length);
    if (parser.state === HeadState.rejected) return { requests, end: parser.fault };
    if (parser.state === HeadState.more) return { requests, end: parser.isEmpty ? 'end' : 'more' };
    const { head } = parser;
    const target = head.text(head.targetStart, head.targetEnd);
    const body = readBody(head, bytes, at);
    if (typeof body === 'string') return { requests, end: body };
    at = body.next;
    requests.push({ method: head.method, target, body: body.data });
  }
}

function readBody(
  head: Head,
  bytes: Buffer,
  start: number,
): string | { data: string; next: number } {
  const kind = requestBody(head);
  if (kind === Body.none) return { data: '', next: start };
  if (kind === Body.length) {
    const end = start + head.contentLength;
    if (end > bytes.length) return 'more';
    return { data: textOf(bytes.subarray(start, end)), next: end };
  }
  const copy = Buffer.from(bytes);
  const decoder = new ChunkedDecoder();
  decoder.reset();
  const next = decoder.decode(copy, start, copy.length);
  if (decoder.state === BodyState.rejected) return decoder.fault;
  if (decoder.state === BodyState.more) return 'more';
  return { data: textOf(copy.subarray(start, decoder.dataEnd)), next };
}
