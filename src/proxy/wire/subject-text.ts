/**
 * The subject of a certificate as one line for a header field: `CN=alice,O=Example`, the most specific
 * part first (RFC 4514). `lines` is Node's text, a line for each part, in which separators within a
 * value are escaped already; what does not belong into a field is escaped here as well.
 */
export function subjectText(lines: string): string {
  const parts = lines.split('\n').filter((line) => line !== '');
  return parts.reverse().map(escaped).join(',');
}

function escaped(part: string): string {
  if (/^[\x20-\x7e]*$/.test(part)) return part;
  let text = '';
  for (const byte of Buffer.from(part)) {
    const isPlain = byte >= 0x20 && byte <= 0x7e;
    text += isPlain ? String.fromCharCode(byte) : `\\${byte.toString(16).padStart(2, '0')}`;
  }
  return text;
}
