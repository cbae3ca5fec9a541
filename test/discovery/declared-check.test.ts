// Registrator's check metadata, as Registrator and its users write it.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { declaredCheck } from '../../src/discovery/declared-check.ts';

const of = (meta: Record<string, string>) => declaredCheck(meta);

describe('declared checks', () => {
  it.each([
    [
      { check_http: '/health' },
      { type: 'http', path: '/health', method: 'GET', intervalMs: 10_000, tls: null },
    ],
    [
      { check_http: '/h?x=1', check_http_method: 'head' },
      { type: 'http', path: '/h?x=1', method: 'HEAD' },
    ],
    [
      { check_https: '/health', check_interval: '5s' },
      { type: 'http', path: '/health', intervalMs: 5000, tls: { verify: false } },
    ],
    [
      { check_https: '/ready', check_https_method: 'head', check_http_method: 'OPTIONS' },
      { type: 'http', path: '/ready', method: 'HEAD' },
    ],
    [
      { check_tcp: 'true', check_interval: '15s', check_timeout: '3s' },
      { type: 'tcp', intervalMs: 15_000, timeoutMs: 3000 },
    ],
    [
      { check_http: '/a', check_tcp: 'true' },
      { type: 'http', path: '/a' },
    ],
    [{ check_script: 'curl $SERVICE_IP', check_tcp: '1' }, { type: 'tcp' }],
    [{ check_http: '/', check_interval: '2s', check_timeout: '30s' }, { timeoutMs: 2000 }],
    [{ check_http: '/', check_initial_status: 'passing' }, { initial: 'up' }],
    [
      { check_http: '/', check_initial_status: 'critical', check_deregister_after: '10m' },
      { initial: 'down' },
    ],
    [
      { check_http: '/' },
      {
        expectStatus: [
          { from: 200, to: 299 },
          { from: 429, to: 429 },
        ],
        initial: 'down',
      },
    ],
  ])('%j is checked so', (meta, expected) => {
    expect(of(meta)).toMatchObject({ check: expected, problems: [] });
  });

  it.each([
    {},
    { check_ttl: '30s' },
    { check_interval: '5s' },
    { check_tcp: 'false' },
    { check_http: '' },
  ])('%j is no check', (meta) => {
    expect(of(meta as Record<string, string>)).toEqual({ check: null, problems: [] });
  });

  it.each([
    [
      { check_script: 'curl x' },
      null,
      "check_script can't be run from here: no check is made of it",
    ],
    [{ check_cmd: '/bin/x' }, null, "check_cmd can't be run from here: no check is made of it"],
    [
      { check_http: 'health' },
      null,
      "check_http 'health': expected a path that begins with a slash",
    ],
    [
      { check_http: '/a b', check_tcp: 'true' },
      'tcp',
      "check_http '/a b': expected a path that begins with a slash",
    ],
    [
      { check_http: '/', check_interval: 'soon' },
      'http',
      "check_interval 'soon': expected a duration such as 10s, from 1s to 1h",
    ],
    [
      { check_http: '/', check_interval: '15' },
      'http',
      "check_interval '15': expected a duration such as 10s, from 1s to 1h",
    ],
    [
      { check_http: '/', check_timeout: '1ms' },
      'http',
      "check_timeout '1ms': expected a duration such as 10s, from 1s to 1h",
    ],
    [
      { check_http: '/', check_http_method: 'POST' },
      'http',
      "check_http_method 'POST': expected GET or HEAD or OPTIONS",
    ],
    [
      { check_http: '/', check_initial_status: 'ok' },
      'http',
      "check_initial_status 'ok': expected passing, warning or critical",
    ],
    [{ check_tcp: 'maybe' }, null, "check_tcp 'maybe': expected true or false"],
  ])('%j is told, and changes nothing else', (meta, type, problem) => {
    const { check, problems } = of(meta);
    expect(check?.type ?? null).toBe(type);
    expect(problems).toEqual([problem]);
    if (type === 'http') expect(check).toMatchObject(of({ check_http: '/' }).check!);
  });

  it('take any Meta without throwing', () => {
    const keys = fc.constantFrom(
      'check_http',
      'check_tcp',
      'check_interval',
      'check_timeout',
      'check_x',
      'y',
    );
    fc.assert(
      fc.property(fc.dictionary(keys, fc.anything()), (meta) => {
        const { check, problems } = declaredCheck(meta);
        expect(problems.length).toBeLessThanOrEqual(6);
        if (check !== null) expect(check.timeoutMs).toBeLessThanOrEqual(check.intervalMs);
      }),
    );
    for (const odd of [null, undefined, 'text', 5] as never[])
      expect(declaredCheck(odd).check).toBeNull();
  });
});
