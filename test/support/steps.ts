// What is made in steps, all at once.
import type { Steps } from '../../src/base/turns.ts';

export function textOf(text: string | Steps): string {
  return typeof text === 'string' ? text : [...text].join('');
}

/** What work in steps comes to, done in one piece. */
export function finish<T>(work: Steps<T>): T {
  for (;;) {
    const { done, value } = work.next();
    if (done === true) return value;
  }
}
