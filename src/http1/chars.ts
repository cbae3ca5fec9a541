// Byte classes of HTTP/1.1 (RFC 9110 sections 5.5 and 5.6.2, RFC 9112 section 3.2) as tables:
// untrusted bytes are looked up, never matched by regular expressions.

export const CR = 13;
export const LF = 10;
export const SP = 32;
export const HTAB = 9;
export const COMMA = 44;
export const COLON = 58;

function tableOf(entry: (byte: number) => number): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, byte) => entry(byte));
}

const setOf = (marks: string) => (byte: number) =>
  byte < 128 && marks.includes(String.fromCharCode(byte));

const isUpper = (byte: number) => byte >= 65 && byte <= 90;
const isDigitByte = (byte: number) => byte >= 48 && byte <= 57;
const isAlphanumeric = (byte: number) =>
  isUpper(byte) || (byte >= 97 && byte <= 122) || isDigitByte(byte);
const isTokenMark = setOf("!#$%&'*+-.^_`|~");
// The comma, which RFC 3986 allows too, is not among them: it is what two Host fields joined
// into one have between them.
const isHostMark = setOf("-._~!$&'()*+;=%");

/** Each byte with ASCII capitals made small. */
export const LOWER = tableOf((byte) => (isUpper(byte) ? byte + 32 : byte));

/** The lower-case byte of a token character; 0 for a byte that may not stand in a token. */
export const TOKEN_LOWER = tableOf((byte) =>
  isAlphanumeric(byte) || isTokenMark(byte) ? LOWER[byte]! : 0,
);

/**
 * As TOKEN_LOWER, with `_` as `-`: servers that turn field names into variables can't tell the two
 * apart, so a name is looked up with both taken as one.
 */
export const NAME_FOLDED = TOKEN_LOWER.map((lower) => (lower === 95 ? 45 : lower));

/** 1 for bytes of a field value or reason phrase: HTAB, SP, visible ASCII and obs-text. */
export const VALUE = tableOf((byte) => (byte === HTAB || (byte >= SP && byte !== 127) ? 1 : 0));

/**
 * 1 for bytes of a request target: visible ASCII but `#`, for a target has no fragment (RFC 9112
 * section 3.2) and servers differ in whether they cut the path there.
 */
export const TARGET = tableOf((byte) => (byte > SP && byte < 127 && byte !== 35 ? 1 : 0));

/** 1 for bytes of a reg-name or IPv4 address (RFC 3986 section 3.2.2), percent signs included. */
export const HOST_NAME = tableOf((byte) => (isAlphanumeric(byte) || isHostMark(byte) ? 1 : 0));

/** The value of a hexadecimal digit, or 255. */
export const HEX = tableOf((byte) => {
  if (isDigitByte(byte)) return byte - 48;
  const lower = LOWER[byte]!;
  return lower >= 97 && lower <= 102 ? lower - 87 : 255;
});

export function isDigit(byte: number): boolean {
  return byte >= 48 && byte <= 57;
}

/** Whether bytes[start,end) are a token: at least one byte, each a token character. */
export function isToken(bytes: Uint8Array, start: number, end: number): boolean {
  for (let at = start; at < end; at += 1) {
    if (TOKEN_LOWER[bytes[at]!] === 0) return false;
  }
  return end > start;
}

/** Whether bytes[start,end) equal the lower-case `text`, ASCII case aside. */
export function equalsLower(bytes: Uint8Array, start: number, end: number, text: string): boolean {
  if (end - start !== text.length) return false;
  for (let i = 0; i < text.length; i += 1) {
    if (LOWER[bytes[start + i]!] !== text.charCodeAt(i)) return false;
  }
  return true;
}
