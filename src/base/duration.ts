const UNIT_MS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/**
 * Reads a duration such as `500ms`, `10s`, `1m30s`, `2h` or `0` into milliseconds.
 * Returns null where the text isn't one: no unit, a sign, an unknown unit, nothing at all.
 */
export function parseDuration(text: string): number | null {
  const part = /(\d+(?:\.\d+)?)(ms|s|m|h|d)/y;
  let totalMs = 0;
  // Nothing is nothing in any unit.
  if (text === '0') return 0;
  while (part.lastIndex < text.length) {
    const match = part.exec(text);
    if (match === null) return null;
    totalMs += Number(match[1]) * UNIT_MS[match[2]!]!;
  }
  return text.length > 0 && Number.isSafeInteger(Math.round(totalMs)) ? totalMs : null;
}

/** Writes milliseconds the short way: 500ms, 10s, 1m30s. */
export function formatDuration(ms: number): string {
  if (ms === 0) return '0s';
  let rest = Math.round(ms);
  let text = '';
  for (const unit of ['d', 'h', 'm', 's', 'ms']) {
    const size = UNIT_MS[unit]!;
    const count = Math.floor(rest / size);
    if (count > 0) text += `${count}${unit}`;
    rest -= count * size;
  }
  return text;
}
