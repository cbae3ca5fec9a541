// WebSockets: an endpoint that echoes, and a load that sends the next message on a connection when the
// last has come back. Both are programs of Node on the core that the proxy has not.
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Case } from './cases.ts';
import type { LoadOptions, LoadResult } from './load.ts';
import { LOAD_CORE, type Running, startPinned } from './pinned.ts';

const run = promisify(execFile);
const ORIGIN = join(import.meta.dirname, 'websocket-origin.ts');
const LOAD = join(import.meta.dirname, 'websocket-load.ts');

export function startWebSocketOrigin(ports: readonly number[]): Promise<Running> {
  const args = [ORIGIN, ...ports.map(String)];
  return startPinned({ cores: LOAD_CORE, file: process.execPath, args, port: ports.at(-1)! });
}

export async function runWebSockets(one: Case, options: LoadOptions): Promise<LoadResult> {
  const { port, seconds } = options;
  const numbers = [port, one.connections, seconds].map(String);
  const { stdout } = await run('taskset', ['-c', LOAD_CORE, process.execPath, LOAD, ...numbers]);
  // Our own program's.
  return JSON.parse(stdout) as LoadResult;
}
