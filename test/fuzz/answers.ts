// Fuzz targets of answers: to checks that speak a protocol, of a certificate authority, and of lists of targets
// as YAML; and that JSON which is looked over first comes to the same.
import { deepEqual, ok } from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import { codeOf } from '../../src/base/coded-error.ts';
import { parseBounded, piecesOf, readJsonItems } from '../../src/base/json-body.ts';
import { AcmeError, readProblem, refusalOf } from '../../src/certificates/acme/problem.ts';
import { readYaml } from '../../src/discovery/file/yaml-text.ts';
import { targetSteps } from '../../src/discovery/target-groups.ts';
import { Conversation, type Speak } from '../../src/health/conversation.ts';
import { CheckFailure } from '../../src/health/outcome.ts';
import { speakDns } from '../../src/health/protocols/dns.ts';
import { speakMemcached } from '../../src/health/protocols/memcached.ts';
import { speakMysql } from '../../src/health/protocols/mysql.ts';
import { speakPostgres } from '../../src/health/protocols/postgres.ts';
import { speakRedis } from '../../src/health/protocols/redis.ts';
import { speakSmtp } from '../../src/health/protocols/smtp.ts';
import { makeCheck } from '../support/check.ts';
import { ManualClock } from '../support/clock.ts';
import { looksHarmless } from '../support/hostile-names.ts';
import { finish } from '../support/steps.ts';
import type { FuzzTarget } from './target.ts';

const SPEAK: readonly Speak[] = [
  ...[speakRedis, speakMysql, speakPostgres, speakMemcached, speakSmtp, speakDns],
];

/** An endpoint that has said all of it before it is asked, in pieces, and closes. */
class Said extends EventEmitter {
  write(): boolean {
    return true;
  }

