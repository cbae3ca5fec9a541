// A DNS server by UDP and TCP on one port, whose answers a test writes.
import { createSocket } from 'node:dgram';
import { createServer, type Server, type Socket } from 'node:net';
import { type QuestionType, readMessage, TYPES } from '../../src/discovery/dns/message.ts';
import { freePorts } from './ports.ts';

export interface ScriptedRecord {
  readonly name: string;
  readonly type: QuestionType | 'CNAME' | 'SOA';
  /** s. */
  readonly ttl?: number;
  /** A, AAAA: the address; CNAME: the name; SRV: `priority weight port target`; SOA: the minimum. */
  readonly data: string;
}

export interface ScriptedAnswer {
  readonly answers?: readonly ScriptedRecord[];
  readonly authorities?: readonly ScriptedRecord[];
  readonly additionals?: readonly ScriptedRecord[];
  readonly code?: number;
  readonly isTruncated?: boolean;
  /** Sent with another number than it was asked with. */
  readonly id?: number;
  /** Said to be about another name. */
  readonly about?: string;
}

export interface Asked {
  readonly name: string;
  readonly type: string;
  readonly transport: 'udp' | 'tcp';
}

/** Bytes of the test's own, to the question with this number: without a length before them. */
export type RawAnswer = (id: number) => Buffer;

/** Null: no answer. 'close': the connection is closed. */
export type Script = (
  asked: Asked,
) => ScriptedAnswer | readonly ScriptedAnswer[] | RawAnswer | null | 'close';

export const SERVFAIL: ScriptedAnswer = { code: 2 };
export const NXDOMAIN: ScriptedAnswer = { code: 3 };

const CODES: Readonly<Record<string, number>> = TYPES;

export function nameBytes(name: string): Buffer {
  const labels = name.split('.').filter((label) => label !== '');
  return Buffer.concat([
    ...labels.map((label) => Buffer.from([label.length, ...Buffer.from(label, 'latin1')])),
    Buffer.from([0]),
  ]);
}

function numbers(bytes: number, ...values: number[]): Buffer {
  const buffer = Buffer.alloc(bytes * values.length);
  for (const [i, value] of values.entries()) buffer.writeUIntBE(value, i * bytes, bytes);
  return buffer;
}

function dataBytes({ type, data }: ScriptedRecord): Buffer {
  switch (type) {
    case 'A':
      return Buffer.from(data.split('.').map(Number));
    case 'AAAA':
      return numbers(2, ...data.split(':').map((group) => Number.parseInt(group, 16)));
    case 'CNAME':
      return nameBytes(data);
    case 'SOA':
      return Buffer.concat([nameBytes('ns'), nameBytes('root'), numbers(4, 1, 1, 1, 1, +data)]);
    case 'SRV': {
      const [priority, weight, port, target] = data.split(' ');
      return Buffer.concat([numbers(2, +priority!, +weight!, +port!), nameBytes(target!)]);
    }
  }
}

function recordBytes(record: ScriptedRecord): Buffer {
  const data = dataBytes(record);
  return Buffer.concat([
    nameBytes(record.name),
    ...[numbers(2, CODES[record.type]!, 1), numbers(4, record.ttl ?? 1), numbers(2, data.length)],
    data,
  ]);
}

/** The bytes of an answer to a question. */
export function answerBytes(id: number, asked: Omit<Asked, 'transport'>, answer: ScriptedAnswer) {
  const { answers = [], authorities = [], additionals = [], code = 0, isTruncated } = answer;
  const flags = 0x8180 | code | (isTruncated === true ? 0x0200 : 0);
  return Buffer.concat([
    numbers(2, answer.id ?? id, flags, 1, answers.length, authorities.length, additionals.length),
    ...[nameBytes(answer.about ?? asked.name), numbers(2, CODES[asked.type]!, 1)],
    ...[...answers, ...authorities, ...additionals].map(recordBytes),
  ]);
}

export interface ScriptedDns {
  script: Script;
  readonly port: number;
  readonly asked: Asked[];
  /** How long an answer by TCP takes. */
  delayMs: number;
  /** TCP connections that were opened. */
  connections: number;
  stop(): Promise<void>;
}

/** Starts it on a free port of 127.0.0.1. */
export async function startDns(script: Script): Promise<ScriptedDns> {
  const [port] = (await freePorts(1)) as [number];
  const sockets = new Set<Socket>();
  const udp = createSocket('udp4');
  const dns: ScriptedDns = {
    ...{ script, port, asked: [], delayMs: 0, connections: 0 },
    stop: async () => {
      for (const socket of sockets) socket.destroy();
      await Promise.all([
        new Promise<void>((resolve) => server.close(() => resolve())),
        new Promise<void>((resolve) => udp.close(() => resolve())),
      ]);
    },
  };
  /** Null: the connection is closed. */
  const answersTo = (
    bytes: Buffer,
    transport: 'udp' | 'tcp',
  ): readonly Buffer[] | Buffer | null => {
    const { id, questions } = readMessage(bytes);
    const [{ name, type: code }] = questions as [{ name: string; type: number }];
    const type = Object.keys(CODES).find((one) => CODES[one] === code)!;
    const asked = { name, type, transport };
    dns.asked.push(asked);
    const said = dns.script(asked);
    if (said === 'close') return null;
    if (typeof said === 'function') return said(id);
    return [said ?? []].flat().map((one) => answerBytes(id, asked, one));
  };
  udp.on('message', (bytes, { port: to, address }) => {
    const answers = answersTo(bytes, 'udp') ?? [];
    for (const answer of [answers].flat()) udp.send(answer as Buffer, to, address);
  });
  const server: Server = createServer((socket) => {
    dns.connections += 1;
    sockets.add(socket);
    socket.setNoDelay(true);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
    socket.on('data', (bytes: Buffer) => {
      const answers = answersTo(bytes.subarray(2), 'tcp');
      if (answers === null) return void socket.destroy();
      const whole = Buffer.isBuffer(answers)
        ? answers
        : Buffer.concat(answers.flatMap((one) => [numbers(2, one.length), one]));
      setTimeout(() => {
        // In two pieces, the first of which ends within the length.
        socket.write(whole.subarray(0, 1));
        socket.write(whole.subarray(1));
      }, dns.delayMs);
    });
  });
  await new Promise<void>((resolve) => udp.bind(port, '127.0.0.1', resolve));
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  return dns;
}
