// What endpoints answer to checks: to those that speak a protocol over a connection, however the bytes are split, and to those
// by datagrams, over real sockets. One verdict each, in time, by the bytes alone; no text of theirs is long or shows a password.
import { deepEqual, equal, ok } from 'node:assert/strict';
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { EventEmitter, once } from 'node:events';
import type { Socket } from 'node:net';
import { Conversation, type Speak } from '../../src/health/conversation.ts';
import { CheckFailure, type CheckOutcome } from '../../src/health/outcome.ts';
import { probe } from '../../src/health/probe.ts';
import { speakDns } from '../../src/health/protocols/dns.ts';
import { speakMemcached } from '../../src/health/protocols/memcached.ts';
import { speakMysql } from '../../src/health/protocols/mysql.ts';
import { speakPostgres } from '../../src/health/protocols/postgres.ts';
import { speakRedis } from '../../src/health/protocols/redis.ts';
import { speakSendExpect } from '../../src/health/protocols/send-expect.ts';
import { speakSmtp } from '../../src/health/protocols/smtp.ts';
import type { CheckExpectation, HealthCheck } from '../../src/model/service.ts';
import { makeCheck } from '../support/check.ts';
import type { FuzzTarget } from './target.ts';

const text = (bytes: string): CheckExpectation => ({ kind: 'bytes', bytes });
const pattern = (source: string): CheckExpectation => ({
  ...{ kind: 'pattern', source, ignoreCase: true },
});
/** Read of an answer. */
const BYTES_MAX = 16_384;

// Over a connection

const LOGIN = {
  ...{ user: 'me', database: 'db', password: 's3cr3t-check', passwordFile: '' },
  isCleartextAllowed: false,
};
const LOGGED_IN = { wantsRole: true, login: LOGIN };

/** How each is spoken, and what else it is checked with beside plain settings. */
const SPEAK: readonly (readonly [Speak, ...Partial<HealthCheck>[]])[] = [
  [speakRedis, LOGGED_IN],
  [speakMysql, LOGGED_IN],
  [speakPostgres, LOGGED_IN],
  [speakMemcached],
  [speakSmtp],
  [speakDns, { question: { name: 'a.test', type: 'A' } }],
  [speakSendExpect, ...expecting()],
];

function expecting(): Partial<HealthCheck>[] {
  return [text('PONG'), pattern('^ready: \\d+'), pattern('a+b$')].map((expect) => ({ expect }));
}

/** An endpoint that has said all of it before it is asked, in pieces of this size, and closes. */
class Said extends EventEmitter {
  write(): boolean {
    return true;
  }

