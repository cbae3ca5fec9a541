// Checks that speak a protocol, against scripted peers: what each answer means, and that no peer
// holds a check up or makes it read without end. Real servers: test/e2e/databases.test.ts.
import {
  createHash,
  createHmac,
  generateKeyPairSync,
  pbkdf2Sync,
  privateDecrypt,
} from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { mayShowPassword } from '../../src/health/clear-text.ts';
import { probe } from '../../src/health/probe.ts';
import { CHECK_TYPES, type HealthCheck } from '../../src/model/service.ts';
import { makeCheck } from '../support/check.ts';
import { UPSTREAM_TLS } from '../support/upstream-tls.ts';

const servers: Server[] = [];
const sockets = new Set<Socket>();

afterEach(() => {
  for (const socket of sockets) socket.destroy();
  sockets.clear();
  for (const server of servers.splice(0)) server.close();
});

interface Peer {
  readonly port: number;
  /** Everything that it was sent. */
  received: Buffer;
  /** How its last connection ended. */
  readonly ended: Promise<string>;
}

/** A peer that greets, and answers each thing in turn once it has come. */
async function startPeer(
  greeting: string | Buffer,
  answers: readonly (readonly [string | RegExp, string | Buffer])[] = [],
): Promise<Peer> {
  const { promise: ended, resolve } = Promise.withResolvers<string>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? 'error'));
    socket.on('end', () => resolve('end'));
    if (greeting.length > 0) socket.write(greeting);
    const left = [...answers];
    let pending = '';
    socket.on('data', (bytes: Buffer) => {
      peer.received = Buffer.concat([peer.received, bytes]);
      pending += bytes.toString('latin1');
      for (let next = left[0]; next !== undefined; next = left[0]) {
        const [wanted, answer] = next;
        const isThere =
          typeof wanted === 'string' ? pending.includes(wanted) : wanted.test(pending);
        if (!isThere) return;
        pending = '';
        left.shift();
        socket.write(answer);
      }
    });
  });
  servers.push(server);
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as { port: number };
  const peer = { port, received: Buffer.alloc(0), ended };
  return peer;
}

const run = (parts: Partial<HealthCheck>, port: number, address = '127.0.0.1') =>
  probe(makeCheck({ timeoutMs: 10_000, ...parts }), { address, port }, never());

/** This machine by an address that is not one of loopback: what counts as sent over a network. */
const NETWORK = '0.0.0.0';

function never(): AbortSignal {
  return new AbortController().signal;
}

const login = (parts: Partial<HealthCheck['login']> = {}) => ({
  ...{ user: '', database: '', password: '', passwordFile: '', isCleartextAllowed: false },
  ...parts,
});

/** [answer, what becomes of it] */
type Row = readonly [string, boolean, string];

describe('every kind that speaks', () => {
  const kinds = CHECK_TYPES.filter((type) => !['tcp', 'http', 'udp'].includes(type));
  const expectation = { kind: 'bytes', bytes: 'ok' } as const;

  it.each(kinds)('%s gives up on a peer that says nothing', async (type) => {
    const { port } = await startPeer('');
    const outcome = await run({ type, expect: expectation, timeoutMs: 300 }, port);
    expect(outcome.isGood).toBe(false);
    expect(outcome.text).toMatch(/^no (answer|TLS handshake) within 300ms$/);
  });

  it.each(kinds)('%s is bad where nobody listens', async (type) => {
    const { port } = await startPeer('');
    const server = servers.pop()!;
    await new Promise((resolve) => server.close(resolve));
    const outcome = await run({ type, expect: expectation }, port);
    expect(outcome).toEqual({ isGood: false, text: 'connection refused' });
  });

  it.each(kinds.filter((type) => type !== 'tls'))('%s reads a bounded amount', async (type) => {
    const { port } = await startPeer(Buffer.alloc(1_000_000, 'R\0\0\x7f'));
    const outcome = await run({ type, expect: expectation }, port);
    expect(outcome.isGood).toBe(false);
  });

  it('takes any bytes at all without an error of its own', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...kinds),
        fc.uint8Array({ minLength: 1, maxLength: 200 }),
        async (type, bytes) => {
          const peer = await startPeer(Buffer.from(bytes));
          const outcome = await run({ type, expect: expectation, timeoutMs: 20 }, peer.port);
          expect(typeof outcome.text).toBe('string');
          expect(outcome.text).not.toMatch(/undefined|RangeError|ERR_|out of range|Cannot/);
        },
      ),
      { numRuns: 150 },
    );
  });

  it('ends at once when it is given up, and in order when it is done', async () => {
    const silent = await startPeer('');
    const giveUp = new AbortController();
    const check = makeCheck({ type: 'redis', timeoutMs: 60_000 });
    const outcome = probe(check, { address: '127.0.0.1', port: silent.port }, giveUp.signal);
    giveUp.abort();
    expect((await outcome).isGood).toBe(false);
    const answering = await startPeer('', [['PING', '+PONG\r\n']]);
    await run({ type: 'redis' }, answering.port);
    expect(await answering.ended).toBe('end');
  });
});

