// A disk without room, for each file that Upriver writes. Must not fail: any request, and the end of
// the process. May fail: lines of the log, which are counted, and the state of a later start.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { hasConsul } from '../support/consul.ts';
import { clearStage, deferred, RATE, setStage } from '../support/stage.ts';

afterEach(clearStage);

describe.skipIf(!hasConsul)('a full disk', () => {
  it('under the access log is said once, and stops nothing', async () => {
    const stage = await setStage({ args: ['--access-log', '/dev/full'] });
    await stage.gets.next(2 * RATE);
    expect((await stage.gets.stop()).failures).toEqual([]);
    stage.upriver.signal('SIGTERM');
    expect(await stage.upriver.exited).toBe(0);
    const said = stage.upriver.log.filter(({ msg }) => msg.includes("access log can't be written"));
    expect(said).toHaveLength(1);
    expect(said[0]!.msg).toContain('ENOSPC');
  });

  it('under stdout is said once on stderr, and stops nothing', async () => {
    const args = ['--access-log', 'stdout'];
    const stage = await setStage({ args, stdout: '/dev/full' });
    await stage.gets.next(2 * RATE);
    expect((await stage.gets.stop()).failures).toEqual([]);
    stage.upriver.signal('SIGTERM');
    expect(await stage.upriver.exited).toBe(0);
    expect(stage.upriver.output().match(/the log can't be written: .*ENOSPC/g)).toHaveLength(1);
  });

  it.skipIf(!canMount())('under the state file is said, and over when there is room', async () => {
    const folder = smallDisk();
    const ballast = join(folder, 'ballast');
    const file = join(folder, 'state.json');
    fill(ballast);
    const stage = await setStage({ args: ['--state-file', file] });
    const isNoSpace = ({ msg }: { readonly msg: string }) => msg.includes('ENOSPC');
    await stage.upriver.waitForLog(isNoSpace, 'the state file has no room');
    await stage.gets.next(RATE);
    rmSync(ballast);
    const late = await stage.start('late');
    await stage.register(late);
    await expect.poll(() => read(file)).toContain('late');
    expect((await stage.gets.stop()).failures).toEqual([]);
    stage.upriver.signal('SIGTERM');
    expect(await stage.upriver.exited).toBe(0);
    expect(stage.upriver.log.filter(isNoSpace)).toHaveLength(1);
  });
});

/** A file system of 64 KiB, unmounted at the end. */
function smallDisk(): string {
  const folder = mkdtempSync(join(tmpdir(), 'upriver-disk-'));
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', folder]);
  deferred(() => {
    execFileSync('umount', [folder]);
    rmSync(folder, { recursive: true });
  });
  return folder;
}

/** Writes until nothing more fits. */
function fill(path: string): void {
  try {
    for (;;) writeFileSync(path, Buffer.alloc(4096), { flag: 'a' });
  } catch (error) {
    expect(String(error)).toContain('ENOSPC');
  }
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function canMount(): boolean {
  try {
    smallDisk();
    return true;
  } catch (error) {
    console.error(`\n*** Nothing can be mounted here; a test is SKIPPED ***\n${String(error)}\n`);
    return false;
  }
}
