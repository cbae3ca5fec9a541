// Where files and URLs with target groups are: `registries.file` and `registries.http`.
import { describe, expect, it } from 'vitest';
import { problemsOf, settingsOf } from '../support/config.ts';

describe('registries with target groups', () => {
  it('take one place or several', () => {
    const { registries } = settingsOf({
      file: `registries:
  file: { path: [/etc/upriver/*.json, more.yaml] }
  http: { url: "http://sd.local:9000/sd?x=1", interval: 30s, service: web }
services:
  web: { listen: 80, from: { registry: file } }`,
    });
    expect(registries.file).toMatchObject({
      ...{ paths: ['/etc/upriver/*.json', 'more.yaml'], tagPrefix: 'upriver' },
    });
    expect(registries.http).toMatchObject({
      ...{ urls: ['http://sd.local:9000/sd?x=1'], intervalMs: 30_000, service: 'web', token: '' },
    });
    expect(
      settingsOf({ file: 'registries: { file: { path: a.json } }' }).registries.file,
    ).toMatchObject({ paths: ['a.json'] });
  });

  it.each([
    ['file: { path: "/a*/b.json" }', /last part alone may have \*/],
    ['file: { path: "" }', /path of a file/],
    ['http: { url: "ftp://x/" }', /http:\/\/HOST\/PATH/],
    ['http: { url: "http://user:secret@x/" }', /without user and fragment/],
    ['http: { url: "http://x/", interval: 10ms }', /1s/],
  ])('%s is refused', (given, expected) => {
    const problems = problemsOf({ file: `registries: { ${given} }` });
    expect(problems.join('\n')).toMatch(expected);
    expect(problems.join('\n')).not.toMatch(/user:secret/);
  });
});
