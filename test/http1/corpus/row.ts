// The conformance corpus of http1/: bytes, and what must come of them. One sentence per row says
// what the row is about, `rule` which rule it holds: a section of RFC 9110 or 9112. A change of the
// parser starts with a row here. Rows serve the parser's tests, the differential test against
// Node's own parser, and the fuzzer as seeds.
import type { HeadFault } from '../../../src/http1/head.ts';

/** What a complete head says; a row gives the parts that it is about. */
export interface HeadSummary {
  method: string;
  target: string;
  form: 'origin' | 'absolute' | 'authority' | 'asterisk';
  status: number;
  reason: string;
  version: '1.0' | '1.1';
  host: string | null;
  body: 'none' | `length ${number}` | 'chunked' | 'until close';
  /** Names of set flags, in alphabetical order. */
  flags: string;
  /** The field lines that go on, with CRLF between them. */
  on: string;
  /** Bytes behind the head. */
  rest: string;
}

export interface HeadRow {
  readonly rule: string;
  readonly about: string;
  readonly bytes: string;
  readonly gives: HeadFault | 'more' | Partial<HeadSummary>;
  /** The method that a response answers; GET without it. */
  readonly to?: string;
}

export interface BodyRow {
  readonly rule: string;
  readonly about: string;
  readonly bytes: string;
  readonly gives:
    | 'more'
    | 'bad-chunk'
    | 'bad-trailer'
    | { readonly data: string; readonly trailers?: string; readonly rest?: string };
}

/** Limits that the rows about limits are made for. */
export const LIMITS = { headBytes: 600, fieldCount: 8, targetBytes: 200 };

/** A head of these lines, with the empty line. */
export const head = (...lines: string[]): string => `${lines.join('\r\n')}\r\n\r\n`;
