import { describe, expect, it } from 'vitest';
import {
  type Body,
  ConsulError,
  type Headers,
  readAnswer,
} from '../../../src/discovery/consul/answer.ts';

const wallMs = Date.UTC(2026, 0, 1, 12, 0, 0);

function read(
  response: { status?: number; headers?: Headers; text?: string },
  mayBeMissing = false,
) {
  const { status = 200, headers = { 'x-consul-index': '7' }, text = '[]' } = response;
  const body = status === 200 ? bodyOf(text) : null;
  return readAnswer({ status, headers, text, body }, { mayBeMissing, nowMs: 5, wallMs });
}

/** As body.ts reads it. */
function bodyOf(text: string): Body {
  const bytes = text.length;
  try {
    return { value: JSON.parse(text), bytes, excess: '', fault: null };
  } catch {
    const fault = new ConsulError('not-json', `answered what is not JSON: ${text}`);
    return { value: null, bytes, excess: '', fault };
  }
}

function errorOf(response: Parameters<typeof read>[0]): ConsulError {
  try {
    read(response);
  } catch (error) {
    if (error instanceof ConsulError) return error;
  }
  throw new Error('it was an answer');
}

describe('an answer', () => {
  it('has its index, body and time', () => {
    expect(read({ text: '[1]' })).toEqual({
      index: 7n,
      body: [1],
      doubt: '',
      receivedMs: 5,
      bodyBytes: 3,
    });
  });

  it('keeps an index beyond 2^53 exact', () => {
    const headers = { 'x-consul-index': '18446744073709551615' };
    expect(read({ headers }).index).toBe(18446744073709551615n);
  });

  it.each([
    ['x-consul-knownleader', 'false', 'no known leader'],
    ['x-consul-knownleader', 'true', ''],
    ['x-consul-results-filtered-by-acls', 'true', 'filtered by ACLs'],
  ])('with %s: %s is doubtful: %j', (name, value, doubt) => {
    expect(read({ headers: { 'x-consul-index': '1', [name]: value } }).doubt).toBe(doubt);
  });

  it('may be that a key is missing, where an index stands by it', () => {
    expect(read({ status: 404, text: '' }, true)).toMatchObject({ index: 7n, body: null });
    expect(() => read({ status: 404, text: '', headers: {} }, true)).toThrow('X-Consul-Index');
    expect(() => read({ status: 404, text: '' })).toThrow('answered 404');
  });
});

describe('no answer', () => {
  it.each([
    ['an error with an index', { status: 500, text: 'rpc error\nmore' }, 'http-500'],
    ['a missing index', { headers: {} }, 'no-index'],
    ['an index that is no number', { headers: { 'x-consul-index': 'x' } }, 'no-index'],
    ['a negative index', { headers: { 'x-consul-index': '-1' } }, 'no-index'],
    ['a page', { text: '<html>' }, 'not-json'],
    ['half a body', { text: '[{' }, 'not-json'],
  ] as const)('is %s', (_, response, code) => {
    expect(errorOf(response).code).toBe(code);
  });

  it.each([
    [400, true],
    [403, true],
    [429, false],
    [500, false],
    [503, false],
  ])('%i is a refusal of the question: %s', (status, isRefusal) => {
    expect(errorOf({ status }).isRefusal).toBe(isRefusal);
  });

  it.each([
    ['2', 2000],
    ['Thu, 01 Jan 2026 12:00:03 GMT', 3000],
    ['Thu, 01 Jan 2026 11:00:00 GMT', 0],
    ['100000', 60_000],
    ['soon', 0],
    [undefined, 0],
  ])('with Retry-After %s asks for %i ms', (header, ms) => {
    expect(errorOf({ status: 429, headers: { 'retry-after': header } }).retryAfterMs).toBe(ms);
  });

  it('tells the first line of why', () => {
    expect(errorOf({ status: 500, text: 'rpc error\nmore' }).message).toBe(
      'answered 500: rpc error',
    );
  });
});
