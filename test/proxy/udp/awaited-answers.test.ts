import { describe, expect, it } from 'vitest';
import { AwaitedAnswers } from '../../../src/proxy/udp/awaited-answers.ts';

function sentOne(responses: number | null): AwaitedAnswers {
  const awaited = new AwaitedAnswers();
  awaited.expect(responses);
  awaited.keep(Buffer.from('a'), 10);
  expect(awaited.sent(10)).toBe(true);
  return awaited;
}

describe('answers that are counted', () => {
  it('are due since the datagram, then since the answer before, and complete with the last', () => {
    const awaited = sentOne(2);
    expect(awaited.dueSince(2)).toBe(10);
    awaited.answered(2, 20);
    expect([awaited.dueSince(2), awaited.isComplete(2), awaited.count]).toEqual([20, false, 1]);
    awaited.answered(2, 30);
    expect([awaited.dueSince(2), awaited.isComplete(2), awaited.count]).toEqual([-1, true, 0]);
  });

  it('are due since the first of several datagrams', () => {
    const awaited = sentOne(1);
    awaited.expect(1);
    expect(awaited.sent(15)).toBe(false);
    expect(awaited.dueSince(1)).toBe(10);
  });

  it('are owed by the next endpoint alone, for what that is sent', () => {
    const awaited = sentOne(3);
    awaited.restart(1, 3);
    expect(awaited.dueSince(3)).toBe(-1);
    awaited.sent(40);
    for (const nowMs of [50, 60]) awaited.answered(3, nowMs);
    expect(awaited.isComplete(3)).toBe(false);
    awaited.answered(3, 70);
    expect(awaited.isComplete(3)).toBe(true);
  });
});

it('where answers are not counted, one settles all that was sent, and none is ever overdue', () => {
  const awaited = sentOne(null);
  awaited.keep(Buffer.from('b'), 11);
  expect(awaited.dueSince(null)).toBe(-1);
  awaited.answered(null, 20);
  expect([awaited.count, awaited.isComplete(null)]).toEqual([0, false]);
});
