// What is wrong with a configuration, said so that it can be found: where, what is there, and what
// was expected.

import { safeLines } from '../base/safe-text.ts';

export interface Problem {
  /** `upriver.yaml:5:11`, `--service`, `UPRIVER_WORKERS`, `tag upriver.listen`. */
  readonly where: string;
  /** `services.web.balance`; '' where the text could not be read at all. */
  readonly key: string;
  readonly message: string;
}

/** Of what stands at a path. */
export type Part = 'key' | 'value';

/** Finds where the value at `path`, or its key, was written: `upriver.yaml:5:11`. */
export type Where = (path: readonly PropertyKey[], part: Part) => string;

/** One line, or several where a message has them, and nothing that acts in a terminal. */
export function formatProblem({ where, key, message }: Problem): string {
  return [where, key, message]
    .filter((part) => part !== '')
    .map((part) => safeLines(part))
    .join(': ');
}
