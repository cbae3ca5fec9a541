// Reads the body of an answer: bounded, and in turns, so that a long one does not block the thread.
import type { Clock } from '../../base/clock.ts';
import { codeOf } from '../../base/coded-error.ts';
import { JsonItems } from '../../base/json-items.ts';
import { Turns } from '../../base/turns.ts';
import { type Bound, excessOf } from '../../model/bounds.ts';
import { type Body, ConsulError } from './answer.ts';
import type { AnswerBounds } from './answer-bounds.ts';

/** Destroyed when it is not read to its end. */
type Stream = AsyncIterable<Buffer>;

const FIRST_BYTES = 200;

/** Reads JSON. Rejects where the stream breaks; what is wrong with its content is its `fault`. */
export async function readJson(
  stream: Stream,
  { bounds, clock }: { bounds: AnswerBounds; clock: Clock },
): Promise<Body> {
  const turns = new Turns(clock);
  let excess = '';
  const note = (one: string): void => {
    // The first of many says enough.
    if (excess === '') excess = one;
  };
  const items = new JsonItems(
    { items: bounds.items.max, itemBytes: bounds.itemBytes.max },
    (item) => bounds.shape(item, note),
  );
  let bytes = 0;
  let first = '';
  const faulty = (error: unknown): Body => {
    return { value: null, bytes, excess: '', fault: faultOf(error, bounds, first) };
  };
  for await (const chunk of stream) {
    bytes += chunk.length;
    if (bytes > bounds.bytes.max) return faulty(tooMuch(bounds.bytes));
    if (first.length < FIRST_BYTES) first += chunk.toString('utf8', 0, FIRST_BYTES);
    try {
      items.push(chunk);
    } catch (error) {
      return faulty(error);
    }
    if (turns.isOver) await turns.next();
  }
  try {
    return { value: items.end(), bytes, excess, fault: null };
  } catch (error) {
    return faulty(error);
  }
}

function faultOf(error: unknown, bounds: AnswerBounds, first: string): ConsulError {
  if (error instanceof ConsulError) return error;
  if (codeOf(error) === 'too-many') return tooMuch(bounds.items);
  if (codeOf(error) === 'too-long') return tooMuch(bounds.itemBytes);
  if (codeOf(error) === 'too-complex') {
    const text =
      'answered JSON that takes too long to read: nested too deeply, or of too many values';
    return new ConsulError('too-complex', text, { status: 413 });
  }
  const line = (first.trim().split('\n')[0] ?? '').slice(0, FIRST_BYTES);
  return new ConsulError('not-json', `answered what is not JSON: ${line}`);
}

/** Another agent would answer the same: it counts as refused (413, content too large). */
function tooMuch(bound: Bound): ConsulError {
  return new ConsulError('too-large', excessOf(bound), { status: 413 });
}
