// The load of the cases of UDP, and their endpoints, in one process on the core that the proxy has not:
// nothing is lost unseen, and what is sent waits for what was sent before. Prints one line of JSON.
//   node bench/udp-load.ts KIND PORT SECONDS SOURCES PORT,PORT...
// KIND: `answered`, each source sends when its last datagram was answered; `one-way`, as many datagrams as
// there are sources are under way, and endpoints take them.
import { createSocket, type Socket } from 'node:dgram';

const QUESTION = Buffer.alloc(40, 'q');
const ANSWER = Buffer.alloc(60, 'a');
/** What has no answer by then is lost. */
const LOST_MS = 1000;

const [, , kind = '', port = '', seconds = '', sources = '', ports = ''] = process.argv;
const isOneWay = kind === 'one-way';
const clients: { socket: Socket; sentMs: number }[] = [];
const times: number[] = [];
let lost = 0;
let taken = 0;
let isOver = false;

const endpoints = ports.split(',').map((one) => {
  const socket = createSocket('udp4', (_, from) => {
    taken += 1;
    if (isOneWay) next();
    else socket.send(ANSWER, from.port, from.address);
  });
  socket.bindSync({ address: '127.0.0.1', port: Number(one) });
  return socket;
});

let turn = 0;
/** One more datagram, of the sources in turn. */
function next(): void {
  if (isOver) return;
  turn += 1;
  clients[turn % clients.length]!.socket.send(QUESTION);
}

for (let i = 0; i < Number(sources); i += 1) {
  const socket = createSocket('udp4');
  const client = { socket, sentMs: 0 };
  socket.on('error', () => {});
  socket.connectSync(Number(port), '127.0.0.1');
  socket.on('message', () => {
    const nowMs = performance.now();
    times.push(nowMs - client.sentMs);
    if (isOver) return;
    client.sentMs = nowMs;
    socket.send(QUESTION);
  });
  clients.push(client);
}
const beganMs = performance.now();
for (const client of clients) {
  client.sentMs = beganMs;
  client.socket.send(QUESTION);
}
const looking = setInterval(() => {
  const nowMs = performance.now();
  for (const client of isOneWay ? [] : clients) {
    if (nowMs - client.sentMs < LOST_MS) continue;
    lost += 1;
    client.sentMs = nowMs;
    client.socket.send(QUESTION);
  }
}, LOST_MS / 4);
setTimeout(() => {
  isOver = true;
  clearInterval(looking);
  const us = (performance.now() - beganMs) * 1000;
  const requests = isOneWay ? taken : times.length;
  times.sort((a, b) => a - b);
  const at = (share: number) => times[Math.floor(times.length * share)] ?? 0;
  const told = { requests, us, errors: lost, p50: at(0.5), p99: at(0.99), p999: at(0.999) };
  process.stdout.write(`${JSON.stringify(told)}\n`);
  for (const socket of [...endpoints, ...clients.map((one) => one.socket)]) socket.close();
}, Number(seconds) * 1000);
