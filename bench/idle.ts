// Memory of idle keep-alive connections: each makes one request, reads the whole answer, and is then left open.
import { execFileSync } from 'node:child_process';
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { Case } from './cases.ts';
import { residentBytes } from './measure.ts';
import type { IdleResult } from './report.ts';

const CONNECTIONS = 10_000;
const LARGE_CONNECTIONS = 1000;
/** HAProxy sets two files aside per connection, and some for itself. */
const FILES_PER_CONNECTION = 2.1;
/** What the first connections cost once is not theirs. */
const WARM_UP = 200;
const BATCH = 100;
/** Of answers that are larger than a read. */
const LARGE_BATCH = 25;
const SETTLE_MS = 1000;

interface Place extends Pick<Case, 'isTls' | 'curves' | 'path'> {
  readonly port: number;
}

/** 10,000, or as many as the limit of open files allows every program; fewer where answers are large. */
export function idleConnections({ path }: Pick<Case, 'path'>): number {
  if (path !== '/') return LARGE_CONNECTIONS;
  const text = execFileSync('sh', ['-c', 'ulimit -n'], { encoding: 'utf8' }).trim();
  const limit = text === 'unlimited' ? Number.POSITIVE_INFINITY : Number(text);
  return Math.min(CONNECTIONS, Math.floor(limit / FILES_PER_CONNECTION / 100) * 100 - WARM_UP);
}

/** What each of `count` idle connections adds to the resident memory of the program. */
export async function measureIdle(
  program: Place & { pid: number },
  count: number,
): Promise<IdleResult> {
  const { pid } = program;
  const sockets: Socket[] = [];
  const batch = program.path === '/' ? BATCH : LARGE_BATCH;
  const openAll = async (number: number) => {
    for (let i = 0; i < number; i += batch)
      await open(program, Math.min(batch, number - i), sockets);
  };
  try {
    await openAll(WARM_UP);
    await settle();
    const before = residentBytes(pid);
    await openAll(count);
    await settle();
    const bytesEach = Math.round((residentBytes(pid) - before) / count);
    if (sockets.some((socket) => socket.destroyed)) throw new Error('connections were closed');
    return { connections: count, bytesEach };
  } finally {
    for (const socket of sockets) socket.destroy();
  }
}

function settle(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
}

function dial({ port, isTls, curves }: Place, done: () => void): Socket {
  const to = { port, host: '127.0.0.1' };
  return isTls
    ? connectTls({ ...to, ecdhCurve: curves, rejectUnauthorized: false }, done)
    : connect(to, done);
}

/** Opens so many, and resolves when each has had a whole answer. */
async function open(place: Place, count: number, sockets: Socket[]): Promise<void> {
  const request = `GET ${place.path} HTTP/1.1\r\nHost: bench\r\n\r\n`;
  await Promise.all(
    Array.from({ length: count }, () => {
      const socket = dial(place, () => socket.write(request));
      sockets.push(socket);
      return new Promise<void>((resolve, reject) => {
        readAnswer(socket, resolve);
        socket.once('error', reject);
        socket.once('close', () => reject(new Error('closed before the end of an answer')));
      });
    }),
  );
}

/** Calls `done` with the last byte of an answer with Content-Length. */
function readAnswer(socket: Socket, done: () => void): void {
  let head = '';
  let left = Number.NaN;
  socket.on('data', (bytes: Buffer) => {
    if (!Number.isNaN(left)) left -= bytes.length;
    else {
      head += bytes.toString('latin1');
      const end = head.indexOf('\r\n\r\n');
      if (end < 0) return;
      left = Number(/content-length: (\d+)/i.exec(head)?.[1]) - (head.length - end - 4);
    }
    if (left === 0) done();
  });
}
