// Foreign JSON, looked at before it is used.

export type Fields = Readonly<Record<string, unknown>>;

/** The members of a map; none of anything else. */
export function fieldsOf(value: unknown): Fields {
  const isMap = typeof value === 'object' && value !== null && !Array.isArray(value);
  return isMap ? (value as Fields) : {};
}

export function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

export function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

/**
 * A number of 64 bits: etcd's JSON has it as a string, and leaves it out where it is 0. Null where
 * it is none.
 */
export function int64Of(value: unknown): bigint | null {
  if (value === undefined) return 0n;
  if (typeof value === 'string' && /^\d{1,20}$/.test(value)) return BigInt(value);
  return Number.isSafeInteger(value) && (value as number) >= 0 ? BigInt(value as number) : null;
}
