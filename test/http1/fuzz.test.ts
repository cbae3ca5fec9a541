import { describe, expect, it } from 'vitest';
import { checkBody, checkHead, fuzzOnce } from './fuzzing.ts';

const RUNS = 20_000;

describe('fuzzer', () => {
  it(`finds nothing in ${RUNS} runs`, { timeout: 120_000 }, () => {
    // The same each time: new inputs are for `npm run fuzz`, and what it finds becomes a row.
    for (let seed = 0; seed < RUNS; seed += 1) fuzzOnce(seed);
  });

  it('replays a run from its seed', () => {
    const thrown = (seed: number): string => {
      try {
        fuzzOnce(seed);
        return '';
      } catch (error) {
        return String(error);
      }
    };
    for (let seed = 0; seed < 50; seed += 1) expect(thrown(seed)).toBe(thrown(seed));
  });

  it('takes plain messages for what they are', () => {
    checkHead('request', 'GET / HTTP/1.1\r\nHost: a\r\n\r\n', [3, 20]);
    checkHead('response', 'HTTP/1.1 200 OK\r\n\r\n', [3]);
    checkBody('3\r\nabc\r\n0\r\n\r\n', [1, 2]);
  });
});
