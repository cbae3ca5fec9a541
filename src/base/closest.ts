const EDITS_MAX = 2;

/** The known word that `word` was probably meant to be (two edits away at most), or null. */
export function closest(word: string, known: readonly string[]): string | null {
  // Words whose lengths differ by more are further away; a foreign one may be very long.
  const ranked = known
    .filter((candidate) => Math.abs(candidate.length - word.length) <= EDITS_MAX)
    .map((candidate) => ({ candidate, distance: editDistance(word, candidate) }))
    .sort((a, b) => a.distance - b.distance);
  const best = ranked[0];
  return best !== undefined && best.distance <= EDITS_MAX ? best.candidate : null;
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
