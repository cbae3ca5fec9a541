// Reads bodies of JSON: bounded, and in turns, so that a long one holds up nothing else.
import { type Body, type BodyLimit, linesOf, readStart, readWhole } from '../../base/body.ts';
import type { Clock } from '../../base/clock.ts';
import { codeOf, messageOf } from '../../base/coded-error.ts';
import { parseBounded } from '../../base/json-body.ts';
import { Turns } from '../../base/turns.ts';
import { type Bound, excessOf } from '../../model/bounds.ts';
import { EtcdError, TOO_LARGE } from './error.ts';

/** Parsed in about a millisecond. */
const LONG_BYTES = 64 * 1024;
const SHOWN_CHARS = 200;
/** 50,000 keys of v2 have some ten values each. */
const VALUES_MAX = 600_000;

/** The JSON of a body. Throws EtcdError where it is none, or too large. */
export async function readJson(body: Body, bound: Bound): Promise<unknown> {
  return parse(await readWhole(body, limitOf(bound)));
}

/** The first bytes of a body as JSON; null where they are none. */
export async function readError(body: Body, bound: Bound): Promise<unknown> {
  const text = await readStart(body, bound.max);
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** The JSON of each line of a stream, as it comes. `bound` is that of a line. */
export async function* readLines(
  body: Body,
  { bound, clock }: { bound: Bound; clock: Clock },
): AsyncGenerator<unknown, void, undefined> {
  for await (const line of linesOf(body, { ...limitOf(bound), clock })) {
    const message = parse(line);
    // Reading it is a turn of its own, and so is what is made of it.
    if (line.length > LONG_BYTES) await new Turns(clock).next();
    yield message;
  }
}

function parse(bytes: Buffer): unknown {
  try {
    return parseBounded(bytes, VALUES_MAX);
  } catch (error) {
    if (codeOf(error) === 'too-complex') {
      throw new EtcdError('too-complex', messageOf(error), { isRefusal: true });
    }
    const line = bytes.toString('utf8', 0, SHOWN_CHARS).trim().split('\n')[0] ?? '';
    throw new EtcdError('not-json', `answered what is not JSON: ${line}`);
  }
}

/** Another member would answer the same: it counts as refused. */
function limitOf(bound: Bound): BodyLimit {
  const excess = () => new EtcdError(TOO_LARGE, excessOf(bound), { isRefusal: true });
  return { max: bound.max, excess };
}
