// The values that decide about framing and connections, read strictly.
import { COMMA, equalsLower, HTAB, isDigit, isToken, SP } from './chars.ts';

/** Most digits of a Content-Length that a double holds exactly: 2^53-1 has 16. */
const LENGTH_DIGITS_MAX = 16;
const DIGIT_0 = 48;

/** Digits alone, at most 2^53-1 (RFC 9110 section 8.6); -1 for anything else. */
export function lengthOf(bytes: Uint8Array, start: number, end: number): number {
  if (end === start || end - start > LENGTH_DIGITS_MAX) return -1;
  let length = 0;
  for (let at = start; at < end; at += 1) {
    if (!isDigit(bytes[at]!)) return -1;
    // The digit's value first: adding its byte would round beyond 2^53.
    length = length * 10 + (bytes[at]! - DIGIT_0);
  }
  return Number.isSafeInteger(length) ? length : -1;
}

/** Walks over the elements of a comma-separated list (RFC 9110 section 5.6.1), blanks cut off. */
export class ListWalker {
  start = 0;
  end = 0;
  private bytes: Uint8Array = new Uint8Array(0);
  private next = 0;
  private listEnd = 0;

  begin(bytes: Uint8Array, start: number, end: number): void {
    this.bytes = bytes;
    this.next = start;
    this.listEnd = end;
  }

  /** Goes to the next element, which may be empty; false after the last. */
  step(): boolean {
    const { bytes, listEnd } = this;
    if (this.next > listEnd) return false;
    let start = this.next;
    let end = start;
    while (end < listEnd && bytes[end] !== COMMA) end += 1;
    this.next = end + 1;
    while (start < end && isBlank(bytes[start]!)) start += 1;
    while (end > start && isBlank(bytes[end - 1]!)) end -= 1;
    this.start = start;
    this.end = end;
    return true;
  }
}

export type Coding = 'chunked' | 'other' | 'malformed';

/**
 * What a Transfer-Encoding value asks for (RFC 9112 sections 6.1 and 7): `chunked` alone; a list of
 * tokens with a coding that we don't have; or what is no such list, repeats chunked, has it before
 * another coding or gives it parameters.
 */
export function codingOf(bytes: Uint8Array, start: number, end: number): Coding {
  if (equalsLower(bytes, start, end, 'chunked')) return 'chunked';
  const list = new ListWalker();
  list.begin(bytes, start, end);
  let hasChunked = false;
  while (list.step()) {
    if (hasChunked || !isToken(bytes, list.start, list.end)) return 'malformed';
    hasChunked = equalsLower(bytes, list.start, list.end, 'chunked');
  }
  return 'other';
}

/** Whether a list has this lower-case element. */
export function listHas(bytes: Uint8Array, start: number, end: number, element: string): boolean {
  const list = new ListWalker();
  list.begin(bytes, start, end);
  while (list.step()) {
    if (equalsLower(bytes, list.start, list.end, element)) return true;
  }
  return false;
}

export function isBlank(byte: number): boolean {
  return byte === SP || byte === HTAB;
}
