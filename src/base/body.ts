// Bodies of answers, read up to a bound that the caller sets.
import type { Clock } from './clock.ts';
import { Pieces } from './pieces.ts';
import { Turns } from './turns.ts';

/** Destroyed when it is not read to its end. */
export type Body = AsyncIterable<Buffer>;

export interface BodyLimit {
  /** Bytes. */
  readonly max: number;
  /** What is thrown beyond it. */
  readonly excess: () => Error;
}

const NEWLINE = 0x0a;

/** The whole body. Throws beyond the limit, and where the body breaks. */
export async function readWhole(body: Body, { max, excess }: BodyLimit): Promise<Buffer> {
  const pieces = new Pieces();
  for await (const chunk of body) {
    if (pieces.bytes + chunk.length > max) throw excess();
    pieces.push(chunk);
  }
  return pieces.take();
}

/** The first bytes as text, `max` of them at most: what an error says. The rest is not read. */
export async function readStart(body: Body, max: number): Promise<string> {
  const pieces = new Pieces();
  for await (const chunk of body) {
    pieces.push(chunk);
    if (pieces.bytes >= max) break;
  }
  return pieces.take().toString('utf8', 0, max);
}

/**
 * The lines of a stream as they come, without the empty ones; `max` is the bytes of a line, and `excess()` is
 * thrown for a longer one. Many at once are read in turns. What comes after the last newline is no line: it was
 * cut off.
 */
export async function* linesOf(
  body: Body,
  { max, excess, clock }: BodyLimit & { readonly clock: Clock },
): AsyncGenerator<Buffer, void, undefined> {
  const turns = new Turns(clock);
  const pieces = new Pieces();
  for await (const chunk of body) {
    let from = 0;
    for (let at = chunk.indexOf(NEWLINE); at >= 0; at = chunk.indexOf(NEWLINE, from)) {
      pieces.push(chunk.subarray(from, at));
      from = at + 1;
      if (pieces.bytes > max) throw excess();
      if (pieces.bytes > 0) yield pieces.take();
      if (turns.isOver) await turns.next();
    }
    pieces.push(chunk.subarray(from));
    if (pieces.bytes > max) throw excess();
    // A line that comes byte by byte is read in turns as well.
    if (from === 0 && turns.isOver) await turns.next();
  }
}
