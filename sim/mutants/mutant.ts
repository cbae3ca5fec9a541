/** A fault that is put into a copy of the sources, to see whether the simulator finds it. */
export interface Mutant {
  readonly name: string;
  readonly plane: 'data' | 'udp' | 'control' | 'registries';
  /** Below the root of the project. */
  readonly file: string;
  /** Stands there exactly once, or the list has to be brought up to date. */
  readonly find: string;
  readonly replace: string;
}

export type MutantRow = readonly [name: string, file: string, find: string, replace: string];

/** Rows of a list as faults of one plane. */
export function mutantsOf(plane: Mutant['plane'], rows: readonly MutantRow[]): readonly Mutant[] {
  return rows.map(([name, file, find, replace]) => ({ name, plane, file, find, replace }));
}
