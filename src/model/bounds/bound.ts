// One row of the table of bounds, and what rows say alike.

export interface Bound {
  /** Whose input, human-readable. */
  readonly input: string;
  /** What is counted. */
  readonly what: string;
  readonly max: number;
  readonly unit: 'bytes' | 'items' | 'ms';
  /** What happens beyond it. */
  readonly beyond: string;
}

/** Of an answer of a registry. */
export const STAYS = 'refused; the last known table stays';
/** Of the configuration. */
export const KEEPS = 'refused; the running configuration stays';
