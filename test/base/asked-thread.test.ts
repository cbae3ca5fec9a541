// A thread that is asked once: whatever it does, there is one answer.
import { expect, it } from 'vitest';
import { askThread } from '../../src/base/asked-thread.ts';

it.each([
  ['answer', { kind: 'answer', value: { asked: 'answer' } }],
  ['throw', { kind: 'failed', why: 'as asked' }],
  ['exit', { kind: 'failed', why: 'the thread ended without an answer' }],
  ['spin', { kind: 'late' }],
  // Bounds: configMemory
  ['fill', { kind: 'out-of-memory' }],
])('a thread that is to %s', async (input, expected) => {
  const answer = await askThread({
    ...{ entry: new URL('../support/asked-entry', import.meta.url), name: 'test', input },
    ...{ timeMsMax: input === 'spin' ? 300 : 60_000, memoryBytesMax: 24 * 1024 ** 2 },
  });
  expect(answer).toEqual(expected);
});
