const UNIT_BYTES: Readonly<Record<string, number>> = {
  B: 1,
  kB: 1000,
  KiB: 1024,
  MB: 1_000_000,
  MiB: 1024 ** 2,
  GB: 1_000_000_000,
  GiB: 1024 ** 3,
};

/** Reads a size such as `512`, `32KiB` or `2MB` into bytes; null where the text isn't one. */
export function parseBytes(text: string): number | null {
  const match = /^(\d+(?:\.\d+)?)(B|kB|KiB|MB|MiB|GB|GiB)?$/.exec(text);
  if (match === null) return null;
  const bytes = Number(match[1]) * UNIT_BYTES[match[2] ?? 'B']!;
  return Number.isSafeInteger(bytes) ? bytes : null;
}

/** Writes bytes with the largest binary unit that divides them: 32768 is 32KiB, 1000 is 1000. */
export function formatBytes(bytes: number): string {
  for (const unit of ['GiB', 'MiB', 'KiB']) {
    const size = UNIT_BYTES[unit]!;
    if (bytes >= size && bytes % size === 0) return `${bytes / size}${unit}`;
  }
  return String(bytes);
}
