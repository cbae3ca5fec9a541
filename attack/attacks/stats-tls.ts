// The stats port over TLS: handshakes that come to nothing, and requests ahead of their answers.
import { connect, type TLSSocket } from 'node:tls';
import type { Running, Target } from '../attack.ts';
import { get, HeldConnections } from '../sockets.ts';
import { clientHello, halfHandshakes } from './tls.ts';

const SILENT = 1000;
const PIPELINING = 50;
const AHEAD = 400;
/** Between two attempts on one place. */
const REOPEN_MS = 500;

/** Half of a ClientHello, on more connections than the port has places. */
export async function statsTlsSilent({ statsPort }: Target): Promise<Running> {
  return silentAfter(statsPort, (await clientHello()).subarray(0, 100));
}

/** All of it: the port does its half of a handshake, which is never ended. */
export async function statsTlsStalled({ statsPort }: Target): Promise<Running> {
  return silentAfter(statsPort, await clientHello());
}

async function silentAfter(statsPort: number, bytes: Buffer): Promise<Running> {
  const held = new HeldConnections({
    port: statsPort,
    count: SILENT,
    reads: true,
    onOpen: (socket) => void socket.write(bytes),
  });
  await held.start();
  return {
    note: () => `${SILENT} of one address, ${held.closed} closed by the proxy`,
    stop: () => held.stop(),
  };
}

export function statsTlsHalf({ statsPort }: Target): Promise<Running> {
  return halfHandshakes(statsPort);
}

/** Pages that are asked for ahead of their answers, and never read. */
export async function statsTlsPipelining({ statsPort }: Target): Promise<Running> {
  const open = new Set<TLSSocket>();
  const timers = new Set<NodeJS.Timeout>();
  let connections = 0;
  let isOver = false;
  const add = (): void => {
    const options = { port: statsPort, host: '127.0.0.1', rejectUnauthorized: false };
    const socket = connect(options, () => {
      connections += 1;
      socket.write(get('/metrics').repeat(AHEAD));
    });
    open.add(socket);
    socket.pause();
    socket.on('error', () => {});
    socket.once('close', () => {
      open.delete(socket);
      const timer = setTimeout(() => {
        timers.delete(timer);
        if (!isOver) add();
      }, REOPEN_MS);
      timers.add(timer);
    });
  };
  for (let i = 0; i < PIPELINING; i += 1) add();
  return {
    note: () => `${connections} connections`,
    stop: () => {
      isOver = true;
      for (const timer of timers) clearTimeout(timer);
      for (const socket of open) socket.destroy();
    },
  };
}
