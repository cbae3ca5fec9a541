// SMTP (RFC 5321): the banner, EHLO (HELO for a server that does not know it), QUIT.
import type { HealthCheck } from '../../model/service.ts';
import type { Conversation } from '../conversation.ts';
import { CheckFailure, type CheckOutcome } from '../outcome.ts';

/** Lines of one reply. */
const LINES_MAX = 100;

/** Rejects with a CheckFailure where the server is not well, and as the conversation does. */
export async function speakSmtp(
  conversation: Conversation,
  { host }: HealthCheck,
): Promise<CheckOutcome> {
  const banner = await reply(conversation);
  if (!banner.startsWith('220')) throw new CheckFailure(`banner ${banner}`);
  const name = host === '' ? 'localhost' : host;
  conversation.send(`EHLO ${name}\r\n`);
  let answer = await reply(conversation);
  if (/^50[0-4]/.test(answer)) {
    conversation.send(`HELO ${name}\r\n`);
    answer = await reply(conversation);
  }
  if (!answer.startsWith('250')) throw new CheckFailure(`EHLO answered ${answer}`);
  conversation.send('QUIT\r\n');
  return { isGood: true, text: `EHLO answered ${answer}` };
}

/** The last line of a reply: `250-first`, `250-second`, `250 last`. */
async function reply(conversation: Conversation): Promise<string> {
  for (let count = 0; count < LINES_MAX; count += 1) {
    const line = await conversation.line();
    if (!/^\d{3}(?:[ -]|$)/.test(line)) throw new CheckFailure(`answered ${line.slice(0, 100)}`);
    if (line[3] !== '-') return line.slice(0, 100);
  }
  throw new CheckFailure(`a reply of more than ${LINES_MAX} lines`);
}
