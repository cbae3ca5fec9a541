// Redis (and what speaks its protocol): PING, after AUTH where a password is given; ROLE where the
// service follows the primary. https://redis.io/docs/latest/develop/reference/protocol-spec/
import type { HealthCheck } from '../../model/service.ts';
import type { Conversation } from '../conversation.ts';
import { CheckFailure, type CheckOutcome, type Role } from '../outcome.ts';
import { passwordOf } from './password.ts';

/** Rejects with a CheckFailure where the server is not well, and as the conversation does. */
export async function speakRedis(
  conversation: Conversation,
  { login, wantsRole }: HealthCheck,
): Promise<CheckOutcome> {
  const password = await passwordOf(login, conversation);
  if (password !== '') {
    const words = login.user === '' ? ['AUTH', password] : ['AUTH', login.user, password];
    conversation.send(command(words));
    const answer = await conversation.line();
    if (answer !== '+OK') throw new CheckFailure(`AUTH answered ${answer.slice(0, 100)}`);
  }
  conversation.send(command(['PING']));
  const answer = await conversation.line();
  if (!isAlive(answer)) throw new CheckFailure(`PING answered ${answer.slice(0, 100)}`);
  const outcome = { isGood: true, text: `PING answered ${answer.slice(0, 100)}` };
  return wantsRole ? { ...outcome, ...(await askRole(conversation)) } : outcome;
}

/**
 * A server that asks for a password, or lets this user not ask, serves those who may. One that loads
 * its data (LOADING), has lost its primary (MASTERDOWN), runs a script (BUSY), can't write (MISCONF) or
 * has too many clients (ERR) refuses what clients ask.
 */
function isAlive(answer: string): boolean {
  return answer === '+PONG' || /^-(NOAUTH|NOPERM)\b/.test(answer);
}

/** `master`, `slave` or `sentinel` is the first element of the answer to ROLE. */
async function askRole(conversation: Conversation): Promise<{ role: Role; text: string }> {
  conversation.send(command(['ROLE']));
  const head = await conversation.line();
  if (!/^\*[1-9]/.test(head)) throw new CheckFailure(`ROLE answered ${head.slice(0, 100)}`);
  await conversation.line();
  const name = (await conversation.line()).slice(0, 20);
  return { role: name === 'master' ? 'primary' : 'replica', text: `ROLE answered ${name}` };
}

function command(words: readonly string[]): string {
  const parts = words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`);
  return `*${words.length}\r\n${parts.join('')}`;
}
