// How much of what clients send to the stats port is parsed in a turn, over real sockets: one that sends
// thousands of requests at once is not in the way of one that sends one.
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { Reading } from '../../src/observe/reading.ts';

const GET = 'GET /a HTTP/1.1\r\nHost: a\r\n\r\n';
/** Requests in a piece, and of one that is cut by its end. */
const A_PIECE = Math.ceil(256 / GET.length) + 1;

let server: Server;
let sockets: Socket[] = [];
/** Addresses of requests, in order; and how many came in the turn that had the most. */
let asked: string[] = [];
let most = 0;
let inTurn = 0;
let accepted = 0;
let timer: NodeJS.Immediate;

beforeEach(async () => {
  [sockets, asked, most, inTurn, accepted] = [[], [], 0, 0, 0];
  server = createServer((request, response) => {
    asked.push(request.socket.remoteAddress ?? '');
    inTurn += 1;
    most = Math.max(most, inTurn);
    request.resume();
    response.end('ok');
  });
  const reading = new Reading(systemClock);
  server.on('connection', (socket) => {
    accepted += 1;
    reading.read(socket, { isAnswering: false, onIdle: () => {} });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const turn = (): void => {
    inTurn = 0;
    timer = setImmediate(turn);
  };
  turn();
});

afterEach(async () => {
  clearImmediate(timer);
  for (const socket of sockets) socket.destroy();
  server.close();
  server.closeAllConnections();
});

async function open(localAddress: string): Promise<Socket> {
  const { port } = server.address() as AddressInfo;
  const socket = connect({ port, host: '127.0.0.1', localAddress });
  socket.on('error', () => {});
  sockets.push(socket);
  await once(socket, 'connect');
  return socket;
}

/** Until so many answers have come. */
async function answers(socket: Socket, count: number): Promise<void> {
  let text = '';
  for await (const piece of socket) {
    text += String(piece);
    if (text.split('HTTP/1.1 200').length > count && text.endsWith('ok')) return;
  }
  throw new Error('it was closed before');
}

describe('clients that send many requests ahead', () => {
  it('are all answered, a few requests of each at a time', async () => {
    const count = 500;
    const one = await open('127.0.0.1');
    one.write(GET.repeat(count));
    await answers(one, count);
    expect(asked.length).toBe(count);
    // Parsing these takes no millisecond, which is what the others of a turn may take.
    expect(most).toBeLessThan(count / 2);
  });

  it('are not in the way of one that sends one', async () => {
    const crowd = await Promise.all(Array.from({ length: 30 }, () => open('127.0.0.1')));
    const lone = await open('127.0.0.2');
    await expect.poll(() => accepted).toBe(31);
    for (const one of crowd) one.write(GET.repeat(400));
    lone.write(GET);
    await answers(lone, 1);
    // Before it: what was parsed at once, and what a turn had time for.
    expect(asked.indexOf('127.0.0.2')).toBeGreaterThanOrEqual(0);
    expect(asked.indexOf('127.0.0.2')).toBeLessThan(400);
  });

  it('may leave while they wait', async () => {
    const crowd = await Promise.all(Array.from({ length: 10 }, () => open('127.0.0.1')));
    for (const one of crowd) one.write(GET.repeat(2000));
    await expect.poll(() => asked.length, { interval: 1 }).toBeGreaterThan(A_PIECE);
    for (const one of crowd) one.resetAndDestroy();
    await expect
      .poll(() => new Promise((resolve) => server.getConnections((_, n) => resolve(n))))
      .toBe(0);
  });
});

it('a request that comes in many pieces, with a body, is whole', async () => {
  const bodies: string[] = [];
  server.removeAllListeners('request');
  server.on('request', (request, response) => {
    let body = '';
    request.on('data', (piece) => {
      body += String(piece);
    });
    request.on('end', () => {
      bodies.push(body);
      response.end('ok');
    });
  });
  const one = await open('127.0.0.1');
  const body = 'x'.repeat(5000);
  one.write(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\n${body}${GET}`);
  await answers(one, 2);
  expect(bodies).toEqual([body, '']);
});

it('an answer that is not read holds up the requests behind it, until it is', async () => {
  server.removeAllListeners('request');
  server.on('request', (_request, response) => {
    inTurn += 1;
    asked.push('');
    response.end(Buffer.alloc(512 * 1024));
  });
  const one = await open('127.0.0.1');
  const count = 400;
  one.pause();
  one.write(GET.repeat(count));
  await expect.poll(() => asked.length, { interval: 1 }).toBeGreaterThan(0);
  const seen: number[] = [];
  await expect
    .poll(
      () => {
        seen.push(asked.length);
        return seen.length > 20 && new Set(seen.slice(-20)).size === 1;
      },
      { interval: 5 },
    )
    .toBe(true);
  // No more is parsed than a piece or two.
  expect(asked.length).toBeLessThanOrEqual(2 * A_PIECE);
  one.resume();
  await expect.poll(() => asked.length).toBe(count);
});
