// PostgreSQL, protocol 3.0 (https://www.postgresql.org/docs/current/protocol-flow.html). Without a user
// the server is asked as pg_isready does: a startup message, and any answer but "cannot connect now"
// is good. With a user it logs in, as far as it can, and asks for the role where that is wanted.
import type { HealthCheck } from '../../model/service.ts';
import type { Conversation } from '../conversation.ts';
import { CheckFailure, type CheckOutcome, type Role } from '../outcome.ts';
import { passwordOf } from './password.ts';
import { answerChallenge } from './postgres-login.ts';
import { errorOf, frame, message } from './postgres-messages.ts';

const PROTOCOL_3 = 196_608;
/** Messages of one answer. */
const MESSAGES_MAX = 200;
/** Starting up, shutting down, in recovery; no place for one more session. */
const REFUSES = new Set(['57P03', '53300']);

/** Rejects with a CheckFailure where the server is not well, and as the conversation does. */
export async function speakPostgres(
  conversation: Conversation,
  { login, wantsRole }: HealthCheck,
): Promise<CheckOutcome> {
  const user = login.user === '' ? 'upriver' : login.user;
  conversation.send(startup(user, login.database));
  const first = await message(conversation);
  if (first.type === 'E') return judgeError(errorOf(first), login.user !== '');
  if (first.type !== 'R') throw new CheckFailure(`unexpected answer ${JSON.stringify(first.type)}`);
  const password = await passwordOf(login, conversation);
  const isOpen = first.body.readInt32BE(0) === 0;
  // A server that asks for a password accepts sessions.
  if (!isOpen && password === '') {
    if (wantsRole) throw new CheckFailure('asks for a password: the role is not known');
    return { isGood: true, text: 'asks for a password' };
  }
  if (!isOpen) await answerChallenge(conversation, first, { user, password });
  await untilReady(conversation);
  const role = wantsRole ? await askRole(conversation) : null;
  conversation.send(frame('X', Buffer.alloc(0)));
  if (role === null) return { isGood: true, text: `logged in as ${user}` };
  return { isGood: true, text: `is the ${role}`, role };
}

function judgeError({ code, text }: { code: string; text: string }, isOurUser: boolean) {
  // A made-up user that is refused is an answer; one that was configured should get in.
  if (REFUSES.has(code) || isOurUser) throw new CheckFailure(text);
  return { isGood: true, text: `answers: ${text}` };
}

function startup(user: string, database: string): Buffer {
  const pairs = ['user', user, 'database', database === '' ? 'postgres' : database];
  const text = [...pairs, 'application_name', 'upriver', '', ''].join('\0');
  const body = Buffer.from(text, 'utf8');
  const head = Buffer.alloc(8);
  head.writeInt32BE(body.length + 8, 0);
  head.writeInt32BE(PROTOCOL_3, 4);
  return Buffer.concat([head, body]);
}

async function untilReady(conversation: Conversation): Promise<void> {
  for (let count = 0; count < MESSAGES_MAX; count += 1) {
    const next = await message(conversation);
    if (next.type === 'Z') return;
    if (next.type === 'E') throw new CheckFailure(errorOf(next).text);
  }
  throw new CheckFailure('is never ready for a query');
}

const QUERY = Buffer.from('SELECT pg_catalog.pg_is_in_recovery()\0', 'latin1');

async function askRole(conversation: Conversation): Promise<Role> {
  conversation.send(frame('Q', QUERY));
  let role: Role | null = null;
  for (let count = 0; count < MESSAGES_MAX; count += 1) {
    const { type, body } = await message(conversation);
    if (type === 'E') throw new CheckFailure(errorOf({ type, body }).text);
    // One column, whose text is t or f: two bytes of count, four of length.
    if (type === 'D' && body.length >= 7) role = body[6] === 0x66 ? 'primary' : 'replica';
    if (type === 'Z' && role !== null) return role;
  }
  throw new CheckFailure('did not say whether it is in recovery');
}
