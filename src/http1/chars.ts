// Byte classes of HTTP/1.1 (RFC 9110 section 5.5 and 5.6.2, RFC 9112 section 3.2), as tables:
// untrusted bytes are looked up, never matched by regular expressions.

export const CR = 13;
export const LF = 10;
export const SP = 32;
export const HTAB = 9;
export const COLON = 58;
export const COMMA = 44;

function tableOf(entry: (byte: number) => number): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, byte) => entry(byte));
}

const isUpper = (byte: number) => byte >= 65 && byte <= 90;
const isLower = (byte: number) => byte >= 97 && byte <= 122;
const isDigit = (byte: number) => byte >= 48 && byte <= 57;
const TOKEN_MARKS = "!#$%&'*+-.^_`|~";

/** The lower-case byte of a token character; 0 for a byte that may not stand in a token. */
export const TOKEN_LOWER = tableOf((byte) => {
  if (isUpper(byte)) return byte + 32;
  if (isLower(byte) || isDigit(byte)) return byte;
  return TOKEN_MARKS.includes(String.fromCharCode(byte)) && byte < 128 ? byte : 0;
});

/**
 * As TOKEN_LOWER, with `_` as `-`: servers that turn field names into variables can't tell the two
 * apart, so a name is looked up with both taken as one.
 */
export const NAME_HASHED = TOKEN_LOWER.map((lower) => (lower === 95 ? 45 : lower));

/** 1 for bytes of a field value or reason phrase: HTAB, SP, visible ASCII and obs-text. */
export const VALUE = tableOf((byte) => (byte === HTAB || (byte >= SP && byte !== 127) ? 1 : 0));

/** 1 for bytes of a request target: visible ASCII. */
export const TARGET = tableOf((byte) => (byte > SP && byte < 127 ? 1 : 0));

/** 1 for bytes of a reg-name or IPv4 address (RFC 3986 section 3.2.2), percent signs included. */
export const HOST_NAME = tableOf((byte) =>
  isUpper(byte) ||
  isLower(byte) ||
  isDigit(byte) ||
  ("-._~!$&'()*+,;=%".includes(String.fromCharCode(byte)) && byte < 128)
    ? 1
    : 0,
);

/** The value of a hexadecimal digit, or 255. */
export const HEX = tableOf((byte) => {
  if (isDigit(byte)) return byte - 48;
  const lower = byte | 32;
  return lower >= 97 && lower <= 102 ? lower - 87 : 255;
});

/** Whether bytes[start,end) equal the lower-case `text`, ASCII case aside. */
export function equalsLower(bytes: Uint8Array, start: number, end: number, text: string): boolean {
  if (end - start !== text.length) return false;
  for (let i = 0; i < text.length; i += 1) {
    const byte = bytes[start + i]!;
    if ((isUpper(byte) ? byte + 32 : byte) !== text.charCodeAt(i)) return false;
  }
  return true;
}
