// What is wrong with a configuration, said so that it can be found: where, what is there, and what
// was expected.

export interface Problem {
  /** `upriver.yaml:5:11`, `--service`, `UPRIVER_WORKERS`, `tag upriver.listen`. */
  readonly where: string;
  /** `services.web.balance`; '' where the text could not be read at all. */
  readonly key: string;
  readonly message: string;
}

export function formatProblem({ where, key, message }: Problem): string {
  return [where, key, message].filter((part) => part !== '').join(': ');
}

/** The known word that `word` was probably meant to be, or null. */
export function closest(word: string, known: readonly string[]): string | null {
  const ranked = known
    .map((candidate) => ({ candidate, distance: editDistance(word, candidate) }))
    .sort((a, b) => a.distance - b.distance);
  const best = ranked[0];
  return best !== undefined && best.distance <= 2 ? best.candidate : null;
}

/** Levenshtein distance of two short words. */
function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i += 1) {
    const row = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const substitution = previous[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      row.push(Math.min(substitution, previous[j]! + 1, row[j - 1]! + 1));
    }
    previous = row;
  }
  return previous[b.length]!;
}