describe('a password in clear text', () => {
  const tls = (verify: boolean) => ({ ...UPSTREAM_TLS, verify });

  it.each([
    ['127.0.0.1', null, true],
    ['127.8.9.10', null, true],
    ['::ffff:127.0.0.1', null, true],
    ['::1', null, true],
    ['192.0.2.1', null, false],
    ['0.0.0.0', null, false],
    ['::', null, false],
    ['128.0.0.1', null, false],
    ['192.0.2.1', tls(true), true],
    ['192.0.2.1', tls(false), false],
  ])('to %s, TLS %j: %s', (address, tls, isShown) => {
    expect(mayShowPassword(makeCheck({ tls }), { address, port: 1 })).toBe(isShown);
  });
});

// Redis does: "unknown command 'AUTH', with args beginning with: ...".
describe('an endpoint that gives the password back', () => {
  const password = 's3cr3t-of-the-check';
  const said = (more: string) => `${more}, with args: '${password}', ${password.slice(0, 12)}`;
  const ask = pg('R', 3);
  const kinds: readonly [HealthCheck['type'], string | Buffer, string, string | Buffer][] = [
    ['redis', '', 'AUTH', `-ERR unknown command 'AUTH'${said('')}\r\n`],
    ['redis', '', 'AUTH', `-${'x'.repeat(70)}${said('')}\r\n`],
    ['postgres', '', 'user', Buffer.concat([ask, pgError('28P01', said('refused'))])],
    ['postgres', '', 'user', Buffer.concat([ask, pgError('28P01', said('x'.repeat(180)))])],
    ['mysql', mysqlGreeting('mysql_native_password'), 'up\0', mysqlError(2, 1045, said(''))],
  ];

  it.each(kinds)('%s', async (type, greeting, wanted, answer) => {
    const peer = await startPeer(greeting, [[wanted, answer]]);
    const outcome = await run({ type, login: login({ user: 'up', password }) }, peer.port);
    expect(outcome.isGood).toBe(false);
    expect(outcome.text).toContain('***');
    expect(outcome.text).not.toContain('s3cr3t');
  });
});

