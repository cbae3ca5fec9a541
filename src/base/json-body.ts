// JSON that others send or write: a list or map of any length element by element and in turns, so that a
// long one holds up nothing else; anything else whole, once it is known not to take long. JSON.parse can't
// be cut into turns, and what nests deeply, or is made of millions of small values, takes it a second.
import type { Body, BodyLimit } from './body.ts';
import type { Clock } from './clock.ts';
import { CodedError } from './coded-error.ts';
import { type ItemBounds, JsonItems } from './json-items.ts';
import { Turns } from './turns.ts';

export interface JsonBodyOptions extends ItemBounds {
  readonly limit: BodyLimit;
  readonly clock: Clock;
  /** What is made of an element before it is kept. */
  readonly shape?: (item: unknown) => unknown;
}

/** What a file is read in. */
const PIECE_BYTES = 64 * 1024;
/** Deeper than anything that a registry sends. */
const DEPTH_MAX = 64;

/**
 * The JSON of a body. Throws beyond its limit, where it breaks, and CodedError `not-json`, `too-many`,
 * `too-long` or `too-complex`.
 */
export async function readJsonItems(body: Body, options: JsonBodyOptions): Promise<unknown> {
  const { limit, clock, shape } = options;
  const items = new JsonItems(options, shape);
  const turns = new Turns(clock);
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.length;
    if (bytes > limit.max) throw limit.excess();
    items.push(chunk);
    if (turns.isOver) await turns.next();
  }
  return items.end();
}

/** Bytes that are there as a body. */
export async function* piecesOf(bytes: Buffer): Body & AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
    yield bytes.subarray(at, at + PIECE_BYTES);
  }
}

/**
 * JSON of at most so many values, nested 64 deep at most. Throws CodedError `too-complex` before it is
 * parsed, and `not-json`.
 */
export function parseBounded(bytes: Buffer, valuesMax: number): unknown {
  vet(bytes, valuesMax);
  try {
    return JSON.parse(bytes.toString());
  } catch {
    throw new CodedError('not-json', 'answered what is not JSON');
  }
}

const [QUOTE, BACKSLASH, COMMA] = [0x22, 0x5c, 0x2c];

/** Some 2 ns a byte; strings are passed over. */
function vet(bytes: Buffer, valuesMax: number): void {
  let depth = 0;
  let values = 1;
  for (let at = 0; at < bytes.length; at += 1) {
    const byte = bytes[at]!;
    if (byte === QUOTE) at = stringEnd(bytes, at + 1);
    else if (byte === COMMA) values += 1;
    // [ and {, ] and }: they differ from each other by this bit.
    else if ((byte | 0x20) === 0x7b) {
      depth += 1;
      values += 1;
      if (depth > DEPTH_MAX) throw complex(`nested deeper than ${DEPTH_MAX}`);
    } else if ((byte | 0x20) === 0x7d) depth -= 1;
    if (values > valuesMax) throw complex(`more than ${valuesMax} values`);
  }
}

/** The place of the quote that ends a string; the end where there is none. */
function stringEnd(bytes: Buffer, from: number): number {
  for (let at = from; ; ) {
    const quote = bytes.indexOf(QUOTE, at);
    if (quote < 0) return bytes.length;
    let slashes = 0;
    while (bytes[quote - 1 - slashes] === BACKSLASH && quote - 1 - slashes >= from) slashes += 1;
    if (slashes % 2 === 0) return quote;
    at = quote + 1;
  }
}

function complex(what: string): CodedError {
  return new CodedError('too-complex', `answered JSON that takes too long to read: ${what}`);
}
