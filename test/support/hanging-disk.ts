// A mounted disk that can be made to hang, and to answer again: a FUSE file system whose server is stopped. It takes
// root and /dev/fuse. Files are put behind it, as another host does with a network mount.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, constants, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface HangingDisk {
  /** Where the files lie: always answers. */
  readonly behind: string;
  /** Where they are seen. */
  readonly mounted: string;
  /** From now on no access to `mounted` comes back. */
  hang(): void;
  answer(): void;
  remove(): Promise<void>;
}

/** Whether this machine lets one be made. */
export function canHang(): boolean {
  try {
    accessSync('/dev/fuse', constants.R_OK | constants.W_OK);
    return process.platform === 'linux' && process.getuid?.() === 0;
  } catch {
    return false;
  }
}

export async function makeHangingDisk(): Promise<HangingDisk> {
  const folder = mkdtempSync(join(tmpdir(), 'upriver-disk-'));
  const [behind, mounted] = [join(folder, 'behind'), join(folder, 'mounted')];
  for (const one of [behind, mounted]) mkdirSync(one);
  const server = spawn(
    process.execPath,
    [join(import.meta.dirname, 'fuse-server.ts'), behind, mounted],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const exited = once(server, 'exit');
  const said = await Promise.race([once(server.stdout, 'data'), exited]);
  if (server.exitCode !== null) throw new Error(`the disk could not be mounted: ${said}`);
  return {
    ...{ behind, mounted },
    hang: () => void server.kill('SIGSTOP'),
    answer: () => void server.kill('SIGCONT'),
    remove: async () => {
      // What waits for it gets an error: its connection ends with it.
      server.kill('SIGKILL');
      await exited;
      execFileSync('umount', ['--lazy', mounted]);
      rmSync(folder, { recursive: true });
    },
  };
}
