// Keys of other programs are answered with what they are called here.
import { describe, expect, it } from 'vitest';
import { counterpartOf } from '../../src/config/foreign-keys.ts';
import { problemsOf } from '../support/config.ts';

describe('a key of another program', () => {
  it.each([
    ['http2', 'listen: { address, http2: true }'],
    ['h2', 'upstream.protocol'],
    ['h2c', 'upstream.protocol: h2c'],
    ['certificatesResolvers', 'tls.certificates[].acme'],
    ['acme', 'tls.certificates[].acme'],
  ])('%s has its counterpart named', (key, counterpart) => {
    expect(counterpartOf(key)).toContain(counterpart);
    const file = `services: { web: { ${key}: true, listen: 80 } }`;
    expect(problemsOf({ file }).join()).toMatch(
      /unknown key; (?:its counterpart is|did you mean) /,
    );
  });
});
