// Ports for trying things out: the wanted one, or the next that is free.
import { createServer } from 'node:net';
import { codeOf } from '../base/coded-error.ts';

/** How many ports after a taken one are tried. */
const TRIES = 100;

/** Listens on `wanted` or the next port that is free, and says so when it is another. */
export async function listenNear(
  wanted: number,
  listen: (port: number) => Promise<number>,
): Promise<number> {
  for (let port = wanted; port < wanted + TRIES; port += 1) {
    try {
      const bound = await listen(port);
      if (bound !== wanted) console.log(`port ${wanted} is in use; ${bound} is used instead`);
      return bound;
    } catch (error) {
      if (codeOf(error) !== 'EADDRINUSE') throw error;
    }
  }
  throw new Error(`no free port from ${wanted} to ${wanted + TRIES}`);
}

/** The first free port from `wanted` on, for a listener that is opened later. */
export function freeNear(wanted: number, host: string): Promise<number> {
  return listenNear(wanted, async (port) => {
    const server = createServer();
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, host, resolve);
    });
    await new Promise((resolve) => server.close(resolve));
    return port;
  });
}
