// Memory of idle keep-alive connections: each makes one request, and is then left open.
import { connect, type Socket } from 'node:net';
import { memoryKb } from './measure.ts';

const CONNECTIONS = 5000;
const BATCH = 100;
const SETTLE_MS = 1000;
const REQUEST = 'GET / HTTP/1.1\r\nHost: bench\r\n\r\n';

/** Bytes of resident memory that each of 5,000 idle connections adds to the process. */
export async function measureIdle(port: number, pid: number): Promise<number> {
  const sockets: Socket[] = [];
  // What the first connections cost once is not theirs.
  await open(port, 200, sockets);
  await settle();
  const beforeKb = memoryKb(pid, 'VmRSS');
  for (let i = 0; i < CONNECTIONS; i += BATCH) await open(port, BATCH, sockets);
  await settle();
  const afterKb = memoryKb(pid, 'VmRSS');
  for (const socket of sockets) socket.destroy();
  return Math.round(((afterKb - beforeKb) * 1024) / CONNECTIONS);
}

function settle(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
}

async function open(port: number, count: number, sockets: Socket[]): Promise<void> {
  await Promise.all(
    Array.from(
      { length: count },
      () =>
        new Promise<void>((resolve, reject) => {
          const socket = connect(port, '127.0.0.1', () => socket.write(REQUEST));
          socket.once('data', () => resolve());
          socket.once('error', reject);
          sockets.push(socket);
        }),
    ),
  );
}
