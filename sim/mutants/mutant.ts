/** A fault that is put into a copy of the sources, to see whether the simulator finds it. */
export interface Mutant {
  readonly name: string;
  readonly plane: 'data' | 'control';
  /** Below the root of the project. */
  readonly file: string;
  /** Stands there exactly once, or the list has to be brought up to date. */
  readonly find: string;
  readonly replace: string;
}
