// The fuzzer of http1/: rows of the corpus, mutated, and what must hold of any bytes at all. A run
// is determined by its seed, so that one number replays a failure. `npm run fuzz` runs it for long,
// fuzz.test.ts for a moment.
import { deepStrictEqual, ok } from 'node:assert/strict';
import { type Random, seededRandom } from '../../src/base/prng.ts';
import { type HeadLimits, HeadParser } from '../../src/http1/head-parser.ts';
import { BODIES } from './corpus/bodies.ts';
import { REQUESTS } from './corpus/requests.ts';
import { RESPONSES } from './corpus/responses.ts';
import { bytesOf, type HeadVerdict, piecesOf, readChunked, readHead } from './reader.ts';
import {
  type ReferenceVerdict,
  readChunkedBody,
  readRequestHead,
  readResponseHead,
} from './reference.ts';

export type Kind = 'request' | 'response' | 'body';

const KINDS: readonly Kind[] = ['request', 'response', 'body'];

/** Inputs are shorter than any limit, for the reference has none. */
const INPUT_BYTES_MAX = 4000;
const LIMITS: HeadLimits = { headBytes: 8000, fieldCount: 4000, targetBytes: 8000 };

const SEEDS: Readonly<Record<Kind, readonly string[]>> = {
  request: REQUESTS.map((row) => row.bytes),
  response: RESPONSES.map((row) => row.bytes),
  body: BODIES.map((row) => row.bytes),
};

/** What parsers have stumbled over before. */
const MORSELS = [
  ...['\r', '\n', '\r\n', '\n\r', '\r\n\r\n', '\0', '\t', ' ', ':', ',', ';', '"', '\\', '=', '_'],
  ...['\x0b', '\x0c', '\x7f', '\x80', '\xa0', '\xff', '0', '1', 'a', 'F', '%', '#', '@', '/', '*'],
  ...['[', ']', '::', '+', '-', '0x', '99999999999999999999', 'ffffffffffffffff'],
  ...['HTTP/1.1', 'HTTP/1.0', 'HTTP/0.9', 'http/1.1', 'GET / HTTP/1.1\r\n', 'http://a.example/'],
  ...['Host: b\r\n', 'Content-Length: 5\r\n', 'Transfer-Encoding: chunked\r\n', 'chunked'],
  ...['Connection: close, x-a\r\n', 'Connection: upgrade\r\n', 'X-A: 1\r\n', ' folded\r\n'],
  ...['Upgrade: websocket\r\n', 'Expect: 100-continue\r\n', 'TE: trailers\r\n', 'X_A: 1\r\n'],
  ...['Content_Length: 5\r\n', 'Transfer_Encoding: chunked\r\n', 'Host_: a\r\n'],
  ...['0\r\n\r\n', '5\r\nhello\r\n', ';a=b', ';a="b"'],
];

/** One run: makes an input of this seed and checks it. Throws with the input when a rule is broken. */
export function fuzzOnce(seed: number): void {
  const random = seededRandom(seed);
  // The generator's first draws of neighbouring seeds are alike.
  for (let i = 0; i < 4; i += 1) random();
  const kind = KINDS[below(random, KINDS.length)]!;
  const text = mutated(random, kind);
  const cuts = Array.from({ length: below(random, 6) }, () => below(random, text.length + 1));
  try {
    if (kind === 'body') checkBody(text, cuts);
    else checkHead(kind, text, cuts);
  } catch (error) {
    const where = `${kind} ${JSON.stringify(text)}, cut at [${cuts}]`;
    throw new Error(`seed ${seed}: ${where}`, { cause: error });
  }
}

const below = (random: Random, end: number): number => Math.floor(random() * end);
const pick = <T>(random: Random, list: readonly T[]): T => list[below(random, list.length)]!;

function mutated(random: Random, kind: Kind): string {
  let text = pick(random, SEEDS[kind]).slice(0, INPUT_BYTES_MAX);
  const steps = below(random, 5);
  for (let i = 0; i < steps; i += 1) text = mutateOnce(random, kind, text);
  return text.slice(0, INPUT_BYTES_MAX);
}

