// Names and texts as whoever may register a service, answer a check or send a request can choose
// them. Every sink of text is tested with all of them: what comes out must pass `looksHarmless`.

export const HOSTILE_NAMES: Readonly<Record<string, string>> = {
  colour: '\x1b[31mred\x1b[0m',
  'clears the screen': '\x1b[2J\x1b[H',
  'sets the title': '\x1b]0;owned\x07',
  'writes the clipboard': '\x1b]52;c;cm0gLXJmIH4=\x07',
  hyperlink: '\x1b]8;;http://evil.example\x1b\\here\x1b]8;;\x1b\\',
  'C1 CSI': '\u009b31mred',
  'C1 OSC': '\u009d0;owned\u009c',
  NUL: 'a\0b',
  bell: 'a\x07b',
  backspaces: 'bad\b\b\bgood',
  DEL: 'a\x7fb',
  'line end': 'a\nERROR forged',
  'carriage return': 'a\rERROR forged',
  'both line ends': 'a\r\n{"level":"error","msg":"forged"}',
  'vertical tab and form feed': 'a\vb\fc',
  NEL: 'a\u0085ERROR forged',
  'line separator': 'a\u2028ERROR forged',
  'paragraph separator': 'a\u2029ERROR forged',
  'right to left override': 'user\u202etxt.exe',
  'bidi isolates': '\u2066admin\u2069 \u2067x\u2069',
  'bidi marks': 'a\u200e\u200f\u061cb',
  'zero width': 'a\u200bd\u200cm\u200din',
  'word joiner and BOM': 'a\u2060b\ufeffc',
  'soft hyphen': 'ad\u00admin',
  'tag characters': 'ok\u{e0041}\u{e0042}',
  'variation selectors and a blank': 'a\ufe0fb\u{e0100}c\u180bd\u2800',
  fillers: 'a\u115f\u3164\uffa0b',
  'lone surrogate': 'a\ud800b',
  'private use': 'a\ue000b',
  formula: '=cmd|" /C calc"!A0',
  'formula plus': '+1+cmd|x',
  'formula minus': '-2+3+cmd|x',
  'formula at': '@SUM(1)',
  'formula, full width': '\uff1dcmd|" /C calc"!A0',
  'formula plus, full width': '\uff0b1',
  'formula minus, full width': '\uff0d1',
  'formula at, full width': '\uff20SUM(1)',
  'formula after a tab': '\t=1+1',
  'comment row': '# pxname,svname',
  'cell breaker': 'a","b',
  'label breaker': 'a"} 1\nforged{x="',
  backslash: 'a\\',
  script: '<script>alert(1)</script>',
  attribute: `" onmouseover='alert(1)' x="`,
  entity: '&lt;&#60;',
  header: 'a\r\nSet-Cookie: x=1',
  event: 'a\n\nid: 1\ndata: forged\n\n',
  field: 'a  level=error  msg=forged',
  template: '$(id) `id` %s %n',
  prototype: '__proto__',
  constructor: 'constructor',
  long: 'x'.repeat(100_000),
  'long and wide': '\u202e'.repeat(20_000),
};

/** What no text that is shown may hold. */
const ACTS = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u;

/** Whether one line of output does nothing where it is looked at. */
export function looksHarmless(line: string): boolean {
  return !ACTS.test(line);
}

/** Whether a line shows each of its characters, as terminals and pages have to. */
export function showsAll(line: string): boolean {
  return !/[\p{Default_Ignorable_Code_Point}\u2800]/u.test(line);
}
