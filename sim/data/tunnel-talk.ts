// What the two ends of a tunnel say to each other: an upgrade by HTTP/1.1, an extended CONNECT by HTTP/2.
import type { Kernel } from '../kernel/kernel.ts';
import type { Attempt, Book, Request } from './book.ts';
import { marked } from './request-script.ts';
import { Talk, type TalkEnd, type TalkOptions } from './talk.ts';

interface Talking {
  readonly kernel: Kernel;
  readonly book: Book;
  readonly attempt: Attempt;
  readonly isNarrow: boolean;
  readonly end: TalkEnd;
}

/** What an endpoint says in a tunnel, and must hear. */
export function endpointTalk(
  { kernel, book, attempt, isNarrow, end }: Talking,
  onDone: () => void,
): Talk {
  const request = attempt.request!;
  return new Talk({
    ...{ kernel, end, onDone, out: attempt.body, rests: request.rests ?? false },
    chance: kernel.chance(`talk ${attempt.tag}`),
    expected: () => tunnelBytes(request),
    peerEndedMs: () => (isNarrow ? -1 : request.endedMs),
    // One that was broken off must not look ended, but by whoever has ended it in order before.
    mayBeShort: () => !request.isOrderly && request.brokeOffMs === undefined,
    onWrong: (text) =>
      book.fault(`tunnel of ${attempt.tag}, at the endpoint: ${text}`, request.service),
  });
}

interface ClientTalkOptions extends Pick<TalkOptions, 'rests' | 'onDone'> {
  readonly earlyBytes: number;
}

/** What a client says in a tunnel after its first `earlyBytes`, and must hear. */
export function clientTalk(
  { kernel, book, attempt, end }: Omit<Talking, 'isNarrow'>,
  { earlyBytes, ...options }: ClientTalkOptions,
): Talk {
  const request = attempt.request!;
  return new Talk({
    ...{ kernel, end, ...options },
    out: tunnelBytes(request).subarray(earlyBytes),
    chance: kernel.chance(`talk ${request.id}`),
    expected: () => attempt.body,
    onEnded: () => {
      request.endedMs = kernel.nowMs;
    },
    mayBeShort: () => false,
    onWrong: (text) =>
      book.fault(`tunnel of ${attempt.tag}, at the client: ${text}`, request.service),
  });
}

/** What a client sends in the tunnel of this request. */
export function tunnelBytes({ id }: Request): Buffer {
  return marked((id.length * 7919) % 3000, `>${id}.`);
}
