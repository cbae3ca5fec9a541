import { execFileSync } from 'node:child_process';
import {
  closeSync,
  constants,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { LineFile } from '../../src/cli/line-file.ts';

let folder = '';
const fds: number[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'upriver-lines-'));
});
afterEach(() => {
  for (const fd of fds.splice(0)) closeSync(fd);
  rmSync(folder, { recursive: true });
});

function make(path: string, flags: string | number) {
  const fd = openSync(path, flags);
  fds.push(fd);
  const told: string[] = [];
  const file = new LineFile({
    fd,
    onError: (why) => told.push(why),
    onRecovered: (lost) => told.push(`recovered, ${lost} lost`),
  });
  return { file, told };
}

it('writes lines in the order they came', async () => {
  const path = join(folder, 'log');
  const { file } = make(path, 'a');
  const lines = Array.from({ length: 1000 }, (_, i) => `line ${i}\n`);
  for (const line of lines) {
    file.write(line);
    if (Math.random() < 0.01) await new Promise((resolve) => setImmediate(resolve));
  }
  await expect.poll(() => readFileSync(path, 'utf8')).toBe(lines.join(''));
});

it('says once that the disk is full, and its end does not wait for the disk', async () => {
  const { file, told } = make('/dev/full', 'w');
  for (let i = 0; i < 5; i += 1) {
    file.write('a line\n');
    await expect.poll(() => told).toHaveLength(1);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  expect(told).toEqual([expect.stringContaining('ENOSPC')]);
  file.flush();
});

it('goes on when there is room again, and tells how much was lost', async () => {
  // A pipe that nobody reads is full after 64 KiB; a reader makes room.
  const path = join(folder, 'pipe');
  execFileSync('mkfifo', [path]);
  const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  fds.push(reader);
  const { file, told } = make(path, constants.O_WRONLY | constants.O_NONBLOCK);
  const line = `${'x'.repeat(1023)}\n`;
  for (let i = 0; i < 3000; i += 1) file.write(line);
  const read = Buffer.alloc(1024 * 1024);
  let total = 0;
  const drain = (): number => {
    try {
      total += readSync(reader, read);
    } catch {
      // Nothing there for now.
    }
    return total;
  };
  // What was taken at first, and up to the limit of what is kept; the rest is lost.
  await expect.poll(drain, { interval: 1 }).toBeGreaterThanOrEqual(1024 * 1024);
  file.write('last\n');
  await expect.poll(() => drain() % 1024, { interval: 1 }).toBe('last\n'.length);
  expect(total).toBeLessThan(3000 * 1024);
  const taken = (total - 'last\n'.length) / line.length;
  expect(told).toEqual([`recovered, ${3000 - taken} lost`]);
});