describe('send_expect', () => {
  const text = (bytes: string) => ({ kind: 'bytes', bytes }) as const;
  const pattern = (source: string) => ({ kind: 'pattern', source, ignoreCase: true }) as const;

  it('sends, and finds the text wherever it is cut', async () => {
    const peer = await startPeer('', [['\x00hello', 'say PO']]);
    const outcome = run(
      { type: 'send_expect', send: '\x00hello', expect: text('PONG') },
      peer.port,
    );
    await expect.poll(() => peer.received.toString('latin1')).toBe('\x00hello');
    await new Promise((resolve) => setImmediate(resolve));
    for (const socket of sockets) socket.write('NG!');
    expect(await outcome).toMatchObject({
      isGood: true,
      text: expect.stringMatching(/^answered "/),
    });
  });

  it('finds a pattern, and one at the end', async () => {
    const peer = await startPeer('Ready: 12\n');
    expect(await run({ type: 'send_expect', expect: pattern('ready: \\d+') }, peer.port)).toEqual({
      isGood: true,
      text: 'answered "Ready: 12\\n"',
    });
    const ending = await startPeer('', [['x', 'all']]);
    const outcome = run({ type: 'send_expect', send: 'x', expect: pattern('^all$') }, ending.port);
    await expect.poll(() => ending.received.length).toBe(1);
    for (const socket of sockets) socket.end();
    expect((await outcome).isGood).toBe(true);
  });

  // How much of an answer one read brings is the network's doing.
  it.each([
    ['text', { kind: 'bytes', bytes: '200 OK' } as const],
    ['pattern', pattern('^HTTP/1.1 200 ')],
  ])('finds a %s at the beginning of a large answer', async (_, wanted) => {
    const page = `HTTP/1.1 200 OK\r\n\r\n${'x'.repeat(60_000)}`;
    const peer = await startPeer('', [['GET', page]]);
    const check = { type: 'send_expect', send: 'GET', expect: wanted } as const;
    expect((await run(check, peer.port)).isGood).toBe(true);
  });

  it('says that an answer is too long, and takes no cut for its end', async () => {
    const peer = await startPeer('', [['x', 'y'.repeat(60_000)]]);
    const check = { type: 'send_expect', send: 'x', expect: pattern('y$') } as const;
    expect(await run(check, peer.port)).toEqual({
      isGood: false,
      text: 'answered more than 16384 bytes',
    });
  });

  it('says what it got where the peer ends', async () => {
    const peer = await startPeer('', [['x', 'no']]);
    const outcome = run({ type: 'send_expect', send: 'x', expect: text('yes') }, peer.port);
    await expect.poll(() => peer.received.length).toBe(1);
    for (const socket of sockets) socket.end();
    expect(await outcome).toEqual({ isGood: false, text: 'expected "yes", got "no"' });
  });
});

describe('redis', () => {
  it.each<Row>([
    ['+PONG', true, 'PING answered +PONG'],
    ['-NOAUTH Authentication required.', true, 'PING answered -NOAUTH Authentication required.'],
    ["-NOPERM User x has no permissions to run the 'ping' command", true, 'PING answered -NOPERM'],
    ['-LOADING Redis is loading the dataset in memory', false, 'PING answered -LOADING'],
    ['-MASTERDOWN Link with MASTER is down', false, 'PING answered -MASTERDOWN'],
    ['-BUSY Redis is busy running a script', false, 'PING answered -BUSY'],
    ['-MISCONF Redis is configured to save', false, 'PING answered -MISCONF'],
    ['-ERR max number of clients reached', false, 'PING answered -ERR max'],
    ['HTTP/1.1 400 Bad Request', false, 'PING answered HTTP/1.1 400'],
  ])('%s', async (answer, isGood, textBegin) => {
    const peer = await startPeer('', [['PING', `${answer}\r\n`]]);
    const outcome = await run({ type: 'redis' }, peer.port);
    expect(outcome.isGood).toBe(isGood);
    expect(outcome.text.startsWith(textBegin)).toBe(true);
    expect(peer.received.toString()).toBe('*1\r\n$4\r\nPING\r\n');
  });

  it('logs in with a password of a file, read each time', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'upriver-check-'));
    const passwordFile = join(folder, 'password');
    writeFileSync(passwordFile, 'gehe\u00efm\n');
    const peer = await startPeer('', [
      ['AUTH', '+OK\r\n'],
      ['PING', '+PONG\r\n'],
    ]);
    const check = { type: 'redis', login: login({ user: 'up', passwordFile }) } as const;
    expect((await run(check, peer.port)).isGood).toBe(true);
    expect(peer.received.toString()).toContain(
      '*3\r\n$4\r\nAUTH\r\n$2\r\nup\r\n$7\r\ngehe\u00efm\r\n',
    );
    rmSync(folder, { recursive: true });
    expect(await run(check, peer.port)).toMatchObject({ isGood: false, text: 'ENOENT' });
  });

  it('is bad where the password is wrong', async () => {
    const peer = await startPeer('', [['AUTH', '-WRONGPASS invalid username-password pair\r\n']]);
    const outcome = await run({ type: 'redis', login: login({ password: 'x' }) }, peer.port);
    expect(outcome).toMatchObject({ isGood: false, text: expect.stringContaining('-WRONGPASS') });
  });

  it.each([
    ['*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n', 'primary'],
    ['*5\r\n$5\r\nslave\r\n$9\r\n127.0.0.1\r\n:1\r\n$9\r\nconnected\r\n:9\r\n', 'replica'],
    ['*2\r\n$8\r\nsentinel\r\n*0\r\n', 'replica'],
  ])('tells its role: %j', async (answer, role) => {
    const peer = await startPeer('', [
      ['PING', '+PONG\r\n'],
      ['ROLE', answer],
    ]);
    expect(await run({ type: 'redis', wantsRole: true }, peer.port)).toMatchObject({ role });
  });
});

