// Files that a configuration may name: what is no regular file, or too large, is refused at once.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readRegularFile } from '../../src/base/regular-file.ts';

const KIB = 1024;
let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'upriver-file-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

const at = (name: string) => join(folder, name);
const read = (path: string) => readRegularFile(path, KIB).toString();

describe('a regular file', () => {
  it('is read whole, up to the bound', () => {
    writeFileSync(at('a'), '');
    expect(read(at('a'))).toBe('');
    writeFileSync(at('a'), 'x'.repeat(KIB));
    expect(read(at('a'))).toHaveLength(KIB);
    writeFileSync(at('a'), 'x'.repeat(300 * KIB));
    expect(readRegularFile(at('a'), 400 * KIB)).toHaveLength(300 * KIB);
  });

  it('is refused beyond the bound', () => {
    writeFileSync(at('a'), 'x'.repeat(KIB + 1));
    expect(() => read(at('a'))).toThrow(`${at('a')} is larger than 1KiB`);
  });

  it('is refused beyond the bound where the kernel makes it up as it is read', () => {
    expect(() => readRegularFile('/proc/self/maps', 10)).toThrow('larger than 10');
    expect(readRegularFile('/proc/self/comm', 100).length).toBeGreaterThan(0);
  });

  it('may be a link, as mounted secrets are', () => {
    writeFileSync(at('a'), 'x');
    symlinkSync('a', at('b'));
    expect(read(at('b'))).toBe('x');
  });

  it('that is not there is what the system says', () => {
    expect(() => read(at('none'))).toThrow('ENOENT');
  });

  it('of a terabyte without content costs nothing', () => {
    writeFileSync(at('sparse'), '');
    truncateSync(at('sparse'), 2 ** 40);
    expect(() => read(at('sparse'))).toThrow('is larger than 1KiB');
  });
});

describe('what is no regular file is refused, not read:', () => {
  it.each(['/dev/zero', '/dev/random', '/dev/null'])('%s', (path) => {
    expect(() => read(path)).toThrow(`${path} is a`);
    expect(() => read(path)).toThrow(': expected a regular file');
  });

  it('a directory', () => {
    expect(() => read(folder)).toThrow(`${folder} is a directory: expected a regular file`);
  });

  it('a FIFO, with nobody at its other end', () => {
    execFileSync('mkfifo', [at('fifo')]);
    expect(() => read(at('fifo'))).toThrow(`${at('fifo')} is a FIFO: expected a regular file`);
  });

  it('a socket', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(at('socket'), resolve));
    expect(() => read(at('socket'))).toThrow('is a socket: expected a regular file');
    await new Promise((resolve) => server.close(resolve));
  });

  it('a link to itself', () => {
    symlinkSync('loop', at('loop'));
    expect(() => read(at('loop'))).toThrow('ELOOP');
  });
});
