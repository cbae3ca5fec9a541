// JSON in steps, as JSON.stringify(value, null, 2) would write it: a long list is a step per item.
import { safeJson } from '../base/safe-text.ts';
import type { Steps } from '../base/turns.ts';

/** A list; `write` writes an item at the indent that it is given. */
export function* listSteps<T>(
  items: Iterable<T>,
  write: (item: T, indent: string) => Steps,
  indent = '',
): Steps {
  let isFirst = true;
  for (const item of items) {
    yield `${isFirst ? '[' : ','}\n${indent}  `;
    isFirst = false;
    yield* write(item, `${indent}  `);
  }
  yield isFirst ? '[]' : `\n${indent}]`;
}

/** An object whose last field is the list `items`. */
export function* recordSteps(
  value: object,
  [last, items]: readonly [name: string, items: readonly unknown[]],
  indent = '',
): Steps {
  const text = written({ ...value, [last]: [] }, indent);
  yield text.slice(0, text.length - `[]\n${indent}}`.length);
  yield* listSteps(items, plainSteps, `${indent}  `);
  yield `\n${indent}}`;
}

/** The same, with a line end behind it. */
export function* lineSteps(steps: Steps): Steps {
  yield* steps;
  yield '\n';
}

/** A value of any type, in one step. */
export function* plainSteps(value: unknown, indent = ''): Steps {
  yield written(value, indent);
}

/** No text within JSON has a line end: those that are there stand between its lines. */
function written(value: unknown, indent: string): string {
  return safeJson(JSON.stringify(value, null, 2)).replaceAll('\n', `\n${indent}`);
}