describe('smtp', () => {
  it('greets, and takes its leave', async () => {
    const peer = await startPeer('220-mail.test hello\r\n220 ready\r\n', [
      ['EHLO', '250-mail.test\r\n250 SIZE 1000\r\n'],
      ['QUIT', '221 bye\r\n'],
    ]);
    const outcome = await run({ type: 'smtp', host: 'lb.test' }, peer.port);
    expect(outcome).toEqual({ isGood: true, text: 'EHLO answered 250 SIZE 1000' });
    await expect.poll(() => peer.received.toString()).toBe('EHLO lb.test\r\nQUIT\r\n');
  });

  it('says HELO to a server that knows no EHLO', async () => {
    const peer = await startPeer('220 old\r\n', [
      ['EHLO', '502 what?\r\n'],
      ['HELO', '250 hi\r\n'],
    ]);
    expect((await run({ type: 'smtp' }, peer.port)).isGood).toBe(true);
  });

  it.each([
    ['421 too busy\r\n', 'banner 421 too busy'],
    ['554 no service\r\n', 'banner 554 no service'],
    ['SSH-2.0-OpenSSH_9\r\n', 'answered SSH-2.0-OpenSSH_9'],
  ])('is bad for %j', async (banner, text) => {
    const { port } = await startPeer(banner);
    expect(await run({ type: 'smtp' }, port)).toEqual({ isGood: false, text });
  });
});

describe('memcached', () => {
  it.each<Row>([
    ['VERSION 1.6.18', true, 'VERSION 1.6.18'],
    ['ERROR', false, 'version answered ERROR'],
    ['SERVER_ERROR out of memory', false, 'version answered SERVER_ERROR out of memory'],
  ])('%s', async (answer, isGood, text) => {
    const { port } = await startPeer('', [['version\r\n', `${answer}\r\n`]]);
    expect(await run({ type: 'memcached' }, port)).toEqual({ isGood, text });
  });
});

// PostgreSQL

function pg(type: string, ...parts: readonly (string | number | Buffer)[]): Buffer {
  const bytes = parts.map((part) => {
    if (Buffer.isBuffer(part)) return part;
    if (typeof part === 'string') return Buffer.from(part);
    const four = Buffer.alloc(4);
    four.writeInt32BE(part);
    return four;
  });
  const body = Buffer.concat(bytes);
  const head = Buffer.alloc(5);
  head.write(type);
  head.writeInt32BE(body.length + 4, 1);
  return Buffer.concat([head, body]);
}

const pgError = (code: string, text: string) => pg('E', `SFATAL\0C${code}\0M${text}\0\0`);
const ready = pg('Z', 'I');
const row = (value: string) => pg('D', Buffer.from([0, 1, 0, 0, 0, 1]), value);

const WITHHELD = 'not sent without TLS that is verified (health.password_cleartext)';

