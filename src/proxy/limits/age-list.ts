// A list by age that is linked through its members, so that any of them leaves it at no cost.
// Invariant: a member is in one such list at most, and its two links are null while it is in none.

export interface AgeList<M> {
  oldest: M | null;
  youngest: M | null;
}

/** What a list keeps in each member, and nobody else writes. */
export interface Aged<M> {
  older: M | null;
  younger: M | null;
}

/** Takes a new member in, as the youngest. */
export function append<M extends Aged<M>>(list: AgeList<M>, member: M): void {
  member.older = list.youngest;
  if (list.youngest === null) list.oldest = member;
  else list.youngest.younger = member;
  list.youngest = member;
}

/** Takes out one that is in the list. */
export function unlink<M extends Aged<M>>(list: AgeList<M>, member: M): void {
  const { older, younger } = member;
  if (older === null) list.oldest = younger;
  else older.younger = younger;
  if (younger === null) list.youngest = older;
  else younger.older = older;
  member.older = null;
  member.younger = null;
}
