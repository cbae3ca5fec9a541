// Files of tokens and of TLS: one that is larger than any is an error that says so, and what was read before stays.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { BOUNDS } from '../../src/model/bounds.ts';
import { Secret } from '../../src/reach/secret.ts';
import { tlsOptions } from '../../src/reach/tls-files.ts';

let folder: string;
let file: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'upriver-reach-'));
  file = join(folder, 'file');
});
afterEach(() => rmSync(folder, { recursive: true }));

it('a token larger than any is refused; one that was read before stays', async () => {
  const large = 'x'.repeat(BOUNDS.tokenFile.max + 1);
  writeFileSync(file, large);
  const secret = new Secret({ text: '', file, key: 'token_file' });
  await expect(Promise.resolve(secret.read())).rejects.toThrow(
    /^token_file .* is larger than 16KiB$/,
  );
  writeFileSync(file, 'good');
  expect(await secret.read()).toBe('good');
  writeFileSync(file, large);
  expect(await secret.read()).toBe('good');
});

it('a CA file larger than any is refused, with its path', async () => {
  writeFileSync(file, 'x'.repeat(BOUNDS.tlsFile.max + 1));
  const options = { caFile: file, certFile: '', keyFile: '', serverName: '', verify: true };
  await expect(tlsOptions(options)).rejects.toMatchObject({
    code: 'tls-file',
    message: expect.stringContaining(`${file}: `),
  });
});
