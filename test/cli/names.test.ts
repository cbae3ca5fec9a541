import { expect, test } from 'vitest';
import { isPlain } from '../../src/cli/names.ts';

test.each(['web', 'node-1/web-1', '10.0.0.1:80', '[::1]:80', 'eu.web_2', 'web@dc1'])(
  '%s is completed',
  (name) => {
    expect(isPlain(name)).toBe(true);
  },
);

test.each([
  '$(id)',
  '`id`',
  'a b',
  'a;id',
  "a'b",
  'a"b',
  '~root',
  'a\\b',
  '{a,b}',
  'a\nb',
  '<(id)',
  '',
])('%j is left out: a shell would expand it', (name) => {
  expect(isPlain(name)).toBe(false);
});
