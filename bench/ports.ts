// Ports below those that the kernel gives to outgoing connections, which a bench makes by the thousand.
import { createServer, type Server } from 'node:net';

const FIRST = 18_000;
/** The kernel's own begin at 32768 (net.ipv4.ip_local_port_range). */
const LAST = 32_000;
const STEP = 1500;

/** So many ports in a row that nobody listens on. Throws when there is no such row. */
export async function freeRange(count: number): Promise<number[]> {
  for (let first = FIRST; first + count <= LAST; first += STEP) {
    const ports = Array.from({ length: count }, (_, i) => first + i);
    const servers = await Promise.all(ports.map(listen));
    await Promise.all(servers.map(close));
    if (servers.every((server) => server !== null)) return ports;
  }
  throw new Error(`no ${count} free ports in a row between ${FIRST} and ${LAST}`);
}

function listen(port: number): Promise<Server | null> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(null));
    server.listen(port, '127.0.0.1', () => resolve(server));
  });
}

function close(server: Server | null): Promise<void> {
  return new Promise((resolve) => {
    if (server === null) resolve();
    else server.close(() => resolve());
  });
}
