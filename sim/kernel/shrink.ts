// Makes the list of what happens in a failing run short: takes parts out, as large as possible, while
// the run still fails (delta debugging, Zeller and Hildebrandt 2002).

export interface ShrinkOptions<T> {
  /** Whether the run with these items alone, in this order, still fails in the same way. */
  readonly fails: (items: readonly T[]) => Promise<boolean>;
  /** Runs to be made at the most. */
  readonly runsMax: number;
}

/** The shortest list found: no single item of it can be left out, unless the runs were used up. */
export async function shrink<T>(
  items: readonly T[],
  { fails, runsMax }: ShrinkOptions<T>,
): Promise<readonly T[]> {
  let left = items;
  let size = Math.ceil(left.length / 2);
  for (let runs = 0; size >= 1 && left.length > 0; ) {
    let isShorter = false;
    for (let at = 0; at < left.length; ) {
      if (runs >= runsMax) return left;
      runs += 1;
      const fewer = [...left.slice(0, at), ...left.slice(at + size)];
      if (await fails(fewer)) {
        left = fewer;
        isShorter = true;
      } else {
        at += size;
      }
    }
    if (size === 1 && !isShorter) return left;
    size = size === 1 ? 1 : Math.ceil(size / 2);
  }
  return left;
}
