// Keys that JavaScript or YAML treats apart: each is a key like any other, or refused. None is left out of
// the configuration without a word.
import { describe, expect, it } from 'vitest';
import { problemsOf, settingsOf } from '../support/config.ts';

const file = 'services: { web: { listen: 8080 } }';

describe('__proto__ as the name of', () => {
  it.each([
    ['a service', 'services: { __proto__: { listen: 8081 } }', 'services.__proto__'],
    ['a service in JSON', '{"services":{"__proto__":{"listen":8081}}}', 'services.__proto__'],
    [
      'a field',
      'services: { web: { listen: 8080, http: { request_headers: { __proto__: x } } } }',
      'services.web.http.request_headers.__proto__',
    ],
    ['static endpoints', 'static: { __proto__: [ "127.0.0.1:80" ] }', 'static.__proto__'],
  ])('%s', (_, text, key) => {
    const said = `${key}: "__proto__": expected another name`;
    expect(problemsOf({ file: text })).toEqual([expect.stringContaining(said)]);
    if (key.startsWith('static')) return;
    expect(problemsOf({ file, kv: text })).toEqual([expect.stringContaining(said)]);
  });

  it('a setting is an unknown key, said once', () => {
    const kv = 'services: { web: { __proto__: { from: { service: x } } } }';
    expect(problemsOf({ file, kv })).toEqual([expect.stringContaining('unknown key')]);
  });

  it('a service of a flag', () => {
    expect(problemsOf({ flags: { service: ['__proto__=8081'] } })).toEqual([
      expect.stringContaining('expected another name'),
    ]);
  });
});

it('takes other names of prototypes as names', () => {
  const kv = 'services: { constructor: { listen: 8081 }, toString: { listen: 8082 } }';
  expect(settingsOf({ file, kv }).services.map(({ name }) => name)).toEqual([
    ...['web', 'constructor', 'toString'],
  ]);
});

describe('YAML that reads as something else than it looks', () => {
  it.each([
    ['a set', 'services: !!set { web }'],
    ['an ordered map', 'services: !!omap [ web: { listen: 8081 } ]'],
    ['pairs', 'services: !!pairs [ web: { listen: 8081 } ]'],
    ['bytes', 'services: !!binary aGVsbG8='],
    ['a merge', 'services: { ? !!merge << : { web: { listen: 8081 } } }'],
    ['a date', 'services: { web: { slow_start: !!timestamp 2001-01-01 } }'],
  ])('%s', (_, kv) => {
    expect(problemsOf({ file, kv })).toEqual([
      expect.stringMatching(/^kv upriver\/config:1:\d+: the tag !!\w+ is not supported$/),
    ]);
  });

  it('a key that is an alias, and another one again', () => {
    const kv = 'services: { &a web: { slow_start: 1s }, *a : { slow_start: 2s } }';
    expect(problemsOf({ file, kv })).toEqual([
      expect.stringContaining('kv upriver/config:1:41: expected a text as key'),
    ]);
  });

  it('takes the tags of plain data', () => {
    const kv = 'services: !!map { !!str web: { listen: !!int "8081", tcp: !!map {} } }';
    expect(problemsOf({ file, kv })).toEqual([]);
  });
});
