import { BOUNDS } from '../model/bounds.ts';

/** The first of many problems of one kind, and how many more there are. */
export function firstProblems(
  problems: readonly string[] | ReadonlySet<string>,
  textOf: (one: string) => string = (one) => one,
): string[] {
  const { max } = BOUNDS.problems;
  const first = [...problems.values().take(max)].map(textOf);
  const count = Array.isArray(problems) ? problems.length : (problems as ReadonlySet<string>).size;
  return count > max ? [...first, `and ${count - max} more of the kind`] : first;
}
