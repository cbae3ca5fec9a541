// What is made in steps, all at once.
import type { Steps } from '../../src/base/turns.ts';

export function textOf(text: string | Steps): string {
  return typeof text === 'string' ? text : [...text].join('');
}
