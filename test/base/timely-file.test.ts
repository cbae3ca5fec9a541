// Files on a disk that does not answer: they hold nothing but their own folder.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  FILE_MS_MAX,
  readInTime,
  stampInTime,
  stampsInTime,
  TimelyFiles,
} from '../../src/base/timely-file.ts';
import { ManualClock } from '../support/clock.ts';

let clock: ManualClock;
let files: TimelyFiles;
let begun: string[];
beforeEach(() => {
  clock = new ManualClock();
  files = new TimelyFiles(clock);
  begun = [];
});

/** All that is known of by now has been done. */
async function turn(): Promise<void> {
  for (let i = 0; i < 10; i += 1) await Promise.resolve();
}

/** A read whose disk answers when the test says so; what became of it. */
function read(path: string) {
  const { promise, resolve } = Promise.withResolvers<string>();
  const one = { answer: resolve, said: '' };
  files
    .run(path, () => {
      begun.push(path);
      return promise;
    })
    .then(
      (text) => {
        one.said = text;
      },
      (error: Error & { code?: string }) => {
        one.said = `${error.code}: ${error.message}`;
      },
    );
  return one;
}

describe('a read', () => {
  // Bounds: fileTime
  it('that is not answered in time fails, and is not tried again until it is', async () => {
    const first = read('/mnt/a');
    const other = read('/etc/b');
    other.answer('b');
    await turn();
    expect(other.said).toBe('b');
    clock.advance(FILE_MS_MAX);
    await turn();
    expect(first.said).toBe('hanging: /mnt/a was not read within 5s: its disk does not answer');
    // Another file of that folder takes no thread, and no time.
    const again = read('/mnt/c');
    await turn();
    expect(again.said).toBe('hanging: /mnt/c can not be read: its disk does not answer');
    expect(begun).toEqual(['/mnt/a', '/etc/b']);
    expect(files.isReading).toBe(true);
    first.answer('late');
    await turn();
    expect(files.isReading).toBe(false);
    expect(first.said).toMatch(/^hanging/);
    const last = read('/mnt/a');
    last.answer('a');
    await turn();
    expect(last.said).toBe('a');
    expect(clock.waiting).toBe(0);
  });

  it('waits for the one of its folder, and for no more than its own time', async () => {
    const first = read('/mnt/a');
    clock.advance(1000);
    const second = read('/mnt/b');
    await turn();
    expect(begun).toEqual(['/mnt/a']);
    first.answer('a');
    await turn();
    expect(begun).toEqual(['/mnt/a', '/mnt/b']);
    const third = read('/mnt/c');
    clock.advance(FILE_MS_MAX);
    await turn();
    expect(second.said).toMatch(/^hanging: \/mnt\/b was not read within 5s/);
    expect(third.said).toMatch(/^hanging: \/mnt\/c was not read within 5s/);
    expect(begun).toEqual(['/mnt/a', '/mnt/b']);
  });

  // Bounds: fileReads
  it('is one of two at a time: half of the threads are left for others', async () => {
    const hung = ['/a/1', '/b/1'].map(read);
    const fourth = read('/d/1');
    await turn();
    expect(begun).toEqual(['/a/1', '/b/1']);
    clock.advance(FILE_MS_MAX);
    await turn();
    expect(fourth.said).toMatch(/other files are read, and hang/);
    hung[1]!.answer('b');
    await turn();
    const fifth = read('/d/2');
    fifth.answer('d');
    await turn();
    expect(fifth.said).toBe('d');
  });
});

describe('many files of a folder', () => {
  const paths = Array.from({ length: 600 }, (_, i) => `/mnt/${i}`);

  it('are looked at in order by a disk that is slow, however long all of them take', async () => {
    const seen = await files.runEach(paths, async (path) => {
      clock.advance(50);
      return path;
    });
    expect(seen).toEqual(paths);
    expect(clock.nowMs()).toBeGreaterThan(5 * FILE_MS_MAX);
    expect([files.isReading, clock.waiting]).toEqual([false, 0]);
  });

  it('are given up when the disk no longer answers', async () => {
    const looked: string[] = [];
    const seen = files.runEach(paths, (path) => {
      looked.push(path);
      return looked.length < 70 ? Promise.resolve(path) : new Promise<string>(() => {});
    });
    await expect.poll(() => looked.length).toBe(70);
    clock.advance(FILE_MS_MAX);
    await expect(seen).rejects.toMatchObject({ code: 'hanging' });
    expect(looked).toHaveLength(70);
  });
});

describe('files of a disk', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'upriver-timely-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  it.each([0, 1, 4095, 4096, 4097, 300_000])('of %i bytes are read whole', async (bytes) => {
    const path = join(folder, 'a');
    const content = Buffer.from(Array.from({ length: bytes }, (_, i) => i % 251));
    writeFileSync(path, content);
    expect((await readInTime(path, 300_000)).equals(content)).toBe(true);
    if (bytes > 0) await expect(readInTime(path, bytes - 1)).rejects.toThrow('is larger than');
  });

  it('of the kernel, which say no size, are read and bounded', async () => {
    expect((await readInTime('/proc/self/comm', 100)).length).toBeGreaterThan(0);
    await expect(readInTime('/proc/self/maps', 10)).rejects.toThrow('larger than 10');
  });

  it.each(['/dev/zero', '/proc', '/dev/null'])('%s is none', async (path) => {
    await expect(readInTime(path, 1000)).rejects.toThrow('expected a regular file');
  });

  it('have stamps that change with them, and the code of the error where there is none', async () => {
    const [a, b] = [join(folder, 'a'), join(folder, 'b')];
    writeFileSync(a, 'one');
    const first = await stampInTime(a);
    expect(await stampsInTime([a, b])).toEqual([first, 'ENOENT']);
    await expect(stampInTime(b)).rejects.toThrow('ENOENT');
    writeFileSync(a, 'other');
    expect(await stampInTime(a)).not.toBe(first);
  });
});
