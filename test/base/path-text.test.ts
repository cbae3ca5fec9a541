import { expect, it } from 'vitest';
import { encodeSegment } from '../../src/base/path-text.ts';
import { isAskable } from '../../src/discovery/consul/service-query.ts';
import { HOSTILE_NAMES } from '../support/hostile-names.ts';

it.each(Object.entries(HOSTILE_NAMES))('a name is one segment of a path: %s', (_, name) => {
  expect(encodeSegment(name)).toMatch(/^[\w.!~*'()%-]+$/);
  expect(decodeURIComponent(encodeSegment(name))).toBe(name.toWellFormed());
});

it('what has no bytes is not asked for', () => {
  expect([isAskable('a\ud800b'), isAskable('a\ufffdb'), isAskable('..')]).toEqual([
    ...[false, true, false],
  ]);
});
