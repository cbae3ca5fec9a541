// JSON of others that takes long to parse is refused before it is, and everything else is what JSON.parse says.
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { parseBounded, piecesOf, readJsonItems } from '../../src/base/json-body.ts';
import { ManualClock } from '../support/clock.ts';

const parse = (text: string, max = 1000) => parseBounded(Buffer.from(text), max);

it('is what JSON.parse makes of it', () => {
  fc.assert(
    fc.property(fc.json({ maxDepth: 4 }), (text) => {
      expect(parse(text, 1_000_000)).toEqual(JSON.parse(text));
    }),
  );
  for (const text of ['"\\\\"', '["a\\\\\\"[[[",1]', '{"{{{":"\\\\"}', '" "', '1']) {
    expect(parse(text)).toEqual(JSON.parse(text));
  }
});

it.each(['', '[', '"', '"\\"', '[1,]', '{', '\0', '[1]]'])('%j is not JSON', (text) => {
  expect(() => parse(text)).toThrow('not JSON');
});

it.each([
  ['nested', `${'['.repeat(65)}${']'.repeat(65)}`],
  ['nested maps', `${'{"a":'.repeat(65)}1${'}'.repeat(65)}`],
  ['never closed', '['.repeat(1_000_000)],
  ['many values', `[${'1,'.repeat(1000)}1]`],
  ['many maps', `[${'{},'.repeat(600)}{}]`],
])('%s is refused', (_, text) => {
  expect(() => parse(text)).toThrow(/too long to read/);
});

it('brackets and commas within texts do not count', () => {
  expect(parse(JSON.stringify(['[,{'.repeat(10_000)]))).toHaveLength(1);
});

it('is looked at in a time that grows with its length alone', () => {
  const before = process.threadCpuUsage().user;
  for (const piece of ['"', '\\', '"\\', '\\"', '",', '[]', ' ']) {
    expect(() => parse(`"${piece.repeat(2_000_000)}`, 10_000_000)).toThrow(/not JSON|too long/);
  }
  expect((process.threadCpuUsage().user - before) / 1e6).toBeLessThan(3);
});

it('a body ends where its bound is', async () => {
  const excess = () => new Error('too large');
  const bounds = { items: 10, itemBytes: 1_000_000, clock: new ManualClock() };
  const read = (text: string, max: number) =>
    readJsonItems(piecesOf(Buffer.from(text)), { ...bounds, limit: { max, excess } });
  expect(await read('[1,{"a":2}]', 20)).toEqual([1, { a: 2 }]);
  await expect(read('[1,{"a":2}]', 10)).rejects.toThrow('too large');
});
