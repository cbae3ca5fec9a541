// The check in the user's own words: bytes to send, and what must come back.
import { LinearPattern } from '../../base/linear-pattern.ts';
import type { CheckExpectation, HealthCheck } from '../../model/service.ts';
import { type Conversation, showBytes } from '../conversation.ts';
import { CheckFailure, type CheckOutcome } from '../outcome.ts';

/** Sends `health.send`, and is good when `health.expect` is found in what comes. */
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

interface Search {
  push(bytes: Buffer): boolean;
  end(): boolean;
}

function searchFor(expect: CheckExpectation): Search {
  if (expect.kind === 'pattern')
    return new LinearPattern(expect.source, expect.ignoreCase).search();
  const wanted = Buffer.from(expect.bytes, 'latin1');
  let tail: Buffer = Buffer.alloc(0);
  return {
    push: (bytes) => {
      const all = Buffer.concat([tail, bytes]);
      tail = all.subarray(Math.max(0, all.length - wanted.length + 1));
      return all.includes(wanted);
    },
    end: () => false,
  };
}

function shownExpectation(expect: CheckExpectation): string {
  if (expect.kind === 'bytes') return showBytes(Buffer.from(expect.bytes, 'latin1'));
  return `/${expect.source}/${expect.ignoreCase ? 'i' : ''}`;
}
