// memcached: `version`, of its text protocol.
// https://github.com/memcached/memcached/blob/master/doc/protocol.txt
import type { Conversation } from '../conversation.ts';
import { CheckFailure, type CheckOutcome } from '../outcome.ts';

/** Rejects with a CheckFailure where the server is not well, and as the conversation does. */
export async function speakMemcached(conversation: Conversation): Promise<CheckOutcome> {
  conversation.send('version\r\n');
  const answer = (await conversation.line()).slice(0, 100);
  if (!answer.startsWith('VERSION ')) throw new CheckFailure(`version answered ${answer}`);
  conversation.send('quit\r\n');
  return { isGood: true, text: answer };
}
