// The configuration over time, on a real file in a real folder.
import {
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/log.ts';
import { ConfigSource } from '../../src/config/source.ts';
import type { Settings } from '../../src/model/settings.ts';

let folder: string;
let path: string;
let source: ConfigSource;
let applied: { readonly settings: Settings; readonly why: string }[];
let errors: string[];
let infos: string[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'upriver-config-'));
  path = join(folder, 'upriver.yaml');
  applied = [];
  errors = [];
  infos = [];
});
afterEach(() => {
  source.close();
  rmSync(folder, { recursive: true, force: true });
});

function open(text: string): void {
  writeFileSync(path, text);
  openAt(path);
}

function openAt(file: string, flags = {}): void {
  source = new ConfigSource({
    ...{ flags, env: {}, path: file, clock: systemClock },
    log: {
      ...silentLogger,
      error: (_, message) => errors.push(message),
      info: (_, message) => infos.push(message),
    },
    onSettings: (settings, why) => applied.push({ settings, why }),
  });
  source.loadFirst();
  source.watch();
}

const workers = () => applied.map(({ settings }) => settings.workers);

describe('a file that changes', () => {
  it('is applied when it is written', async () => {
    open('workers: 1');
    writeFileSync(path, 'workers: 2');
    await expect.poll(workers).toEqual([2]);
    expect(applied[0]!.why).toBe('file changed');
    expect(source.status).toMatchObject({ error: '' });
  });

  it('is applied when another is renamed over it, again and again', async () => {
    open('workers: 1');
    for (const count of [2, 3, 4]) {
      writeFileSync(`${path}.new`, `workers: ${count}`);
      renameSync(`${path}.new`, path);
      await expect.poll(() => workers().at(-1)).toBe(count);
    }
  });

  it('is applied when a symlink to its folder is swapped, as in a ConfigMap', async () => {
    for (const [version, count] of [
      ['v1', 1],
      ['v2', 2],
    ] as const) {
      mkdirSync(join(folder, version));
      writeFileSync(join(folder, version, 'upriver.yaml'), `workers: ${count}`);
    }
    symlinkSync('v1', join(folder, '..data'));
    symlinkSync('..data/upriver.yaml', path);
    openAt(path);
    symlinkSync('v2', join(folder, '..tmp'));
    renameSync(join(folder, '..tmp'), join(folder, '..data'));
    await expect.poll(workers).toEqual([2]);
  });

  it('without a change of its text is applied to nothing', async () => {
    open('workers: 1');
    writeFileSync(path, 'workers: 1');
    source.reload('SIGHUP');
    writeFileSync(path, 'workers: 2');
    await expect.poll(workers).toEqual([2]);
  });
});

describe('a bad file', () => {
  it('is refused, told once, and what ran goes on; a good one is applied', async () => {
    open('workers: 1');
    const { loadedMs } = source.status;
    writeFileSync(path, 'workers: many');
    await expect.poll(() => errors).toHaveLength(1);
    expect(errors[0]).toMatch(/^configuration refused: upriver\.yaml:1:10: workers: "many": /);
    expect(source.status).toMatchObject({ loadedMs });
    expect(source.status.error).toContain('upriver.yaml:1:10');
    source.reload('SIGHUP');
    expect(errors).toHaveLength(1);
    expect(workers()).toEqual([]);
    writeFileSync(path, 'workers: 3');
    await expect.poll(workers).toEqual([3]);
    expect(source.status.error).toBe('');
  });

  it('that becomes what it was is well again, and changes nothing', async () => {
    open('workers: 1');
    writeFileSync(path, 'workers: many');
    await expect.poll(() => source.status.error).not.toBe('');
    writeFileSync(path, 'workers: 1');
    await expect.poll(() => source.status.error).toBe('');
    expect(workers()).toEqual([]);
    expect(infos).toEqual(['configuration is valid again: the one that runs']);
  });

  it('that another good one replaces is said to be valid again, and applied', async () => {
    open('workers: 1');
    writeFileSync(path, 'workers: many');
    await expect.poll(() => errors).toHaveLength(1);
    writeFileSync(path, 'workers: 3');
    await expect.poll(workers).toEqual([3]);
    expect(infos).toEqual([
      'configuration is valid again: another than the one that ran',
      'configuration applied',
    ]);
  });

  it('is one that is empty, as while it is written', async () => {
    open('workers: 1');
    writeFileSync(path, '');
    await expect.poll(() => errors).toHaveLength(1);
    expect(errors[0]).toContain('upriver.yaml:1:1: the file is empty: expected settings');
    expect(workers()).toEqual([]);
    writeFileSync(path, 'workers: 1');
    await expect.poll(() => source.status.error).toBe('');
  });

  it('is one that is gone, until it comes back', async () => {
    open('workers: 1');
    unlinkSync(path);
    await expect.poll(() => source.status.error).toContain('ENOENT');
    expect(workers()).toEqual([]);
    writeFileSync(path, 'workers: 2');
    await expect.poll(workers).toEqual([2]);
  });
});

describe('the overlay', () => {
  it('is laid over the file, and taken away again', () => {
    open('workers: 1\nlog: { level: warn }');
    source.setOverlay('upriver/config', 'workers: 5');
    expect(applied.at(-1)).toMatchObject({
      why: 'kv upriver/config',
      settings: { workers: 5, log: { level: 'warn' } },
    });
    source.setOverlay('upriver/config', null);
    expect(workers()).toEqual([5, 1]);
  });

  it('with a problem is refused, and does not hold back the one that runs', () => {
    open('workers: 1');
    source.setOverlay('upriver/config', 'workers: 5');
    source.setOverlay('upriver/config', 'workers: x');
    expect(errors).toEqual([
      expect.stringMatching(/^configuration refused: kv upriver\/config:1:10: workers: "x": /),
    ]);
    expect(workers()).toEqual([5]);
  });

  it('does not win over a flag', () => {
    writeFileSync(path, 'workers: 1');
    openAt(path, { workers: '7' });
    source.setOverlay('upriver/config', 'workers: 5\nlog: { level: debug }');
    expect(applied.at(-1)!.settings).toMatchObject({ workers: 7, log: { level: 'debug' } });
  });
});
