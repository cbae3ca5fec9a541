// Reads bodies: bounded, and in turns, so that a long one holds up nothing else.
import type { Clock } from '../../base/clock.ts';
import { Turns } from '../../base/turns.ts';
import { type Bound, formatBound } from '../../model/bounds.ts';
import { EtcdError } from './error.ts';

type Stream = AsyncIterable<Buffer>;

const NEWLINE = 0x0a;
const SHOWN_CHARS = 200;

/** The JSON of a body. Throws EtcdError where it is none, or too large. */
export async function readJson(stream: Stream, bound: Bound): Promise<unknown> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of stream) {
    bytes += chunk.length;
    if (bytes > bound.max) throw tooLarge(bound);
    chunks.push(chunk);
  }
  return parse(Buffer.concat(chunks, bytes));
}

/** The first bytes of a body as JSON; null where they are none. */
export async function readError(stream: Stream, bound: Bound): Promise<unknown> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of stream) {
    chunks.push(chunk);
    bytes += chunk.length;
    if (bytes >= bound.max) break;
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8', 0, bound.max));
  } catch {
    return null;
  }
}

/** The JSON of each line of a stream, as it comes. `bound` is that of a line. */
export async function* readLines(
  stream: Stream,
  { bound, clock }: { bound: Bound; clock: Clock },
): AsyncGenerator<unknown, void, undefined> {
  const turns = new Turns(clock);
  let pieces: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of stream) {
    let from = 0;
    for (let at = chunk.indexOf(NEWLINE); at >= 0; at = chunk.indexOf(NEWLINE, from)) {
      const line = Buffer.concat([...pieces, chunk.subarray(from, at)]);
      pieces = [];
      bytes = 0;
      from = at + 1;
      if (line.length > bound.max) throw tooLarge(bound);
      if (line.length > 0) yield parse(line);
      if (turns.isOver) await turns.next();
    }
    const rest = chunk.subarray(from);
    bytes += rest.length;
    if (bytes > bound.max) throw tooLarge(bound);
    if (rest.length > 0) pieces.push(rest);
  }
  // What was cut off is no message; the caller hears that the stream has ended.
}

function parse(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString());
  } catch {
    const line = bytes.toString('utf8', 0, SHOWN_CHARS).trim().split('\n')[0] ?? '';
    throw new EtcdError('not-json', `answered what is not JSON: ${line}`);
  }
}

/** Another member would answer the same: it counts as refused. */
function tooLarge(bound: Bound): EtcdError {
  const message = `answered more than is taken: ${bound.what} is at most ${formatBound(bound)}`;
  return new EtcdError('too-large', message, { isRefusal: true });
}
