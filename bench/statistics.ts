// What rounds say together. Programs are compared within a round, where the machine was the same for
// both; a ratio is the median over the rounds, and it counts only where it is further from 1 than the
// rounds are from each other.

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/** Between the two nearest values, in proportion. */
export function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (sorted.length - 1) * q;
  const below = sorted[Math.floor(at)] ?? Number.NaN;
  const above = sorted[Math.ceil(at)] ?? below;
  return below + (above - below) * (at - Math.floor(at));
}

export interface Ratio {
  readonly value: number;
  /** Half of the distance between the quartiles of the rounds' ratios. */
  readonly noise: number;
  /** False where the noise is larger than the difference. */
  readonly isTold: boolean;
}

/** Ours to theirs, round by round. Two rounds at least: one has no spread. */
export function ratioOf(ours: readonly number[], theirs: readonly number[]): Ratio {
  const ratios = ours.map((value, i) => value / (theirs[i] ?? Number.NaN));
  const value = median(ratios);
  const noise = (quantile(ratios, 0.75) - quantile(ratios, 0.25)) / 2;
  const isTold = ratios.length > 1 && Number.isFinite(value) && Math.abs(value - 1) > noise;
  return { value, noise, isTold };
}

/** `0.93 ±0.01`, or what keeps it from being told. */
export function formatRatio({ value, noise, isTold }: Ratio): string {
  if (!Number.isFinite(value)) return '';
  if (isTold) return `${value.toFixed(2)} ±${noise.toFixed(2)}`;
  return `not told (noise ±${noise.toFixed(2)})`;
}
