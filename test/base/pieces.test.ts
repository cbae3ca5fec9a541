// Bytes that come in pieces, whatever the pieces are.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { linesOf, readWhole } from '../../src/base/body.ts';
import { JsonItems } from '../../src/base/json-items.ts';
import { Pieces } from '../../src/base/pieces.ts';
import { ManualClock } from '../support/clock.ts';

const MANY = 2_000_000;
const limit = { max: 2 * MANY, excess: () => new Error('too large') };

/** One byte at a time, as chunks of HTTP may be. */
async function* bytewise(text: Buffer): AsyncGenerator<Buffer> {
  for (let at = 0; at < text.length; at += 1) yield text.subarray(at, at + 1);
}

/** MiB of the heap that `work` has taken when it ends. */
async function taken(work: () => unknown): Promise<number> {
  const before = process.memoryUsage().heapUsed;
  await work();
  return (process.memoryUsage().heapUsed - before) / 1024 ** 2;
}

it('are what was pushed, in order', () => {
  const piece = fc.oneof(fc.uint8Array({ maxLength: 20 }), fc.uint8Array({ minLength: 2000 }));
  fc.assert(
    fc.property(fc.array(piece), fc.array(piece), (first, second) => {
      const pieces = new Pieces();
      for (const list of [first, second]) {
        for (const one of list) pieces.push(Buffer.from(one));
        const all = Buffer.concat(list.map((one) => Buffer.from(one)));
        expect(pieces.bytes).toBe(all.length);
        expect(pieces.take().equals(all)).toBe(true);
        expect(pieces.bytes).toBe(0);
      }
    }),
  );
});

describe('two million bytes that come one by one take a few times their size', () => {
  it('as a line without an end', async () => {
    const lines = linesOf(bytewise(Buffer.alloc(MANY, 'a')), {
      ...limit,
      clock: new ManualClock(),
    });
    expect(await taken(() => lines.next())).toBeLessThan(60);
  });

  it('as a body', async () => {
    let whole: Buffer = Buffer.alloc(0);
    const megabytes = await taken(async () => {
      whole = await readWhole(bytewise(Buffer.alloc(MANY, 'a')), limit);
    });
    expect(whole).toHaveLength(MANY);
    expect(megabytes).toBeLessThan(60);
  });

  it('as an element of a list', async () => {
    const items = new JsonItems({ items: 10, itemBytes: 2 * MANY });
    const text = Buffer.from(`["${'a'.repeat(MANY)}`);
    expect(
      await taken(() => {
        for (let at = 0; at < text.length; at += 1) items.push(text.subarray(at, at + 1));
      }),
    ).toBeLessThan(60);
  });
});
