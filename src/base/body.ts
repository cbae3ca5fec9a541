// Bodies of answers: whoever sends them, no more is kept than was agreed.
import type { Clock } from './clock.ts';
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
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.length;
    if (bytes > max) throw excess();
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, bytes);
}

/** The first bytes as text, `max` of them at most: what an error says. The rest is not read. */
export async function readStart(body: Body, max: number): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    chunks.push(chunk);
    bytes += chunk.length;
    if (bytes >= max) break;
  }
  return Buffer.concat(chunks).toString('utf8', 0, max);
}

/**
 * The lines of a stream as they come, without the empty ones; the limit is that of a line. Many at
 * once are read in turns. What comes after the last newline is no line: it was cut off.
 */
export async function* linesOf(
  body: Body,
  { max, excess, clock }: BodyLimit & { readonly clock: Clock },
): AsyncGenerator<Buffer, void, undefined> {
  const turns = new Turns(clock);
  let pieces: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    let from = 0;
    for (let at = chunk.indexOf(NEWLINE); at >= 0; at = chunk.indexOf(NEWLINE, from)) {
      const line = Buffer.concat([...pieces, chunk.subarray(from, at)]);
      pieces = [];
      bytes = 0;
      from = at + 1;
      if (line.length > max) throw excess();
      if (line.length > 0) yield line;
      if (turns.isOver) await turns.next();
    }
    const rest = chunk.subarray(from);
    bytes += rest.length;
    if (bytes > max) throw excess();
    if (rest.length > 0) pieces.push(rest);
  }
}