  say(bytes: Buffer): void {
    const half = bytes.length >> 1;
    for (const piece of [bytes.subarray(0, half), bytes.subarray(half)]) {
      if (piece.length > 0) this.emit('data', piece);
    }
    this.emit('end');
  }
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

/** The first character says which protocol. */
const checkAnswer: FuzzTarget = {
  name: 'check-answer',
  seeds: [
    ...['0+PONG\r\n', '0+OK\r\n+PONG\r\n*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n', '0-LOADING x\r\n'],
    ...[`1${mysqlGreeting}`, '1\x07\0\0\x02\0\0\0\x02\0\0\0', '1\x05\0\0\0\xff\x15\x04no'],
    ...[`2R\0\0\0\x08\0\0\0\0`, `2${md5}R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I`, `2${refused}`],
    ...['3VERSION 1.6\r\n', '4220 a ESMTP\r\n250-a\r\n250 ok\r\n221 bye\r\n'],
    '5\0\x0c\0\x01\x81\x80\0\x01\0\0\0\0\0\0',
  ],
  morsels: [
    '\r\n',
    '\xff\xff\xff\xff',
    '\0\0\0\0',
    '+',
    '-ERR ',
    '\x1b[2J',
    'R\0\0\0',
    '*1',
    '$-1',
    's3cr3t-check',
  ],
  check: async (input) => {
    const speak = SPEAK[(input.charCodeAt(0) || 0) % SPEAK.length]!;
    const bytes = Buffer.from(input.slice(1), 'latin1').subarray(0, 64 * 1024);
    for (const more of [{}, { wantsRole: true, login: LOGIN }]) {
      const said = new Said();
      const conversation = new Conversation(said as unknown as Socket, false);
      conversation.keepSecret(LOGIN.password);
      const outcome = speak(conversation, { ...makeCheck(), ...more }).catch((error: unknown) => {
        ok(error instanceof CheckFailure, String(error));
        return { isGood: false, text: error.message };
      });
      said.say(bytes);
      const { text } = conversation.withoutSecrets(await outcome);
      ok(text.length < 1000, `a text of ${text.length}`);
      // It is never shown with a password of ours.
      ok(!text.includes(LOGIN.password), text);
    }
  },
};

const LOGIN = {
  ...{ user: 'me', database: 'db', password: 's3cr3t-check', passwordFile: '' },
  isCleartextAllowed: false,
};

function parsed(input: string): unknown {
  try {
    return JSON.parse(input);
  } catch {
    return input;
  }
}

const PREFIX = 'urn:ietf:params:acme:error:';
const acmeProblem: FuzzTarget = {
  name: 'acme-problem',
  seeds: [
    { type: `${PREFIX}unauthorized`, detail: 'no', status: 403 },
    {
      ...{ type: `${PREFIX}compound`, detail: 'several' },
      subproblems: [{ type: 'x', detail: 'y\x1b[2J', identifier: { type: 'dns', value: 'a' } }],
    },
  ].map((one) => JSON.stringify(one)),
  morsels: ['"detail":', '"type":', '"subproblems":', 'null', '[]', '{}', '\\u001b[2J', PREFIX],
  check: (input) => {
    const body = parsed(input);
    const { text } = readProblem(body);
    ok(text.length < 30_000 && looksHarmless(text), text.slice(0, 200));
    for (const status of [400, 429, 500]) {
      const error = refusalOf(`POST ${input}`, { status, body, retryAfterMs: 0 });
      ok(error instanceof AcmeError && error.message.length < 10_000);
      ok(looksHarmless(error.message), error.message.slice(0, 200));
    }
  },
};

const targetYaml: FuzzTarget = {
  name: 'target-yaml',
  seeds: [
    "- targets: ['10.0.0.1:80', h:1]\n  labels: { service: web, upriver.listen: 8000 }\n",
    '- &a targets: [a:1]\n- *a\n- <<: *a\n# x\n',
    '--- !!seq\n- !!map { targets: !!seq [ "a:1" ] }\n',
  ],
  morsels: [
    '- ',
    ': ',
    '&a ',
    '*a',
    '! ',
    '!!binary ',
    '? ',
    '{',
    '[',
    '|\n',
    '"',
    '\t',
    '<<: ',
    '%YAML',
  ],
  check: (input) => {
    // What is longer is read in a thread.
    const text = input.slice(0, 4096);
    const before = process.threadCpuUsage().user;
    const answer = readYaml(text);
    const ms = (process.threadCpuUsage().user - before) / 1000;
    ok(ms < 500, `took ${ms} ms`);
    if ('problem' in answer) return ok(answer.problem.length < 10_000);
    const read = finish(
      targetSteps(JSON.parse(answer.json), { service: 'x', tagPrefix: 'upriver' }),
    );
    ok(read === null || read.problem.length < 500);
  },
};

/** The value, or why it is refused. */
async function outcomeOf(read: () => unknown): Promise<unknown> {
  try {
    return { value: await read() };
  } catch (error) {
    const code = codeOf(error);
    ok(['not-json', 'too-complex', 'too-long', 'too-many'].includes(code), String(error));
    return code;
  }
}

const jsonBody: FuzzTarget = {
  name: 'json-body',
  seeds: ['[{"a":[1,"x\\\\\\"]"]},null]', '{"a":{"b":[[]]},"c":"\\u00e9[{,"}', '"\\\\"', ' 1 '],
  morsels: ['"', '\\', '\\"', '[', ']', '{', '}', ',', ':', '[[[[[[[[', 'null', '\\ud800'],
  check: async (input) => {
    const bytes = Buffer.from(input);
    const whole = await outcomeOf(() => JSON.parse(bytes.toString())).catch(() => 'not-json');
    const vetted = await outcomeOf(() => parseBounded(bytes, 1_000_000));
    const clock = new ManualClock();
    const limit = { max: 10 ** 8, excess: () => new Error('none') };
    const bounds = { items: 10 ** 6, itemBytes: 10 ** 8, limit, clock };
    const byItem = await outcomeOf(() => readJsonItems(piecesOf(bytes), bounds));
    // What is refused for its shape may be JSON or not.
    for (const one of [vetted, byItem]) if (one !== 'too-complex') deepEqual(one, whole);
  },
};

export const answerTargets: readonly FuzzTarget[] = [
  checkAnswer,
  acmeProblem,
  targetYaml,
  jsonBody,
];
