// Numbers of 64 bits, as etcd's JSON has them.

/**
 * A number of 64 bits: a text, left out where it is 0. Null where
 * it is none.
 */
export function int64Of(value: unknown): bigint | null {
  if (value === undefined) return 0n;
  if (typeof value === 'string' && /^\d{1,20}$/.test(value)) return BigInt(value);
  return Number.isSafeInteger(value) && (value as number) >= 0 ? BigInt(value as number) : null;
}