  async say(bytes: Buffer, size: number): Promise<void> {
    for (let at = 0; at < bytes.length; at += size) {
      this.emit('data', bytes.subarray(at, at + size));
      // Some pieces come together, and some when what came before was read.
      if (at % (3 * size) === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    this.emit('end');
    this.emit('close');
  }
}

/** What it comes to; throws where the check ends by an error that was not meant. */
async function verdictOf(
  speak: Speak,
  parts: Partial<HealthCheck>,
  bytes: Buffer,
  size: number,
): Promise<CheckOutcome> {
  const said = new Said();
  const conversation = new Conversation(said as unknown as Socket, false);
  conversation.keepSecret(LOGIN.password);
  const outcome = speak(conversation, { ...makeCheck(), ...parts }).catch((error: unknown) => {
    ok(error instanceof CheckFailure, String(error));
    return { isGood: false, text: error.message };
  });
  await said.say(bytes, size);
  return conversation.withoutSecrets(await outcome);
}

function judgeExpected({ expect }: Partial<HealthCheck>, bytes: Buffer, isGood: boolean): void {
  const read = bytes.toString('latin1', 0, BYTES_MAX);
  if (expect?.kind === 'bytes') return equal(isGood, read.includes(expect.bytes));
  // Of what was cut the end is not known.
  if (expect?.kind !== 'pattern' || bytes.length > BYTES_MAX) return;
  equal(isGood, new RegExp(expect.source, expect.ignoreCase ? 'is' : 's').test(read));
}

const mysqlGreeting = Buffer.concat([
  Buffer.from([0x4a, 0, 0, 0, 0x0a]),
  Buffer.from('8.0.36\0', 'latin1'),
  Buffer.alloc(30, 1),
  Buffer.from('mysql_native_password\0', 'latin1'),
  Buffer.alloc(15),
]).toString('latin1');
const md5 = 'R\0\0\0\x0c\0\0\0\x05salt';
const refused = 'E\0\0\0\x1cSFATAL\0C28P01\0Mno\x1b[2J\0\0';
const entered = 'R\0\0\0\x08\0\0\0\0S\0\0\0\x08a\0b\0Z\0\0\0\x05I';
const row = 'D\0\0\0\x0b\0\x01\0\0\0\x01fZ\0\0\0\x05I';

/** The first character says which protocol. */
const checkAnswer: FuzzTarget = {
  name: 'check-answer',
  seeds: [
    ...['0+PONG\r\n', '0+OK\r\n+PONG\r\n*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n', '0-LOADING x\r\n'],
    ...[`1${mysqlGreeting}`, '1\x07\0\0\x02\0\0\0\x02\0\0\0', '1\x05\0\0\0\xff\x15\x04no'],
    `1${mysqlGreeting}\x07\0\0\x02\0\0\0\x02\0\0\0`,
    ...[`2R\0\0\0\x08\0\0\0\0`, `2${md5}${entered}${row}`, `2${md5}${refused}`, `2${refused}`],
    ...['3VERSION 1.6\r\n', '4220 a ESMTP\r\n250-a\r\n250 ok\r\n221 bye\r\n'],
    ...['5\0\x0c\0\x01\x81\x80\0\x01\0\0\0\0\0\0', '6+PONG\r\n', '6Ready: 12\n', '6xaaab'],
    `6PONG${'x'.repeat(BYTES_MAX)}`,
  ],
  morsels: [
    ...['\r\n', '\xff\xff\xff\xff', '\0\0\0\0', '+', '-ERR ', '\x1b[2J', 'R\0\0\0', '*1', '$-1'],
    ...['s3cr3t-check', 'PO', 'NG', 'ready: ', 'aaa', 'b', row, entered, 'x'.repeat(BYTES_MAX)],
  ],
  check: async (input) => {
    const kind = Math.max(0, (input.charCodeAt(0) || 0) - 48) % SPEAK.length;
    const [speak, ...more] = SPEAK[kind]!;
    const bytes = Buffer.from(input.slice(1), 'latin1').subarray(0, 64 * 1024);
    // A byte at a time is for short ones.
    const sizes = bytes.length < 300 ? [bytes.length + 1, 1, 7] : [64 * 1024, 1000, 7000];
    for (const parts of speak === speakSendExpect ? more : [{}, ...more]) {
      const outcomes: CheckOutcome[] = [];
      for (const size of sizes) outcomes.push(await verdictOf(speak, parts, bytes, size));
      const [whole] = outcomes as [CheckOutcome];
      for (const one of outcomes) {
        ok(one.text.length < 1000, `a text of ${one.text.length}`);
        // It is never shown with a password of ours.
        ok(!one.text.includes(LOGIN.password), one.text);
        deepEqual([one.isGood, one.role], [whole.isGood, whole.role], 'another verdict');
        // What is shown of a good answer is what had come of it.
        if (!whole.isGood || speak !== speakSendExpect) equal(one.text, whole.text);
      }
      judgeExpected(parts, bytes, whole.isGood);
    }
  },
};

// By datagrams

/** Stands for the number of the question. */
const ID = '{}';
const SPLIT = '\x1e';
const DATAGRAMS_MAX = 8;
/** Of what is answered, and of what is not. */
const LONG_MS = 20_000;
const SHORT_MS = 20;

const PONG = text('PONG');
const BY_DATAGRAMS: readonly Partial<HealthCheck>[] = [
  { type: 'dns' },
  { type: 'dns', question: { name: 'a.test', type: 'A' } },
  { type: 'udp', send: 'ping' },
  { type: 'send_expect', send: 'ping', expect: PONG },
  { type: 'send_expect', send: 'ping', expect: pattern('^a+b$') },
];

/** Whether the check is good; null where nothing of this is an answer. The first answer decides. */
function expected({ type, question, expect }: Partial<HealthCheck>, said: readonly Buffer[]) {
  for (const one of said) {
    if (type === 'udp') return true;
    if (expect?.kind === 'bytes') return one.includes(expect.bytes, 0, 'latin1');
    if (expect?.kind === 'pattern') {
      return new RegExp(expect.source, 'is').test(one.toString('latin1'));
    }
    // RFC 1035 section 4.1.1: its number, QR, and QUERY.
    const isAnswer = one.length >= 12 && one.toString('latin1', 0, 2) === ID;
    if (!isAnswer || (one[2]! & 0xf8) !== 0x80) continue;
    const code = one[3]! & 15;
    return question === undefined ? code !== 2 : code === 0;
  }
  return null;
}

interface Responder {
  readonly socket: UdpSocket;
  said: readonly Buffer[];
}

let starting: Promise<Responder> | null = null;

async function respond(): Promise<Responder> {
  const responder: Responder = { socket: createSocket('udp4'), said: [] };
  const { socket } = responder;
  // A check that has its answer is gone.
  socket.on('error', () => {});
  socket.on('message', (question, { port, address }) => {
    for (const one of responder.said) {
      const isNumbered = one.toString('latin1', 0, 2) === ID;
      const bytes = isNumbered ? Buffer.concat([question.subarray(0, 2), one.subarray(2)]) : one;
      socket.send(bytes, port, address);
    }
  });
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  return responder;
}

const head = (flags: string) => `${ID}${flags}\0\x01\0\x01\0\0\0\0`;

/** The first character says which check; then datagrams. */
const checkDatagram: FuzzTarget = {
  name: 'check-datagram',
  seeds: [
    ...[
      `0${head('\x81\x80')}`,
      `0${head('\x81\x82')}`,
      `1${head('\x81\x83')}`,
      `1${head('\x85\0')}`,
    ],
    ...[`1${head('\x01\0')}${SPLIT}${head('\x81\x80')}`, `0xx${SPLIT}${head('\x81\x85')}`],
    ...['2pong', '3+PONG', `3no${SPLIT}PONG`, '4aaab', `4${SPLIT}ab`, `3${'x'.repeat(3000)}PONG`],
  ],
  morsels: [
    ...[ID, SPLIT, head('\x81\x80'), '\x81', '\x80', '\x01', '\0', '\xff', 'PO', 'NG', 'a', 'b'],
  ],
  check: async (input) => {
    starting ??= respond();
    const responder = await starting;
    const kind = Math.max(0, (input.charCodeAt(0) || 0) - 48) % BY_DATAGRAMS.length;
    const parts = BY_DATAGRAMS[kind]!;
    const texts = input.length > 1 ? input.slice(1).split(SPLIT).slice(0, DATAGRAMS_MAX) : [];
    responder.said = texts.map((one) => Buffer.from(one, 'latin1').subarray(0, 4000));
    const isGood = expected(parts, responder.said);
    const check = makeCheck({
      ...{ isUdp: true, timeoutMs: isGood === null ? SHORT_MS : LONG_MS },
      ...parts,
    });
    const { port } = responder.socket.address();
    const signal = new AbortController().signal;
    const outcome = await probe(check, { address: '127.0.0.1', port }, signal);
    ok(outcome.text.length < 1000, `a text of ${outcome.text.length}`);
    if (isGood === null) {
      const why = parts.type === 'udp' ? `not refused within 20ms` : `no answer within 20ms`;
      deepEqual(outcome, { isGood: parts.type === 'udp', text: why });
    } else {
      equal(outcome.isGood, isGood, outcome.text);
      ok(!outcome.text.startsWith('no answer'), 'an answer that is passed over');
    }
  },
  close: async () => {
    const open = starting;
    starting = null;
    (await open)?.socket.close();
  },
};

export const checkTargets: readonly FuzzTarget[] = [checkAnswer, checkDatagram];