function mutateOnce(random: Random, kind: Kind, text: string): string {
  const at = below(random, text.length + 1);
  const end = Math.min(text.length, at + 1 + below(random, 8));
  const part = text.slice(at, end);
  switch (below(random, 8)) {
    case 0:
      return text.slice(0, at) + pick(random, MORSELS) + text.slice(at);
    case 1:
      return text.slice(0, at) + pick(random, MORSELS) + text.slice(end);
    case 2:
      return text.slice(0, at) + text.slice(end);
    case 3:
      return text.slice(0, at) + part + part + text.slice(end);
    case 4:
      return text.slice(0, at) + String.fromCharCode(below(random, 256)) + text.slice(at + 1);
    case 5:
      return text.slice(0, at) + swapCase(part) + text.slice(end);
    case 6:
      return withLine(random, text, pick(random, MORSELS));
    default: {
      const other = pick(random, SEEDS[kind]);
      return text.slice(0, at) + other.slice(below(random, other.length + 1));
    }
  }
}

/** The case of ASCII letters alone: those beyond may become characters that are no bytes. */
const swapCase = (text: string): string =>
  text.replace(/[A-Za-z]/g, (letter) =>
    letter < 'a' ? letter.toLowerCase() : letter.toUpperCase(),
  );

/** Puts a morsel where a line begins. */
function withLine(random: Random, text: string, line: string): string {
  const starts = [...text.matchAll(/\r\n/g)].map((match) => match.index + 2);
  const at = starts.length === 0 ? 0 : pick(random, starts);
  return text.slice(0, at) + line + text.slice(at);
}

/** What must hold of any bytes that are fed to a head parser. */
export function checkHead(
  kind: 'request' | 'response',
  text: string,
  cuts: readonly number[],
): void {
  const whole = verdictOf(kind, text, []);
  deepStrictEqual(verdictOf(kind, text, cuts), whole, 'the split changes the result');
  const reference = kind === 'request' ? readRequestHead(text) : readResponseHead(text);
  agree(whole, reference);
  if (typeof whole === 'string') return;
  const taken = text.slice(0, text.length - whole.rest.length);
  ok(!/\r(?!\n)|(?<!\r)\n/.test(taken), 'accepted a bare CR or LF');
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control bytes are what it is about
  ok(!/[\0-\x08\x0b\x0c\x0e-\x1f\x7f]/.test(taken), 'accepted a control byte');
  checkRewritten(kind, whole);
}

function verdictOf(
  kind: 'request' | 'response',
  text: string,
  cuts: readonly number[],
): HeadVerdict {
  const parser = new HeadParser(kind, LIMITS);
  return readHead(parser, piecesOf(bytesOf(text), cuts), kind === 'request' ? null : 'GET');
}

function agree(ours: HeadVerdict, reference: ReferenceVerdict): void {
  if (typeof reference === 'string') {
    ok(typeof ours === 'string', `accepted what the reference calls ${reference}`);
    // A fault may be seen before the head is complete, but a complete head is never waited on.
    if (reference === 'refused') ok(ours !== 'more', 'waits on a complete head');
    return;
  }
  ok(typeof ours === 'object', `refused what the reference accepts: ${ours}`);
  const { method, target, status, body, on, rest } = ours;
  deepStrictEqual({ method, target, status, body, on, rest }, reference);
}

/** What goes on, written anew, is read as the same message by the next reader. */
function checkRewritten(kind: 'request' | 'response', head: Exclude<HeadVerdict, string>): void {
  const first =
    kind === 'request'
      ? `${head.method} ${head.target} HTTP/${head.version}`
      : `HTTP/${head.version} ${head.status} ${head.reason}`;
  const framing = head.body === 'chunked' ? ['Transfer-Encoding: chunked'] : [];
  const lines = [first, ...(head.on === '' ? [] : [head.on]), ...framing];
  const again = verdictOf(kind, `${lines.join('\r\n')}\r\n\r\n`, []);
  ok(typeof again === 'object', `what goes on is refused: ${again}`);
  deepStrictEqual([again.on, again.body, again.rest], [head.on, head.body, '']);
}

/** What must hold of any bytes that are fed to a chunked decoder. */
export function checkBody(text: string, cuts: readonly number[]): void {
  const whole = readChunked([bytesOf(text)]);
  deepStrictEqual(
    readChunked(piecesOf(bytesOf(text), cuts)),
    whole,
    'the split changes the result',
  );
  const reference = readChunkedBody(text);
  if (reference === 'open') {
    ok(typeof whole === 'string', 'accepted what the reference does not');
    return;
  }
  ok(typeof whole === 'object', `refused what the reference accepts: ${whole}`);
  deepStrictEqual({ data: whole.data, rest: whole.rest }, reference);
  ok(/^(?:[^\r\n]+\r\n)*$/.test(whole.trailers), 'trailers are not whole lines');
  ok(!/^(?:content-length|transfer-encoding|host|cookie|authorization):/im.test(whole.trailers));
}
