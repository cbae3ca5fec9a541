// Content that waits: its order, and whose its memory is.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { KeptBytes } from '../../src/http2/kept-bytes.ts';
import type { Content } from '../../src/http2/stream.ts';

function piece(text: string): [base: Buffer, from: number, to: number] {
  const base = Buffer.from(`<${text}>`, 'latin1');
  return [base, 1, base.length - 1];
}

/** Takes what came first, and does not give it back. */
function taken(queue: KeptBytes, bytesMax?: number): Content | null {
  const first = { base: Buffer.alloc(0), from: 0, to: 0, room: 0 };
  return queue.take(first, bytesMax) ? first : null;
}

const textOf = ({ base, from, to }: Content) => base.toString('latin1', from, to);

/** All that lies there, piece by piece. */
function readAll(queue: KeptBytes): string[] {
  const texts: string[] = [];
  for (let one = taken(queue); one !== null; one = taken(queue)) {
    texts.push(textOf(one));
    queue.done();
  }
  return texts;
}

describe('bytes that are kept', () => {
  it('puts small pieces together', () => {
    const queue = new KeptBytes();
    for (const text of ['a', 'bc', '', 'def']) queue.add(...piece(text));
    expect(readAll(queue)).toEqual(['abcdef']);
    expect(readAll(queue)).toEqual([]);
    queue.add(...piece('more'));
    expect(readAll(queue)).toEqual(['more']);
  });

  it('keeps the order of what is more than a chunk', () => {
    const queue = new KeptBytes();
    const texts = ['a', 'b'.repeat(4095), 'c', 'd'.repeat(70_000), 'e'];
    for (const text of texts) queue.add(...piece(text));
    expect(readAll(queue).join('')).toBe(texts.join(''));
    expect(queue.isEmpty).toBe(true);
  });

  it('gives as much as is asked for', () => {
    const queue = new KeptBytes();
    queue.add(...piece('abcdef'));
    const texts = [];
    for (let one = taken(queue, 4); one !== null; one = taken(queue, 4)) {
      texts.push(textOf(one));
      if (texts.length === 1) queue.add(...piece('gh'));
    }
    expect(texts).toEqual(['abcd', 'efgh']);
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(20_000), fc.nat(20_000)), { maxLength: 20 }),
        (steps) => {
          const [bytes, model] = [new KeptBytes(), [] as number[]];
          let next = 0;
          for (const [added, wanted] of steps) {
            const base = Buffer.from(Array.from({ length: added }, (_, i) => (next + i) & 255));
            next += added;
            bytes.add(base, 0, added);
            model.push(...base);
            const one = taken(bytes, wanted + 1);
            expect(one === null).toBe(model.length === 0);
            if (one === null) continue;
            expect(one.to - one.from).toBeLessThanOrEqual(wanted + 1);
            const expected = Buffer.from(model.splice(0, one.to - one.from));
            expect(one.base.subarray(one.from, one.to).equals(expected)).toBe(true);
            bytes.done();
          }
          expect(bytes.isEmpty).toBe(model.length === 0);
          bytes.clear();
        },
      ),
      { numRuns: 30 },
    );
  });

  it('has memory that another has done with', () => {
    const [first, second] = [new KeptBytes(), new KeptBytes()];
    first.add(...piece('one'));
    const { base } = taken(first)!;
    first.done();
    second.add(...piece('two'));
    expect(taken(second)!.base).toBe(base);
  });

  it('has no memory that is in use', () => {
    const [first, second] = [new KeptBytes(), new KeptBytes()];
    first.add(...piece('one'));
    const one = taken(first)!;
    // The stream ends in the middle of being read.
    first.clear();
    second.add(...piece('two'));
    expect(taken(second)!.base).not.toBe(one.base);
    expect(textOf(one)).toBe('one');
    first.done();
  });

  it('gives nothing back that is read around another take', () => {
    const [queue, other] = [new KeptBytes(), new KeptBytes()];
    queue.add(...piece('a'.repeat(4096)));
    queue.add(...piece('b'));
    const outer = taken(queue)!;
    // A part of the next chunk, within the use of the first.
    queue.add(...piece('c'));
    taken(queue, 1);
    queue.done();
    other.add(...piece('x'));
    expect(taken(other)!.base).not.toBe(outer.base);
    queue.done();
  });

  it('gives back once what nobody reads any more', () => {
    const queues = [new KeptBytes(), new KeptBytes(), new KeptBytes()];
    queues[0]!.add(...piece('one'));
    queues[0]!.clear();
    queues[0]!.clear();
    queues[0]!.done();
    for (const queue of queues.slice(1)) queue.add(...piece('two'));
    const bases = queues.slice(1).map((queue) => taken(queue)!.base);
    expect(bases[0]).not.toBe(bases[1]);
    expect(readAll(queues[0]!)).toEqual([]);
  });

  it('holds four times 4 KiB in small chunks, and more in large ones', () => {
    const queue = new KeptBytes();
    for (let i = 0; i < 40_000; i += 1) queue.add(...piece('x'));
    const lengths = [];
    for (let one = taken(queue); one !== null; one = taken(queue)) lengths.push(one.base.length);
    expect(lengths).toEqual([4096, 4096, 4096, 4096, 16_384, 16_384]);
  });
});
