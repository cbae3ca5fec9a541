// Latency histogram: log-linear buckets, four to an octave of microseconds, so that a quantile is
// off by at most an eighth, and the bucket of a value is found with integer operations alone.

/** 2^27 us are 134 s; what is longer lands in the last bucket. */
const OCTAVES = 28;
export const BUCKETS = OCTAVES * 4;

/** The bucket of a duration in microseconds. */
export function bucketOf(us: number): number {
  const whole = us < 1 ? 1 : us > 0x0fff_ffff ? 0x0fff_ffff : us | 0;
  const octave = 31 - Math.clz32(whole);
  const quarter = octave >= 2 ? (whole >>> (octave - 2)) & 3 : (whole << (2 - octave)) & 3;
  return octave * 4 + quarter;
}

/** The smallest duration (us) that no longer falls into `bucket`. */
export function upperBoundUs(bucket: number): number {
  const octave = bucket >>> 2;
  const quarter = bucket & 3;
  return 2 ** octave * (1 + (quarter + 1) / 4);
}

/**
 * The q-quantile (0-1) in milliseconds of counts per bucket, interpolated within the bucket;
 * 0 where there are no counts.
 */
export function quantileMs(counts: ArrayLike<number>, q: number): number {
  let total = 0;
  for (let i = 0; i < counts.length; i += 1) total += counts[i]!;
  if (total === 0) return 0;
  const rank = q * total;
  let below = 0;
  for (let i = 0; i < counts.length; i += 1) {
    const count = counts[i]!;
    if (count > 0 && below + count >= rank) {
      const lower = i === 0 ? 0 : upperBoundUs(i - 1);
      const share = (rank - below) / count;
      return (lower + share * (upperBoundUs(i) - lower)) / 1000;
    }
    below += count;
  }
  return upperBoundUs(counts.length - 1) / 1000;
}
