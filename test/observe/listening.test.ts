// The unix socket of the stats port: whose it is, and what it takes the place of.
import { mkdtempSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { listenAlone } from '../../src/observe/listening.ts';

let folder: string;
let servers: Server[];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'upriver-socket-'));
  servers = [];
});
afterEach(() => {
  for (const server of servers) server.close();
  rmSync(folder, { recursive: true });
});

function listen(path: string): Promise<void> {
  const server = createServer();
  servers.push(server);
  return listenAlone(server, { kind: 'unix', path });
}

it.each([0o000, 0o002, 0o022, 0o077])('no other user may connect with umask %o', async (umask) => {
  const path = join(folder, 'stats.sock');
  const before = process.umask(umask);
  try {
    await listen(path);
    expect(process.umask()).toBe(umask);
  } finally {
    process.umask(before);
  }
  const mode = statSync(path).mode & 0o777;
  expect(mode & 0o007).toBe(0);
  expect(mode & 0o700).toBe(0o700);
  expect(mode & 0o070).toBe(0o070 & ~umask);
});

it('takes the place of a stale socket, and of no other file', async () => {
  const path = join(folder, 'precious');
  writeFileSync(path, 'a file of the operator');
  await expect(listen(path)).rejects.toMatchObject({ code: 'EADDRINUSE' });
  expect(readFileSync(path, 'utf8')).toBe('a file of the operator');
  const stale = join(folder, 'stale.sock');
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(stale, resolve));
  await expect(listen(stale)).rejects.toMatchObject({ code: 'EADDRINUSE' });
  // As a process that was killed leaves it.
  renameSync(stale, path);
  server.close();
  renameSync(path, stale);
  await listen(stale);
  expect(statSync(stale).isSocket()).toBe(true);
});
