// What a server gives back of our own secrets is hidden, however it writes or cuts it.
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { hideOwn } from '../../src/base/own-secrets.ts';

const secret = fc.string({ minLength: 6, maxLength: 40, unit: 'grapheme' });

it('no form of a secret is left, also where the text was cut', () => {
  fc.assert(
    fc.property(secret, fc.nat(60), (own, cut) => {
      for (const form of [own, JSON.stringify(own), encodeURIComponent(own)]) {
        const text = `a ${form}`.slice(0, 2 + cut);
        const left = hideOwn(text, [own]);
        expect(left.replaceAll('***', '').length).toBeLessThanOrEqual(2 + 6 + 2);
      }
    }),
  );
});

it('what is no secret stays', () => {
  expect(hideOwn('refused: abc, hunter2 and hunter', ['abc', '', 'hunter2'])).toBe(
    'refused: abc, *** and ***',
  );
  expect(hideOwn('refused', ['long-secret'])).toBe('refused');
});
