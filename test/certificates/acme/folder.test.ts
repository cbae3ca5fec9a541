// The folder of ACME, which other processes write as well: files larger than any, and more of them than there may be.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { AcmeFolder } from '../../../src/certificates/acme/folder.ts';
import { BOUNDS } from '../../../src/model/bounds.ts';

/** The disk of what lies below `hanging.path` does not answer. */
const hanging = vi.hoisted(() => ({ path: '', begun: 0 }));
vi.mock('node:fs/promises', async (original) => {
  const actual = await original<typeof import('node:fs/promises')>();
  const answered =
    (call: (path: string) => unknown) =>
    (path: string): unknown => {
      if (hanging.path === '' || !path.startsWith(hanging.path)) return call(path);
      hanging.begun += 1;
      return new Promise(() => {});
    };
  // The tests call them with a path alone.
  const [readdir, stat] = [answered(actual.readdir), answered(actual.stat)];
  return { ...actual, readdir, stat };
});

let path: string;
let folder: AcmeFolder;
beforeEach(() => {
  path = mkdtempSync(join(tmpdir(), 'upriver-acme-'));
  folder = new AcmeFolder(path);
});
afterEach(() => {
  hanging.path = '';
  vi.useRealTimers();
  rmSync(path, { recursive: true });
});

it('an account larger than any is an error that names the file, and is not replaced', async () => {
  const file = join(path, 'account.json');
  writeFileSync(file, ' '.repeat(BOUNDS.acmeFile.max + 1));
  await expect(folder.readAccount()).rejects.toThrow(`${file}: `);
});

it('of more challenges than there may be some are not answered, and no large one', async () => {
  await folder.prepare();
  const { max } = BOUNDS.acmeChallenges;
  const challenge = (i: number) =>
    JSON.stringify({ type: 'http-01', domain: 'a.test', token: `t${i}`, answer: 'x' });
  for (let i = 0; i < 5; i += 1) writeFileSync(join(path, 'challenges', `${i}.json`), challenge(i));
  const large = `${challenge(5)}${' '.repeat(BOUNDS.acmeFile.max)}`;
  writeFileSync(join(path, 'challenges', 'large.json'), large);
  expect(await folder.challenges(Date.now())).toHaveLength(5);
  for (let i = 5; i < max + 5; i += 1)
    writeFileSync(join(path, 'challenges', `${i}.json`), challenge(i));
  rmSync(join(path, 'challenges', 'large.json'));
  expect(await folder.challenges(Date.now())).toHaveLength(max);
});

it('challenges on a disk that does not answer are given up in time, and not asked for again', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  await folder.prepare();
  hanging.path = join(path, 'challenges');
  const asked = folder.challenges(Date.now());
  const refused = expect(asked).rejects.toMatchObject({ code: 'hanging' });
  await vi.advanceTimersByTimeAsync(6000);
  await refused;
  expect(hanging.begun).toBe(1);
  // The threads of the pool are few: one is held by this folder, and no other.
  await expect(folder.challenges(Date.now())).rejects.toMatchObject({ code: 'hanging' });
  expect(hanging.begun).toBe(1);
});
