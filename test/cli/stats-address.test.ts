import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { instanceOf } from '../../src/cli/stats-address.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'upriver-address-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function fileOf(text: string): string {
  const path = join(folder, 'upriver.yaml');
  writeFileSync(path, text);
  return path;
}

describe('an address', () => {
  it.each([
    ['1936', 'http://127.0.0.1:1936'],
    [':1937', 'http://127.0.0.1:1937'],
    ['0.0.0.0:1937', 'http://127.0.0.1:1937'],
    ['*:1937', 'http://127.0.0.1:1937'],
    ['[::]:1937', 'http://127.0.0.1:1937'],
    ['[::1]:1937', 'http://[::1]:1937'],
    ['10.0.0.1:1937', 'http://10.0.0.1:1937'],
    ['localhost:1937', 'http://localhost:1937'],
    ['http://proxy.example.com:1937/', 'http://proxy.example.com:1937'],
    ['/run/upriver.sock', '/run/upriver.sock'],
    ['unix:///run/upriver.sock', '/run/upriver.sock'],
  ])('%s is asked at %s', async (stats, name) => {
    expect(await instanceOf({ stats }, {})).toMatchObject({ name });
    expect(await instanceOf({}, { UPRIVER_STATS: stats })).toMatchObject({ name });
  });

  it.each([
    ['https://127.0.0.1:1937', 'unverified'],
    ['https://localhost:1937/', 'unverified'],
    ['https://proxy.example.com:1937', 'verified'],
    ['http://127.0.0.1:1937', 'off'],
  ])('%s is asked over TLS: %s', async (stats, tls) => {
    expect(await instanceOf({ stats }, {})).toMatchObject({ tls });
  });

  it.each([
    ['{ address: ":1940", tls: true }', 'unverified', 'https://127.0.0.1:1940'],
    ['{ tls: { min_version: "1.3" } }', 'unverified', 'https://127.0.0.1:1936'],
    ['{ address: "10.0.0.1:1940", tls: true }', 'verified', 'https://10.0.0.1:1940'],
    ['{ address: /run/u.sock, tls: true }', 'unverified', '/run/u.sock'],
    ['{ address: 1940, tls: false }', 'off', 'http://127.0.0.1:1940'],
  ])('is that of the mapping %s', async (listen, tls, name) => {
    const config = fileOf(`stats: { listen: ${listen} }`);
    expect(await instanceOf({ config }, {})).toMatchObject({ tls, name });
  });

  it('that is none is named with where it stands', async () => {
    expect(await instanceOf({ stats: 'nowhere' }, {})).toEqual({
      problem: expect.stringMatching(/^--stats: 'nowhere': expected the port/),
    });
    expect(await instanceOf({}, { UPRIVER_STATS: 'x:y' })).toEqual({
      problem: expect.stringMatching(/^UPRIVER_STATS: 'x:y': expected/),
    });
  });
});

describe('where it is found', () => {
  it('flag over environment over file over default', async () => {
    const config = fileOf(`stats: { listen: 1940, admin_token: "\${TOKEN:-abc}" }`);
    const env = { UPRIVER_STATS: ':1939', UPRIVER_CONFIG: config };
    expect(await instanceOf({ stats: ':1938', config }, env)).toMatchObject({
      place: { host: '127.0.0.1', port: 1938 },
    });
    expect(await instanceOf({ config }, env)).toMatchObject({ place: { port: 1939 } });
    expect(await instanceOf({ config }, {})).toMatchObject({ place: { port: 1940 }, token: 'abc' });
    expect(await instanceOf({}, { UPRIVER_CONFIG: config, TOKEN: 'def' })).toMatchObject({
      ...{ place: { port: 1940 }, token: 'def' },
    });
    expect(await instanceOf({}, {})).toMatchObject({ place: { port: 1936 }, token: '' });
  });

  it('a file that says nothing of it, or has other problems, is no obstacle', async () => {
    expect(await instanceOf({ config: fileOf('servces: 3') }, {})).toMatchObject({
      place: { port: 1936 },
    });
    expect(await instanceOf({ config: fileOf('') }, {})).toMatchObject({ place: { port: 1936 } });
  });

  it('says so where there is nothing to ask, or no file', async () => {
    const off = await instanceOf({ config: fileOf('stats: { listen: off }') }, {});
    expect(off).toEqual({ problem: expect.stringContaining('the stats port is off') });
    const none = await instanceOf({ config: join(folder, 'none.yaml') }, {});
    expect(none).toEqual({ problem: expect.stringContaining('none.yaml: ENOENT') });
    const broken = await instanceOf({ config: fileOf('a: [') }, {});
    expect(broken).toEqual({ problem: expect.stringMatching(/upriver\.yaml:1:\d+: /) });
  });
});
