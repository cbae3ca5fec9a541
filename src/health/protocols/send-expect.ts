// The check in the user's own words: bytes to send, and what must come back.
import type { HealthCheck } from '../../model/service.ts';
import { type Conversation, showBytes } from '../conversation.ts';
import { searchFor, shownExpectation } from '../expectation.ts';
import { CheckFailure, type CheckOutcome } from '../outcome.ts';

/** Sends `health.send`, and is good when `health.expect` is found in what comes. Rejects with CheckFailure. */
export async function speakSendExpect(
  conversation: Conversation,
  { send, expect }: HealthCheck,
): Promise<CheckOutcome> {
  if (send !== '') conversation.send(Buffer.from(send, 'latin1'));
  if (expect === null) return { isGood: true, text: 'connected and sent' };
  const search = searchFor(expect);
  let seen: Buffer = Buffer.alloc(0);
  for (;;) {
    const piece = await conversation.piece();
    if (piece !== null) seen = Buffer.concat([seen, piece]);
    if (piece === null ? search.end() : search.push(piece)) {
      return { isGood: true, text: `answered ${showBytes(seen)}` };
    }
    if (piece !== null) continue;
    const got = seen.length === 0 ? 'nothing' : showBytes(seen);
    throw new CheckFailure(`expected ${shownExpectation(expect)}, got ${got}`);
  }
}
