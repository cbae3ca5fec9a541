// MySQL and MariaDB: the server's greeting, a login, COM_QUIT. A connection that ends before a login is
// one of the broken ones for which these servers block a host in the end (max_connect_errors), so
// a login is tried in any case; without a configured user, being refused is the answer.
// https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase.html
import { constants, createHash, publicEncrypt } from 'node:crypto';
import type { HealthCheck } from '../../model/service.ts';
import { WITHHELD } from '../clear-text.ts';
import type { Conversation } from '../conversation.ts';
import { CheckFailure, type CheckOutcome } from '../outcome.ts';
import { passwordOf } from './password.ts';

const LONG_PASSWORD = 0x1;
const CONNECT_WITH_DB = 0x8;
const PROTOCOL_41 = 0x200;
const SECURE_CONNECTION = 0x8000;
const PLUGIN_AUTH = 0x80000;
const UTF8 = 33;
/** Packets of one login. */
const PACKETS_MAX = 10;
const COM_QUIT = Buffer.from([1, 0, 0, 0, 1]);

interface Packet {
  readonly sequence: number;
  readonly body: Buffer;
}

interface Greeting {
  readonly version: string;
  readonly scramble: Buffer;
  readonly plugin: string;
}

/** Rejects with a CheckFailure where the server is not well, and as the conversation does. */
export async function speakMysql(
  conversation: Conversation,
  { login }: HealthCheck,
): Promise<CheckOutcome> {
  const hello = await packet(conversation);
  if (hello.body[0] === 0xff) throw new CheckFailure(errorOf(hello.body));
  const greeting = readGreeting(hello.body);
  const password = await passwordOf(login, conversation);
  const user = login.user === '' ? 'upriver' : login.user;
  const answer = response(user, login.database, greeting, scrambled(greeting, password));
  conversation.send(framed(hello.sequence + 1, answer));
  const { error, isWithheld } = await finishLogin(conversation, greeting.scramble, password);
  const name = `MySQL ${greeting.version}`.slice(0, 100);
  if (error === '') {
    conversation.send(COM_QUIT);
    return { isGood: true, text: `${name}: logged in as ${user}` };
  }
  // A server that wants more than a proof, as any does after a restart, accepts sessions.
  if (isWithheld) {
    return { isGood: true, text: `${name}: asks for the password by its key: ${WITHHELD}` };
  }
  if (login.user !== '') throw new CheckFailure(error);
  return { isGood: true, text: `${name} answers` };
}

interface LoginEnd {
  /** The server's error; '' where the login is accepted. */
  readonly error: string;
  /** The server has asked for the password itself, and did not get it. */
  readonly isWithheld: boolean;
}

async function finishLogin(
  conversation: Conversation,
  first: Buffer,
  password: string,
): Promise<LoginEnd> {
  let scramble = first;
  let isWithheld = false;
  for (let count = 0; count < PACKETS_MAX; count += 1) {
    const { sequence, body } = await packet(conversation);
    const reply = (bytes: Buffer) => conversation.send(framed(sequence + 1, bytes));
    const isForKey = body[0] === 0x01 && (body[1] === 4 || body.length > 100);
    if (body[0] === 0x00) return { error: '', isWithheld };
    if (body[0] === 0xff) return { error: errorOf(body), isWithheld };
    if (isForKey && !conversation.mayShowPassword && password !== '') {
      isWithheld = true;
      // Neither a password nor the request for a key: the server refuses it, and the login has ended.
      reply(Buffer.from([0]));
    } else if (body[0] === 0xfe) {
      const [plugin = '', ...rest] = body.toString('latin1', 1).split('\0');
      scramble = Buffer.from(rest.join('\0').slice(0, 20), 'latin1');
      reply(scrambled({ scramble, plugin }, password));
    } else if (body[0] === 0x01 && body[1] === 4) reply(Buffer.from([2]));
    else if (body[0] === 0x01 && body.length > 100)
      reply(sealed(password, scramble, body.subarray(1)));
    else if (body[0] !== 0x01 || body[1] !== 3)
      throw new CheckFailure('does not go on with the login');
  }
  throw new CheckFailure('does not end the login');
}