describe('postgres', () => {
  it.each([
    [pg('R', 10, 'SCRAM-SHA-256\0\0'), true, 'asks for a password'],
    [pgError('28000', 'no pg_hba.conf entry'), true, 'answers: no pg_hba.conf entry (28000)'],
    [
      pgError('57P03', 'the database system is starting up'),
      false,
      'the database system is starting up (57P03)',
    ],
    [
      pgError('53300', 'sorry, too many clients already'),
      false,
      'sorry, too many clients already (53300)',
    ],
    [Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n'), false, 'does not speak PostgreSQL'],
  ])('without a user asks as pg_isready does: %#', async (answer, isGood, text) => {
    const peer = await startPeer('', [[/user\0/, answer]]);
    const outcome = await run({ type: 'postgres' }, peer.port);
    expect(outcome.isGood).toBe(isGood);
    expect(outcome.text.startsWith(text) || outcome.text.includes('more than')).toBe(true);
    expect(peer.received.toString('latin1')).toContain('user\0upriver\0database\0postgres\0');
  });

  it('tells that a user was refused who is configured', async () => {
    const peer = await startPeer('', [
      [/user\0/, pgError('28P01', 'password authentication failed')],
    ]);
    const outcome = await run({ type: 'postgres', login: login({ user: 'up' }) }, peer.port);
    expect(outcome).toEqual({ isGood: false, text: 'password authentication failed (28P01)' });
  });

  it.each([
    ['f', 'primary'],
    ['t', 'replica'],
  ])('is asked whether it is in recovery: %s', async (value, role) => {
    const peer = await startPeer('', [
      [/user\0/, Buffer.concat([pg('R', 0), pg('S', 'a\0b\0'), pg('K', 1, 2), ready])],
      ['SELECT', Buffer.concat([pg('T', 'x'), row(value), pg('C', 'SELECT 1\0'), ready])],
    ]);
    const parts = { type: 'postgres', wantsRole: true, login: login({ user: 'up' }) } as const;
    expect(await run(parts, peer.port)).toMatchObject({ isGood: true, role });
    await expect.poll(() => peer.received.toString('latin1')).toContain('X\0\0\0\x04');
  });

  it('shows its password by MD5', async () => {
    const peer = await startPeer('', [
      [/user\0/, pg('R', 5, 'salt')],
      ['md5', Buffer.concat([pg('R', 0), ready])],
    ]);
    const given = login({ user: 'up', password: 'secret' });
    expect((await run({ type: 'postgres', login: given }, peer.port)).isGood).toBe(true);
    const inner = createHash('md5').update('secretup').digest('hex');
    const hash = createHash('md5').update(`${inner}salt`).digest('hex');
    expect(peer.received.toString('latin1')).toContain(`md5${hash}\0`);
    expect(peer.received.toString('latin1')).not.toContain('secret');
  });

  it.each([
    ['127.0.0.1', false, true],
    [NETWORK, true, true],
    [NETWORK, false, false],
  ])('shows its password in clear text to %s, allowed: %s', async (address, allowed, isShown) => {
    const peer = await startPeer('', [
      [/user\0/, pg('R', 3)],
      ['secret', Buffer.concat([pg('R', 0), ready])],
    ]);
    const given = login({ user: 'up', password: 'secret', isCleartextAllowed: allowed });
    const outcome = await run({ type: 'postgres', login: given }, peer.port, address);
    expect(outcome.isGood).toBe(isShown);
    expect(peer.received.includes('secret')).toBe(isShown);
    if (!isShown) expect(outcome.text).toBe(`asks for the password in clear text: ${WITHHELD}`);
  });

  it('refuses a SCRAM challenge of a million iterations, or without our nonce', async () => {
    for (const [challenge, text] of [
      ['r=NONCE1,s=c2FsdA==,i=1000000', 'asks for more than 100000 iterations'],
      ['r=other,s=c2FsdA==,i=4096', 'sends a malformed SCRAM challenge'],
    ] as const) {
      const port = await scramPeer({ challenge });
      const given = login({ user: 'up', password: 'secret' });
      expect(await run({ type: 'postgres', login: given }, port)).toEqual({ isGood: false, text });
    }
  });

  it('proves its password by SCRAM-SHA-256, and asks the same of the server', async () => {
    const given = login({ user: 'up', password: 'secret' });
    const good = await scramPeer({ password: 'secret' });
    expect(await run({ type: 'postgres', login: given }, good)).toEqual({
      ...{ isGood: true, text: 'logged in as up' },
    });
    const impostor = await scramPeer({ password: 'other' });
    expect(await run({ type: 'postgres', login: given }, impostor)).toEqual({
      ...{ isGood: false, text: 'does not know the password itself' },
    });
  });
});

/** A server's side of SCRAM, which takes any proof; `challenge` replaces its first message. */
async function scramPeer(given: { password?: string; challenge?: string }): Promise<number> {
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    let first = '';
    let challenge = '';
    socket.on('data', (bytes: Buffer) => {
      const text = bytes.toString('latin1');
      const bare = /n,,(n=,r=.+)$/.exec(text)?.[1];
      if (text.includes('user\0')) socket.write(pg('R', 10, 'SCRAM-SHA-256\0\0'));
      else if (bare !== undefined) {
        first = bare;
        const nonce = bare.slice('n=,r='.length);
        challenge = given.challenge?.replace('NONCE', nonce) ?? `r=${nonce}+,s=c2FsdA==,i=4096`;
        socket.write(pg('R', 11, challenge));
      } else if (text.includes('c=biws')) {
        const final = /c=biws,r=[^,]+/.exec(text)![0];
        const salted = pbkdf2Sync(given.password ?? '', 'salt', 4096, 32, 'sha256');
        const key = createHmac('sha256', salted).update('Server Key').digest();
        const all = `${first},${challenge},${final}`;
        const signature = createHmac('sha256', key).update(all).digest('base64');
        socket.write(Buffer.concat([pg('R', 12, `v=${signature}`), pg('R', 0), ready]));
      }
    });
  });
  servers.push(server);
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  return (server.address() as { port: number }).port;
}

