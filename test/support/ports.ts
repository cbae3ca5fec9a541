// Ports below those that the kernel gives to outgoing connections and to port 0: between the moment when
// one is found to be free and the moment when it is used, nobody else is given it.
import { createSocket } from 'node:dgram';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';

const RANGE = '/proc/sys/net/ipv4/ip_local_port_range';
/** Where the kernel's own begin, as long as nobody has changed it. */
const USUAL = 32_768;
const FIRST = 10_000;
/** Each process of Vitest that runs at the same time has so many to itself. */
const SHARE = 2000;
const SHARES = Math.floor((firstOfKernel() - FIRST) / SHARE);

const first = FIRST + (Number(process.env.VITEST_POOL_ID ?? 0) % SHARES) * SHARE;
/** Files that follow each other in a share begin at different places: an old one's connections may linger. */
let next = Math.floor(Math.random() * SHARE);

/** Where there is no room below the kernel's own, theirs are used: then it is a matter of luck. */
function firstOfKernel(): number {
  try {
    const begin = Number(readFileSync(RANGE, 'utf8').split(/\s/)[0]);
    return begin < FIRST + SHARE ? USUAL : Math.min(begin, USUAL);
  } catch {
    return USUAL;
  }
}

/** Ports that nobody listens on, by TCP or UDP, none of them given out twice. */
export async function freePorts(count: number): Promise<number[]> {
  const found: number[] = [];
  for (let tried = 0; tried < SHARE && found.length < count; tried += 1) {
    const port = freeUdpPort();
    if (await isFree(port)) found.push(port);
  }
  if (found.length === count) return found;
  throw new Error(`no ${count} free ports between ${first} and ${first + SHARE - 1}`);
}

/** The same, where a test can't wait: TCP is not looked at. */
export function freeUdpPort(): number {
  for (let tried = 0; tried < SHARE; tried += 1) {
    const port = first + (next % SHARE);
    next += 1;
    if (isFreeUdp(port)) return port;
  }
  throw new Error(`no free port for UDP between ${first} and ${first + SHARE - 1}`);
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '0.0.0.0', () => server.close(() => resolve(true)));
  });
}

function isFreeUdp(port: number): boolean {
  const socket = createSocket('udp4');
  try {
    socket.bindSync({ address: '0.0.0.0', port });
    return true;
  } catch {
    return false;
  } finally {
    socket.close();
  }
}
