// Checks by datagrams against real sockets, and the question of DNS by UDP and TCP.
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { createServer } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { probe } from '../../src/health/probe.ts';
import type { HealthCheck } from '../../src/model/service.ts';
import { makeCheck } from '../support/check.ts';
import { freePorts } from '../support/ports.ts';

const ends: (() => void)[] = [];
afterEach(() => {
  for (const end of ends.splice(0)) end();
});

type Answer = (bytes: Buffer, from: RemoteInfo, socket: Socket) => void;

/** Returns its port. */
function endpoint(answer: Answer): number {
  const socket = createSocket('udp4');
  ends.push(() => socket.close());
  socket.on('message', (bytes, from) => answer(bytes, from, socket));
  return socket.bindSync({ address: '127.0.0.1' }).port;
}

const says =
  (text: string): Answer =>
  (_, { port, address }, socket) =>
    socket.send(text, port, address);

function run(port: number, parts: Partial<HealthCheck>) {
  const check = makeCheck({ isUdp: true, timeoutMs: 10_000, ...parts });
  return probe(check, { address: '127.0.0.1', port }, new AbortController().signal);
}

describe('a datagram', () => {
  it('that the host refuses is bad, whatever is expected', async () => {
    const [port] = (await freePorts(1)) as [number];
    const bad = { isGood: false, text: 'port unreachable' };
    expect(await run(port, { type: 'udp' })).toEqual(bad);
    expect(await run(port, { type: 'dns' })).toEqual(bad);
  });

  it('that is taken is good where no answer is expected', async () => {
    const got: string[] = [];
    const port = endpoint((bytes) => void got.push(bytes.toString()));
    const outcome = await run(port, { type: 'udp', send: 'ping', timeoutMs: 150 });
    expect(outcome).toEqual({ isGood: true, text: 'not refused within 150ms' });
    await expect.poll(() => got).toEqual(['ping']);
    expect(await run(endpoint(says('pong')), { type: 'udp' })).toEqual({
      isGood: true,
      text: 'answered "pong"',
    });
  });

  it('has to be answered as is expected', async () => {
    const expect_ = { kind: 'bytes', bytes: 'PONG' } as const;
    const parts = { type: 'send_expect', send: 'PING', expect: expect_ } as const;
    expect((await run(endpoint(says('xPONGx')), parts)).isGood).toBe(true);
    expect(await run(endpoint(says('nope')), parts)).toEqual({
      isGood: false,
      text: 'expected "PONG", got "nope"',
    });
    expect(
      await run(
        endpoint(() => {}),
        { ...parts, timeoutMs: 150 },
      ),
    ).toEqual({
      isGood: false,
      text: 'no answer within 150ms',
    });
  });

  it('of anyone else is no answer', async () => {
    const stranger = createSocket('udp4');
    ends.push(() => stranger.close());
    stranger.bindSync({ address: '127.0.0.1' });
    const port = endpoint((_, from) => stranger.send('PONG', from.port, from.address));
    const parts = { expect: { kind: 'bytes', bytes: 'PONG' }, timeoutMs: 150 } as const;
    expect((await run(port, { type: 'udp', ...parts })).text).toBe('no answer within 150ms');
  });

  it('is given up with its endpoint', async () => {
    const abort = new AbortController();
    const port = endpoint(() => abort.abort());
    const check = makeCheck({ isUdp: true, type: 'udp', timeoutMs: 60_000 });
    const outcome = probe(check, { address: '127.0.0.1', port }, abort.signal);
    expect((await outcome).isGood).toBe(false);
  });
});

/** An answer to this question with this code. */
function answered(question: Buffer, code: number): Buffer {
  const answer = Buffer.from(question);
  answer.writeUInt16BE(0x8180 | code, 2);
  return answer;
}

const answering =
  (code: number, change: (answer: Buffer) => Buffer = (same) => same): Answer =>
  (bytes, { port, address }, socket) =>
    socket.send(change(answered(bytes, code)), port, address);

describe('a question of DNS', () => {
  const asked = { name: 'example.com', type: 'A' } as const;

  it('is a good one', async () => {
    const got: string[] = [];
    const port = endpoint((bytes, from, socket) => {
      got.push(bytes.subarray(2).toString('latin1'));
      answering(0)(bytes, from, socket);
    });
    const outcome = await run(port, { type: 'dns', question: asked });
    expect(outcome).toEqual({ isGood: true, text: 'answered NOERROR' });
    expect(got).toEqual(['\x01\0\0\x01\0\0\0\0\0\0\x07example\x03com\0\0\x01\0\x01']);
    await run(port, { type: 'dns' });
    expect(got[1]).toBe('\x01\0\0\x01\0\0\0\0\0\0\0\0\x02\0\x01');
  });

  it.each([
    [0, true, true],
    [2, false, false],
    [3, false, true],
    [5, false, true],
  ])('with RCODE %i', async (code, isGoodNamed, isGoodUnnamed) => {
    const port = endpoint(answering(code));
    expect((await run(port, { type: 'dns', question: asked })).isGood).toBe(isGoodNamed);
    expect((await run(port, { type: 'dns' })).isGood).toBe(isGoodUnnamed);
  });

  it.each([
    ['another number', (bytes: Buffer) => Buffer.concat([Buffer.from([1, 2, 3]), bytes])],
    ['no answer', (bytes: Buffer) => Buffer.concat([bytes.subarray(0, 2), Buffer.alloc(20)])],
    ['too short', (bytes: Buffer) => bytes.subarray(0, 11)],
  ])('is not answered by %s', async (_, change) => {
    const port = endpoint(answering(0, change));
    const outcome = await run(port, { type: 'dns', question: asked, timeoutMs: 150 });
    expect(outcome.text).toBe('no answer within 150ms');
  });

  it('by TCP has its length before it', async () => {
    const server = createServer((socket) => {
      socket.on('error', () => {});
      socket.once('data', (bytes: Buffer) => {
        const answer = answered(bytes.subarray(2), 0);
        const length = Buffer.alloc(2);
        length.writeUInt16BE(answer.length);
        socket.write(length.subarray(0, 1));
        socket.end(Buffer.concat([length.subarray(1), answer]));
      });
    });
    ends.push(() => server.close());
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as { port: number };
    const outcome = await run(port, {
      type: 'dns',
      isUdp: false,
      timeoutMs: 1000,
      question: asked,
    });
    expect(outcome).toEqual({ isGood: true, text: 'answered NOERROR' });
  });
});