// MySQL

const SCRAMBLE = Buffer.from('abcdefghijklmnopqrst');

function mysqlPacket(sequence: number, ...parts: readonly (string | Buffer)[]): Buffer {
  const body = Buffer.concat(parts.map((part) => Buffer.from(part as string)));
  const head = Buffer.alloc(4);
  head.writeUIntLE(body.length, 0, 3);
  head[3] = sequence;
  return Buffer.concat([head, body]);
}

function mysqlGreeting(plugin: string): Buffer {
  const middle = Buffer.from([0xff, 0xff, 33, 2, 0, 0xff, 0xff, 21]);
  return mysqlPacket(
    0,
    ...['\x0a8.0.36\0', Buffer.from([1, 0, 0, 0]), SCRAMBLE.subarray(0, 8), '\0', middle],
    ...[Buffer.alloc(10), SCRAMBLE.subarray(8), '\0', `${plugin}\0`],
  );
}

const mysqlOk = (sequence: number) => mysqlPacket(sequence, Buffer.from([0, 0, 0, 2, 0, 0, 0]));
const mysqlError = (sequence: number, code: number, text: string) => {
  const head = Buffer.from([0xff, code & 0xff, code >> 8]);
  return mysqlPacket(sequence, head, `#28000${text}`);
};

const KEY = generateKeyPairSync('rsa', { modulusLength: 2048 })
  .publicKey.export({ type: 'spki', format: 'pem' })
  .toString();

