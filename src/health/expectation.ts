// What an answer has to hold, looked for as it comes.
import { LinearPattern } from '../base/linear-pattern.ts';
import type { CheckExpectation } from '../model/service.ts';
import { showBytes } from './conversation.ts';

/** True once it was found; `end`: nothing more comes. */
export interface Search {
  push(bytes: Buffer): boolean;
  end(): boolean;
}

/** A search of its own for one answer. */
export function searchFor(expect: CheckExpectation): Search {
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

/** For people. */
export function shownExpectation(expect: CheckExpectation): string {
  if (expect.kind === 'bytes') return showBytes(Buffer.from(expect.bytes, 'latin1'));
  return `/${expect.source}/${expect.ignoreCase ? 'i' : ''}`;
}
