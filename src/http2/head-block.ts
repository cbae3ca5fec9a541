// A head as HTTP/1.1 has it, as a header block: pseudo-fields first, without what belongs to a
// connection of HTTP/1.1 (RFC 9113 sections 8.2.2 and 8.3). The heads are written by ourselves, so that
// their lines are looked at no closer than to find where they end.
import { CR, HTAB, SP } from '../http1/chars.ts';
import type { FrameWriter } from './frame-writer.ts';
import { Field, type HpackEncoder } from './hpack-encoder.ts';

const COLON = 58;
const LF_BYTES = 2;
const STATUS_AT = 'HTTP/1.1 '.length;
/** Indices of the static table (RFC 7541 appendix A). */
const STATUSES: Readonly<Record<number, number>> = {
  200: 8,
  204: 9,
  206: 10,
  304: 11,
  400: 12,
  404: 13,
  500: 14,
};
const METHODS: Readonly<Record<string, number>> = { GET: 2, POST: 3 };
const CONNECT = Buffer.from('CONNECT');
const SCHEMES = { http: 6, https: 7 } as const;
const PATH_ROOT = 4;
const names = {
  method: Buffer.from(':method'),
  authority: Buffer.from(':authority'),
  path: Buffer.from(':path'),
  status: Buffer.from(':status'),
  protocol: Buffer.from(':protocol'),
} as const;

/** Appends the fields of the response head bytes[0,end). */
export function encodeResponse(
  encoder: HpackEncoder,
  out: FrameWriter,
  bytes: Buffer,
  end: number,
): void {
  encoder.begin(out);
  const status =
    (bytes[STATUS_AT]! - 48) * 100 + (bytes[STATUS_AT + 1]! - 48) * 10 + bytes[STATUS_AT + 2]! - 48;
  const known = STATUSES[status];
  if (known !== undefined) encoder.indexed(out, known);
  else pseudo(encoder, out, names.status, { bytes, start: STATUS_AT, end: STATUS_AT + 3 });
  encodeLines(encoder, out, bytes, afterLine(bytes, 0, end), end);
}

/** A request head in the form of HTTP/1.1: bytes[0,end), whose second line is Host. */
export interface RequestBlock {
  readonly bytes: Buffer;
  readonly end: number;
  readonly scheme: 'http' | 'https';
  /** An upgrade to this protocol goes as an extended CONNECT (RFC 8441 section 4); '' for none. */
  readonly protocol: string;
}

/** Appends the fields of a request head. */
export function encodeRequest(encoder: HpackEncoder, out: FrameWriter, head: RequestBlock): void {
  const { bytes, end, scheme } = head;
  encoder.begin(out);
  const methodEnd = bytes.indexOf(SP, 0);
  const known = METHODS[bytes.toString('latin1', 0, methodEnd)];
  if (head.protocol !== '') connect(encoder, out, head.protocol);
  else if (known !== undefined) encoder.indexed(out, known);
  else pseudo(encoder, out, names.method, { bytes, start: 0, end: methodEnd });
  encoder.indexed(out, SCHEMES[scheme]);
  const targetEnd = bytes.indexOf(SP, methodEnd + 1);
  const lines = afterLine(bytes, targetEnd, end);
  // `Host: ` is what the line begins with, and CRLF what it ends with.
  const hostStart = lines + 'Host: '.length;
  const hostEnd = afterLine(bytes, lines, end) - LF_BYTES;
  if (hostEnd > hostStart)
    pseudo(encoder, out, names.authority, { bytes, start: hostStart, end: hostEnd });
  if (targetEnd - methodEnd === 2 && bytes[methodEnd + 1] === 47) encoder.indexed(out, PATH_ROOT);
  else pseudo(encoder, out, names.path, { bytes, start: methodEnd + 1, end: targetEnd });
  // Host has become :authority.
  encodeLines(encoder, out, bytes, hostEnd + LF_BYTES, end);
}

function connect(encoder: HpackEncoder, out: FrameWriter, protocol: string): void {
  const named = Buffer.from(protocol, 'latin1');
  pseudo(encoder, out, names.method, { bytes: CONNECT, start: 0, end: CONNECT.length });
  pseudo(encoder, out, names.protocol, { bytes: named, start: 0, end: named.length });
}

/** Appends the fields of a trailer section, a line each. */
export function encodeTrailers(encoder: HpackEncoder, out: FrameWriter, lines: string): void {
  encoder.begin(out);
  const bytes = Buffer.from(lines, 'latin1');
  encodeLines(encoder, out, bytes, 0, bytes.length);
}

/** Filled and read in one go. */
const line = new Field();

/** Appends a pseudo-field with the value bytes[start,end). */
function pseudo(
  encoder: HpackEncoder,
  out: FrameWriter,
  name: Buffer,
  value: { readonly bytes: Buffer; readonly start: number; readonly end: number },
): void {
  line.nameBase = name;
  line.nameStart = 0;
  line.nameEnd = name.length;
  line.valueBase = value.bytes;
  line.valueStart = value.start;
  line.valueEnd = value.end;
  encoder.add(out, line);
}

/** The offset after the CRLF that ends the line at `at`. */
function afterLine(bytes: Buffer, at: number, end: number): number {
  let next = at;
  while (next < end && bytes[next] !== CR) next += 1;
  return next + LF_BYTES;
}

function encodeLines(
  encoder: HpackEncoder,
  out: FrameWriter,
  bytes: Buffer,
  from: number,
  end: number,
): void {
  let start = from;
  while (start < end && bytes[start] !== CR) {
    let nameEnd = start;
    while (bytes[nameEnd] !== COLON) nameEnd += 1;
    let valueStart = nameEnd + 1;
    while (isBlank(bytes[valueStart]!)) valueStart += 1;
    let lineEnd = valueStart;
    while (lineEnd < end && bytes[lineEnd] !== CR) lineEnd += 1;
    let valueEnd = lineEnd;
    while (valueEnd > valueStart && isBlank(bytes[valueEnd - 1]!)) valueEnd -= 1;
    line.nameBase = bytes;
    line.nameStart = start;
    line.nameEnd = nameEnd;
    line.valueBase = bytes;
    line.valueStart = valueStart;
    line.valueEnd = valueEnd;
    encoder.add(out, line);
    start = lineEnd + LF_BYTES;
  }
}

function isBlank(byte: number): boolean {
  return byte === SP || byte === HTAB;
}
