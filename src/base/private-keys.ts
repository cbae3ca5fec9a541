// Private keys in a text: blocks of PEM (RFC 7468), whole or in part, as they stand in a file or within
// quotes, where a line end is `\n`.

const MARKER = /-{0,5}(BEGIN|END) [A-Z0-9 ]{0,32}PRIVATE KEY(?: BLOCK)?-{0,5}/g;
/** What every marker has: a text without it is returned as it is. */
const WORDS = 'PRIVATE KEY';
/** What stands between markers: base64, white space, and line ends as quotes have them. */
const BODY = /[A-Za-z0-9+/=\s\\]/;
const [QUOTE, BACKSLASH] = [0x22, 0x5c];

/**
 * The text with asterisks for private keys: from the first line to the last one, to the quote that ends the
 * text, or to the end; and before a last line without a first what can be of a key. A quote is never
 * taken, so that JSON stays JSON.
 */
export function hidePrivateKeys(text: string): string {
  if (!text.includes(WORDS)) return text;
  let hidden = '';
  let done = 0;
  for (const { 0: marker, 1: kind, index } of text.matchAll(MARKER)) {
    if (index < done) continue;
    const isFirst = kind === 'BEGIN';
    const start = isFirst ? index : startOfBody(text, done, index);
    hidden += `${text.slice(done, start)}***`;
    done = isFirst ? endOfKey(text, index + marker.length) : index + marker.length;
  }
  return hidden + text.slice(done);
}

/** Where the key ends whose first line ends at `from`. */
function endOfKey(text: string, from: number): number {
  const last = new RegExp(MARKER.source, 'y');
  for (let i = from; i < text.length; i += 1) {
    const code = text.charCodeAt(i);
    if (code === QUOTE) return i;
    // What is escaped is no quote that ends anything.
    if (code === BACKSLASH) i += 1;
    else if (text[i] === '-' || text[i] === 'E') {
      last.lastIndex = i;
      if (last.exec(text)?.[1] === 'END') return last.lastIndex;
    }
  }
  return text.length;
}

function startOfBody(text: string, from: number, end: number): number {
  let start = end;
  while (start > from && BODY.test(text[start - 1]!)) start -= 1;
  return start;
}

const BLOCK =
  /BEGIN [A-Z0-9 ]{0,32}PRIVATE KEY(?: BLOCK)?-{0,5}([\s\S]*?)(?:END [A-Z0-9 ]{0,32}PRIVATE KEY|$)/g;
/** A line of a block that has no last line: what follows it is no part of the key. */
const LINE = /^[\s"'>|-]{0,200}[A-Za-z0-9+/]*={0,2}["',\\\s]{0,8}$/;
/** As quotes have it, also quotes within quotes. */
const LINE_END = /\\{1,8}[nrt]/g;
/** Lines that an encrypted key has before its body (RFC 1421). */
const HEADER = /^\s*(?:Proc-Type|DEK-Info):/;
/** As long as the shortest last line. */
const TOKEN = /[A-Za-z0-9+/]{4,}/g;

/**
 * The lines of the private keys in a text, without the signs `=` at their end: by them a part of a key is
 * known that stands alone elsewhere.
 */
export function keyLinesOf(text: string): string[] {
  if (!text.includes(WORDS)) return [];
  return [...text.matchAll(BLOCK)].flatMap(([whole, body = '']) => {
    const plain = body.replaceAll(LINE_END, '\n').split('\n');
    const isWhole = whole.endsWith(WORDS);
    const end = plain.findIndex((line, i) => i > 0 && !LINE.test(line) && !HEADER.test(line));
    const lines = isWhole || end < 0 ? plain : plain.slice(0, end);
    return lines.filter((line) => !HEADER.test(line)).flatMap((line) => line.match(TOKEN) ?? []);
  });
}

/** So long is no word, and no line of a key is shorter but the last. */
const RUN = 40;
const PART = /[A-Za-z0-9+/]{4,}={0,2}/g;

/**
 * The text with asterisks for parts of private keys that stand without the first and last line: those
 * `known`, and what looks like a whole line of base64.
 */
export function hideKeyLines(text: string, known: ReadonlySet<string>): string {
  return hidePrivateKeys(text).replaceAll(PART, (part) => {
    const bare = part.replace(/=+$/, '');
    // After `\n` within quotes.
    const isKnown = known.size > 0 && (known.has(bare) || known.has(bare.slice(1)));
    return isKnown || looksLikeBase64(bare) ? '***' : part;
  });
}

/** Letters of both kinds, digits, and not the slashes of a path. */
function looksLikeBase64(text: string): boolean {
  if (text.length < RUN) return false;
  const isMixed = /[a-z]/.test(text) && /[A-Z]/.test(text) && /\d/.test(text);
  return isMixed && text.split('/').length <= 1 + text.length / 8;
}
