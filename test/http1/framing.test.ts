import { describe, expect, it } from 'vitest';
import { isPersistent } from '../../src/http1/framing.ts';
import { HeadParser } from '../../src/http1/head-parser.ts';
import { bytesOf, WIDE_LIMITS } from './reader.ts';

// RFC 9112 section 9.3. How long bodies are is in the corpus.
describe('isPersistent', () => {
  it.each([
    ['1.1', '', true],
    ['1.1', 'close', false],
    ['1.1', 'keep-alive', true],
    ['1.1', 'keep-alive, close', false],
    ['1.0', '', false],
    ['1.0', 'keep-alive', true],
    ['1.0', 'keep-alive, close', false],
  ])('HTTP/%s with Connection: %s: %s', (version, connection, isKept) => {
    const parser = new HeadParser('request', WIDE_LIMITS);
    const bytes = bytesOf(`GET / HTTP/${version}\r\nHost: a\r\nConnection: ${connection}\r\n\r\n`);
    parser.feed(bytes, 0, bytes.length);
    expect(isPersistent(parser.head)).toBe(isKept);
  });
});
