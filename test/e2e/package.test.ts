// The package as it is published: packed from a checkout that was never built, installed into an
// empty folder without a network, and run. It brings its libraries inside, so it asks for none.
import { execFile } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { entryOf, STAMP, sourcesHash } from '../../bin/sources.mjs';
import { THREADS } from '../../scripts/threads.ts';

const exec = promisify(execFile);
const root = join(import.meta.dirname, '..', '..');
const MIB = 2 ** 20;

let folder: string;
let checkout: string;
let installed: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'upriver-package-'));
  checkout = join(folder, 'checkout');
  installed = join(folder, 'installed');
  mkdirSync(installed);
  for (const part of ['bin', 'src', 'scripts', 'package.json', 'package-lock.json', 'README.md']) {
    cpSync(join(root, part), join(checkout, part), { recursive: true });
  }
  for (const part of ['LICENSE', 'config.schema.json', 'config.example.yaml']) {
    cpSync(join(root, part), join(checkout, part));
  }
  symlinkSync(join(root, 'node_modules'), join(checkout, 'node_modules'));
  const env = {
    ...process.env,
    PATH: [join(root, 'node_modules', '.bin'), process.env.PATH].join(delimiter),
  };
  await exec('npm', ['pack', '--pack-destination', folder], { cwd: checkout, env });
  writeFileSync(join(installed, 'package.json'), '{}');
  const tarball = join(folder, 'upriver-0.1.0.tgz');
  const options = ['--offline', '--omit=optional', '--no-audit', '--no-fund', '--ignore-scripts'];
  const { stderr } = await exec('npm', ['install', tarball, ...options], { cwd: installed, env });
  expect(stderr).not.toContain('EBADENGINE');
}, 120_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const upriver = (...args: readonly string[]) =>
  exec(process.execPath, [join(installed, 'node_modules', '.bin', 'upriver'), ...args], {
    cwd: installed,
    env: { PATH: process.env.PATH },
  });

describe('the packed package', () => {
  it('runs where it was installed, with nothing else there', async () => {
    const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
      version: string;
    };
    expect((await upriver('--version')).stdout).toMatch(new RegExp(`^upriver ${version} `));
    const file = join(installed, 'upriver.yaml');
    writeFileSync(file, 'services: { web: { listen: 8080 } }\n');
    expect((await upriver('check', '--config', file)).stdout).toBe('configuration is valid\n');
    const schema = JSON.parse((await upriver('schema')).stdout) as object;
    expect(schema).toEqual(JSON.parse(readFileSync(join(root, 'config.schema.json'), 'utf8')));
  });

  it('has what each thread begins with', () => {
    const place = join(installed, 'node_modules', 'upriver', 'dist');
    expect(THREADS.filter((one) => !existsSync(join(place, `${one}.js`)))).toEqual([]);
  });

  it('brings no library beside it, the licences of those within, and little', async () => {
    const place = join(installed, 'node_modules', 'upriver');
    const { stdout } = await exec('npm', ['ls', '--all', '--parseable', '--omit=optional'], {
      cwd: installed,
    });
    expect(stdout.trim().split('\n')).toHaveLength(2);
    expect(readFileSync(join(place, 'dist', 'THIRD-PARTY-LICENSES'), 'utf8')).toContain('undici ');
    expect(existsSync(join(place, 'src'))).toBe(false);
    const size = await exec('du', ['-sb', join(installed, 'node_modules')]);
    // 3.9 MiB, of which the library that speaks to ACME CAs is 1.2: loaded where an order is due alone.
    expect(Number.parseInt(size.stdout, 10)).toBeLessThan(5 * MIB);
  });
});

describe('a checkout', () => {
  it('runs what was built while it is what the sources make, and the sources otherwise', () => {
    const built = join(checkout, 'dist', 'cli', 'upriver.js');
    const source = join(checkout, 'src', 'cli', 'upriver.ts');
    expect(readFileSync(join(checkout, STAMP), 'utf8').trim()).toBe(sourcesHash(checkout));
    expect(entryOf(checkout)).toBe(built);
    const text = readFileSync(source, 'utf8');
    writeFileSync(source, `${text}// changed\n`);
    expect(entryOf(checkout)).toBe(source);
    writeFileSync(source, text);
    expect(entryOf(checkout)).toBe(built);
    rmSync(join(checkout, STAMP));
    expect(entryOf(checkout)).toBe(source);
  });
});
