// How a PostgreSQL server is shown a password: by SCRAM-SHA-256 (RFC 5802, 7677), by MD5, or in clear text,
// which the conversation must allow.
import { createHash, createHmac, pbkdf2, randomBytes, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';
import { WITHHELD } from '../clear-text.ts';
import type { Conversation } from '../conversation.ts';
import { CheckFailure } from '../outcome.ts';
import { errorOf, frame, type Message, message } from './postgres-messages.ts';

const stretch = promisify(pbkdf2);
/** Of the password hash; servers say 4096. */
const ITERATIONS_MAX = 100_000;

interface Login {
  readonly user: string;
  readonly password: string;
}

/** Answers the server's request; resolves when it has accepted the password, rejects where it does not. */
export async function answerChallenge(
  conversation: Conversation,
  { body }: Message,
  login: Login,
): Promise<void> {
  const kind = body.readInt32BE(0);
  if (kind === 3) sendCleartext(conversation, login.password);
  else if (kind === 5) sendPassword(conversation, md5Answer(login, body.subarray(4, 8)));
  else if (kind === 10) await answerScram(conversation, body.subarray(4), login.password);
  else throw new CheckFailure(`asks for a kind of login that is not known (${kind})`);
  await expectRequest(conversation, 0);
}

function sendCleartext(conversation: Conversation, password: string): void {
  if (!conversation.mayShowPassword) {
    throw new CheckFailure(`asks for the password in clear text: ${WITHHELD}`);
  }
  sendPassword(conversation, password);
}

function sendPassword(conversation: Conversation, password: string): void {
  conversation.send(frame('p', Buffer.from(`${password}\0`, 'utf8')));
}

function md5Answer({ user, password }: Login, salt: Buffer): string {
  const inner = createHash('md5').update(password).update(user).digest('hex');
  return `md5${createHash('md5').update(inner).update(salt).digest('hex')}`;
}

/** The next message, which must be the authentication request of this kind. */
async function expectRequest(conversation: Conversation, kind: number): Promise<Buffer> {
  const next = await message(conversation);
  if (next.type === 'E') throw new CheckFailure(errorOf(next).text);
  if (next.type !== 'R' || next.body.readInt32BE(0) !== kind) {
    throw new CheckFailure('does not go on with the login');
  }
  return next.body.subarray(4);
}

async function answerScram(
  conversation: Conversation,
  mechanisms: Buffer,
  password: string,
): Promise<void> {
  if (!mechanisms.toString('latin1').split('\0').includes('SCRAM-SHA-256')) {
    throw new CheckFailure('offers no SCRAM-SHA-256');
  }
  const nonce = randomBytes(18).toString('base64');
  const clientFirst = `n=,r=${nonce}`;
  const initial = Buffer.from(`n,,${clientFirst}`, 'latin1');
  const length = Buffer.alloc(4);
  length.writeInt32BE(initial.length);
  const opening = [Buffer.from('SCRAM-SHA-256\0', 'latin1'), length, initial];
  conversation.send(frame('p', Buffer.concat(opening)));
  const serverFirst = (await expectRequest(conversation, 11)).toString('latin1');
  const proof = await scramProof({ password, nonce, clientFirst, serverFirst });
  conversation.send(frame('p', Buffer.from(proof.text, 'latin1')));
  const serverLast = (await expectRequest(conversation, 12)).toString('latin1');
  const given = Buffer.from(/^v=([^,]+)/.exec(serverLast)?.[1] ?? '', 'base64');
  if (given.length !== 32 || !timingSafeEqual(given, proof.signature)) {
    throw new CheckFailure('does not know the password itself');
  }
}

/** Our last message, and what the server must answer. Throws CheckFailure for an odd challenge. */
async function scramProof(given: {
  readonly password: string;
  readonly nonce: string;
  readonly clientFirst: string;
  readonly serverFirst: string;
}): Promise<{ readonly text: string; readonly signature: Buffer }> {
  const { password, nonce, clientFirst, serverFirst } = given;
  const match = /^r=([^,]+),s=([^,]+),i=(\d{1,7})/.exec(serverFirst);
  const iterations = Number(match?.[3]);
  if (match === null || !match[1]!.startsWith(nonce) || iterations < 1) {
    throw new CheckFailure('sends a malformed SCRAM challenge');
  }
  if (iterations > ITERATIONS_MAX) {
    throw new CheckFailure(`asks for more than ${ITERATIONS_MAX} iterations`);
  }
  const salt = Buffer.from(match[2]!, 'base64');
  const salted = await stretch(password.normalize('NFKC'), salt, iterations, 32, 'sha256');
  const unproven = `c=biws,r=${match[1]}`;
  const all = `${clientFirst},${serverFirst},${unproven}`;
  const key = hmac(salted, 'Client Key');
  const signature = hmac(createHash('sha256').update(key).digest(), all);
  const proof = Buffer.from(key.map((byte, i) => byte ^ signature[i]!)).toString('base64');
  return { text: `${unproven},p=${proof}`, signature: hmac(hmac(salted, 'Server Key'), all) };
}

function hmac(key: Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest();
}