describe('mysql', () => {
  it('without a user takes being refused for an answer', async () => {
    const peer = await startPeer(mysqlGreeting('mysql_native_password'), [
      ['upriver\0', mysqlError(2, 1045, 'Access denied')],
    ]);
    const outcome = await run({ type: 'mysql' }, peer.port);
    expect(outcome).toEqual({ isGood: true, text: 'MySQL 8.0.36 answers' });
  });

  it.each([
    [mysqlError(0, 1040, 'Too many connections'), 'Too many connections (1040)'],
    [mysqlError(0, 1129, "Host 'a' is blocked"), "Host 'a' is blocked (1129)"],
    // Bounds: checkAnswer
    [Buffer.from('220 mail.test ESMTP ready and waiting\r\n'), 'answered more than 16384 bytes'],
  ])('is bad for %#', async (greeting, text) => {
    const { port } = await startPeer(greeting);
    expect(await run({ type: 'mysql' }, port)).toMatchObject({ isGood: false, text });
  });

  it('logs in by mysql_native_password, and quits', async () => {
    const peer = await startPeer(mysqlGreeting('mysql_native_password'), [['up\0', mysqlOk(2)]]);
    const given = login({ user: 'up', password: 'secret', database: 'app' });
    const outcome = await run({ type: 'mysql', login: given }, peer.port);
    expect(outcome).toEqual({ isGood: true, text: 'MySQL 8.0.36: logged in as up' });
    const sha1 = (...parts: readonly Buffer[]) =>
      createHash('sha1').update(Buffer.concat(parts)).digest();
    const once = sha1(Buffer.from('secret'));
    const mask = sha1(SCRAMBLE, sha1(once));
    const proof = Buffer.from(once.map((byte, i) => byte ^ mask[i]!));
    const wanted = Buffer.concat([Buffer.from('up\0\x14'), proof, Buffer.from('app\0')]);
    expect(peer.received.includes(wanted)).toBe(true);
    await expect.poll(() => peer.received.subarray(-5)).toEqual(Buffer.from([1, 0, 0, 0, 1]));
  });

  it.each([
    ['127.0.0.1', false],
    [NETWORK, true],
  ])(
    'changes the plugin, and seals the password where caching_sha2_password wants it: %s',
    async (address, allowed) => {
      const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
      const pem = publicKey.export({ type: 'spki', format: 'pem' }).toString();
      const change = mysqlPacket(2, Buffer.from([0xfe]), 'caching_sha2_password\0', SCRAMBLE, '\0');
      const peer = await startPeer(mysqlGreeting('mysql_native_password'), [
        ['up\0', change],
        [' \0\0\x03', mysqlPacket(4, Buffer.from([1, 4]))],
        ['\x01\0\0\x05\x02', mysqlPacket(6, Buffer.from([1]), pem)],
        [/^[\s\S]{260}/, mysqlOk(8)],
      ]);
      const given = login({ user: 'up', password: 'secret', isCleartextAllowed: allowed });
      expect((await run({ type: 'mysql', login: given }, peer.port, address)).isGood).toBe(true);
      await expect.poll(() => peer.received.subarray(-5)).toEqual(Buffer.from([1, 0, 0, 0, 1]));
      const at = peer.received.length - 256 - 5;
      const sealed = peer.received.subarray(at, at + 256);
      const opened = privateDecrypt(privateKey, sealed);
      expect(Buffer.from(opened.map((byte, i) => byte ^ SCRAMBLE[i % 20]!)).toString()).toBe(
        'secret\0',
      );
    },
  );

  it.each([
    ['asks for it', mysqlPacket(2, Buffer.from([1, 4]))],
    ['sends its key unasked', mysqlPacket(2, Buffer.from([1]), KEY)],
  ])('seals no password for a key that came over a network: a server that %s', async (_, ask) => {
    const peer = await startPeer(mysqlGreeting('caching_sha2_password'), [
      ['up\0', ask],
      // A login that ends: one that breaks off would count in max_connect_errors.
      ['\x01\0\0\x03\0', mysqlError(4, 1045, 'Access denied')],
    ]);
    const given = login({ user: 'up', password: 'secret' });
    expect(await run({ type: 'mysql', login: given }, peer.port, NETWORK)).toEqual({
      isGood: true,
      text: `MySQL 8.0.36: asks for the password by its key: ${WITHHELD}`,
    });
    expect(peer.received.length).toBeLessThan(256);
  });

  it('proves its password by caching_sha2_password over a network', async () => {
    const peer = await startPeer(mysqlGreeting('caching_sha2_password'), [
      ['up\0', Buffer.concat([mysqlPacket(2, Buffer.from([1, 3])), mysqlOk(3)])],
    ]);
    const given = login({ user: 'up', password: 'secret' });
    expect(await run({ type: 'mysql', login: given }, peer.port, NETWORK)).toEqual({
      isGood: true,
      text: 'MySQL 8.0.36: logged in as up',
    });
  });

  it.each(['mysql_clear_password', 'dialog'])('shows no password to %s', async (plugin) => {
    const peer = await startPeer(mysqlGreeting('mysql_native_password'), [
      ['up\0', mysqlPacket(2, Buffer.from([0xfe]), `${plugin}\0`)],
      ['\0\0\0\x03', mysqlError(4, 1045, 'Access denied')],
    ]);
    const given = login({ user: 'up', password: 'secret', isCleartextAllowed: true });
    const outcome = await run({ type: 'mysql', login: given }, peer.port);
    expect(outcome).toEqual({ isGood: false, text: 'Access denied (1045)' });
    expect(peer.received.includes('secret')).toBe(false);
  });

  it('tells the error of a login that is configured', async () => {
    const peer = await startPeer(mysqlGreeting('mysql_native_password'), [
      ['up\0', mysqlError(2, 1045, 'Access denied')],
    ]);
    const outcome = await run({ type: 'mysql', login: login({ user: 'up' }) }, peer.port);
    expect(outcome).toEqual({ isGood: false, text: 'Access denied (1045)' });
  });
});