async function packet(conversation: Conversation): Promise<Packet> {
  const head = await conversation.bytes(4);
  const body = await conversation.bytes(head.readUIntLE(0, 3));
  if (body.length === 0) throw new CheckFailure('does not speak MySQL');
  return { sequence: head[3]!, body };
}

function framed(sequence: number, body: Buffer): Buffer {
  const head = Buffer.alloc(4);
  head.writeUIntLE(body.length, 0, 3);
  head[3] = sequence & 0xff;
  return Buffer.concat([head, body]);
}

/** Protocol::HandshakeV10. Throws CheckFailure where it is none. */
function readGreeting(body: Buffer): Greeting {
  const end = body.indexOf(0, 1);
  const at = end + 5;
  if (body[0] !== 10 || end < 0 || body.length < at + 31) {
    throw new CheckFailure('does not speak MySQL');
  }
  const second = at + 8 + 1 + 18;
  const rest = Math.max(12, body[at + 8 + 1 + 7]! - 8 - 1);
  const scramble = Buffer.concat([
    body.subarray(at, at + 8),
    body.subarray(second, second + Math.min(rest, 12)),
  ]);
  const plugin = body.toString('latin1', second + rest + 1).split('\0')[0]!;
  return { version: body.toString('latin1', 1, end), scramble, plugin };
}

/** Protocol::HandshakeResponse41. */
function response(user: string, database: string, { plugin }: Greeting, proof: Buffer): Buffer {
  const base = LONG_PASSWORD | PROTOCOL_41 | SECURE_CONNECTION | PLUGIN_AUTH;
  const head = Buffer.alloc(32);
  head.writeUInt32LE(database === '' ? base : base | CONNECT_WITH_DB, 0);
  head.writeUInt32LE(0xff_ffff, 4);
  head[8] = UTF8;
  const parts = [head, Buffer.from(`${user}\0`), Buffer.from([proof.length]), proof];
  if (database !== '') parts.push(Buffer.from(`${database}\0`));
  parts.push(Buffer.from(`${plugin === '' ? 'mysql_native_password' : plugin}\0`));
  return Buffer.concat(parts);
}

/** The proof that the password is known, as the plugin wants it; a plugin that is not known gets none. */
function scrambled({ scramble, plugin }: Omit<Greeting, 'version'>, password: string): Buffer {
  if (password === '') return Buffer.alloc(0);
  const isSha2 = plugin === 'caching_sha2_password';
  if (!isSha2 && plugin !== 'mysql_native_password' && plugin !== '') return Buffer.alloc(0);
  const hash = (...parts: readonly Buffer[]) => {
    const digest = createHash(isSha2 ? 'sha256' : 'sha1');
    for (const part of parts) digest.update(part);
    return digest.digest();
  };
  const once = hash(Buffer.from(password, 'utf8'));
  const twice = hash(once);
  return xored(once, isSha2 ? hash(twice, scramble) : hash(scramble, twice));
}

/** The password under the server's public key, which it sent because it does not have it in its cache. */
function sealed(password: string, scramble: Buffer, key: Buffer): Buffer {
  const bytes = xored(Buffer.from(`${password}\0`, 'utf8'), scramble);
  const padding = constants.RSA_PKCS1_OAEP_PADDING;
  try {
    return publicEncrypt({ key: key.toString('latin1'), padding }, bytes);
  } catch {
    // OpenSSL's message about a key does not say that it is the server's.
    throw new CheckFailure('the public key that the server has sent is none');
  }
}

function xored(bytes: Buffer, mask: Buffer): Buffer {
  return Buffer.from(bytes.map((byte, i) => byte ^ (mask[i % mask.length] ?? 0)));
}

/** ERR_Packet: 0xff, a number, '#' and five of SQLSTATE, a text. */
function errorOf(body: Buffer): string {
  if (body.length < 3) return 'an error without a number';
  const text = body.toString('utf8', 3).replace(/^#[0-9A-Z]{5}/, '');
  return `${text.slice(0, 200)} (${body.readUInt16LE(1)})`;
}
