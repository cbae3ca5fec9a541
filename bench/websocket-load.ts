// The load: so many WebSockets, each with one message on its way. Prints a LoadResult as JSON.
// usage: node bench/websocket-load.ts PORT CONNECTIONS SECONDS
import { connect, type Socket } from 'node:net';
import type { LoadResult } from './load.ts';
import { quantile } from './statistics.ts';
import { clientFrame, serverFrame } from './websocket-frame.ts';

const [port = 0, connections = 0, seconds = 0] = process.argv.slice(2).map(Number);
const HEAD =
  'GET /echo HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
  'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n';
const timesMs: number[] = [];
let isOver = false;
let errors = 0;

const sockets = await Promise.all(Array.from({ length: connections }, open));
const begin = performance.now();
for (const socket of sockets) echo(socket);
await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
isOver = true;
const spent = (performance.now() - begin) / 1000;
for (const socket of sockets) socket.destroy();
const result: LoadResult = {
  ...{ requests: timesMs.length, requestsPerSecond: timesMs.length / spent, errors },
  ...{ p50Ms: quantile(timesMs, 0.5), p99Ms: quantile(timesMs, 0.99) },
  p999Ms: quantile(timesMs, 0.999),
};
console.log(JSON.stringify(result));

function open(): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true }, () => socket.write(HEAD));
    socket.once('error', reject);
    socket.once('data', (answer: Buffer) => {
      const text = String(answer);
      if (text.startsWith('HTTP/1.1 101 ') && text.endsWith('\r\n\r\n')) resolve(socket);
      else reject(new Error(`no WebSocket: ${text.split('\r\n')[0]}`));
    });
  });
}

function echo(socket: Socket): void {
  let sentMs = performance.now();
  let received = 0;
  socket.on('data', (bytes: Buffer) => {
    received += bytes.length;
    if (received < serverFrame.length) return;
    if (received > serverFrame.length || bytes.at(-1) !== serverFrame.at(-1)) errors += 1;
    if (isOver) return;
    received = 0;
    const nowMs = performance.now();
    timesMs.push(nowMs - sentMs);
    sentMs = nowMs;
    socket.write(clientFrame);
  });
  socket.on('close', () => {
    if (!isOver) errors += 1;
  });
  socket.write(clientFrame);
}
