// Ports for trying things out: the wanted one, or the next that is free. Only `upriver dev` may take
// another port than it was told; anywhere else a taken port is an error.
import { createServer } from 'node:net';
import { codeOf } from '../base/coded-error.ts';

/** How many ports from the wanted one on are tried. */
const TRIES = 100;

export interface NearPort {
  /** What the port is for, in the line that says that it is another. */
  readonly what: string;
  readonly wanted: number;
}

/**
 * Listens on `wanted` or the next port that is free, and says so when it is another. Resolves with the port.
 * Rejects where none of the next 100 is free, and with what `listen` rejects with but EADDRINUSE.
 */
export async function listenNear(
  { what, wanted }: NearPort,
  listen: (port: number) => Promise<unknown>,
): Promise<number> {
  for (let port = wanted; port < wanted + TRIES; port += 1) {
    try {
      await listen(port);
      if (port !== wanted) console.log(`port ${wanted} is in use; ${what} is on ${port} instead`);
      return port;
    } catch (error) {
      if (codeOf(error) !== 'EADDRINUSE') throw error;
    }
  }
  throw new Error(`no port from ${wanted} to ${wanted + TRIES - 1} is free for ${what}`);
}

/** The first port from `wanted` on that is free on all addresses, for a listener opened later. */
export function freeNear(near: NearPort): Promise<number> {
  return listenNear(near, async (port) => {
    // Without reusePort, so that the port of another Upriver counts as taken.
    const server = createServer();
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, resolve);
    });
    await new Promise((resolve) => server.close(resolve));
  });
}
