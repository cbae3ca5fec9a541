// Opens the stats address for this process alone: no SO_REUSEPORT, so that an operator's command can't
// reach another process than the one that said that it serves there.
import { lstat, unlink } from 'node:fs/promises';
import { connect, type Server } from 'node:net';
import { codeOf } from '../base/coded-error.ts';
import type { ListenAddress } from '../model/listener.ts';

/** Listens; rejects with the system's error: EADDRINUSE where another process has the address. */
export async function listenAlone(server: Server, listen: ListenAddress): Promise<void> {
  try {
    await listenOn(server, listen);
  } catch (error) {
    const isTaken = codeOf(error) === 'EADDRINUSE' && listen.kind === 'unix';
    if (!isTaken || !(await removeStale(listen.path))) throw error;
    await listenOn(server, listen);
  }
}

function listenOn(server: Server, listen: ListenAddress): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    const done = (): void => {
      server.off('error', reject);
      resolve();
    };
    if (listen.kind === 'unix') listenPrivately(server, listen.path, done);
    else if (listen.host === '') server.listen({ port: listen.port }, done);
    else server.listen({ port: listen.port, host: listen.host }, done);
  });
}

/**
 * Who may connect to the socket may change endpoints: no other user may, whatever the umask is; the group may
 * where the umask says so. The file is made within the call, on the main thread, which alone has a umask.
 */
function listenPrivately(server: Server, path: string, done: () => void): void {
  const before = process.umask();
  process.umask(before | OTHERS);
  try {
    server.listen(path, done);
  } finally {
    process.umask(before);
  }
}

const OTHERS = 0o007;

/**
 * A process that was killed leaves its socket's file behind. True when that was removed. Any other file refuses
 * connections as a stale socket does, and stays.
 */
async function removeStale(path: string): Promise<boolean> {
  if (!(await lstat(path)).isSocket()) return false;
  const isStale = await new Promise<boolean>((resolve) => {
    const probe = connect(path);
    probe.once('connect', () => {
      probe.destroy();
      resolve(false);
    });
    probe.once('error', (error) => resolve(codeOf(error) === 'ECONNREFUSED'));
  });
  if (isStale) await unlink(path);
  return isStale;
}
