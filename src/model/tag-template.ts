// The template of -tags: text with {{ }} around expressions of Go's text/template, over what the engine
// says of a container. What registrars' users write is known here: fields, literals, pipes, parentheses
// and Registrator's functions; `if`, `range` and httpGet are not. Pure.
import { CodedError } from '../base/coded-error.ts';

type Value = unknown;
type Eval = (root: Value) => Value;

/** Makes the tags of a container, of its inspection as JSON. */
export type TagTemplate = (inspection: unknown) => string;

/** Throws CodedError 'bad-template', which says what is not known. */
export function parseTagTemplate(text: string): TagTemplate {
  const parts: (string | Eval)[] = [];
  // Braces within a text end nothing.
  const pattern = /\{\{-?((?:"(?:[^"\\]|\\.)*"|`[^`]*`|[^}"`]|\}(?!\}))*?)-?\}\}/g;
  let end = 0;
  for (const match of text.matchAll(pattern)) {
    parts.push(text.slice(end, match.index), new Parser(match[1]!).parse());
    end = match.index + match[0].length;
  }
  parts.push(text.slice(end));
  return (inspection) =>
    parts.map((part) => (typeof part === 'string' ? part : shown(part(inspection)))).join('');
}

const FUNCTIONS: Readonly<Record<string, (...args: readonly Value[]) => Value>> = {
  strSlice: (text, from, to) =>
    textOf(text).slice(numberOf(from), to === undefined ? undefined : numberOf(to)),
  sIndex: (i, list) => at(listOf(list), numberOf(i)),
  mIndex: (key, map) => fieldOf(map, textOf(key)) ?? '',
  toUpper: (text) => textOf(text).toUpperCase(),
  toLower: (text) => textOf(text).toLowerCase(),
  replace: (count, old, by, text) =>
    replaced(textOf(text), textOf(old), textOf(by), numberOf(count)),
  join: (separator, list) => listOf(list).map(shown).join(textOf(separator)),
  split: (separator, text) => textOf(text).split(textOf(separator)),
  splitIndex: (i, separator, text) => at(textOf(text).split(textOf(separator)), numberOf(i)),
  matchFirstElement: (pattern, list) => matching(pattern, list)[0] ?? '',
  matchAllElements: matching,
  jsonParse: (text, path) => shown(fieldAt(parsed(textOf(text)), textOf(path).split('::'))),
  index: (map, ...keys) => keys.reduce<Value>((from, key) => fieldOf(from, shown(key)), map),
  printf: (format, ...args) =>
    args.reduce<string>((text, one) => text.replace(/%[svdq]/, () => shown(one)), textOf(format)),
  len: (value) => (Array.isArray(value) ? value.length : textOf(value).length),
};

class Parser {
  private readonly tokens: readonly string[];
  private next = 0;

  constructor(source: string) {
    const pattern = /"(?:[^"\\]|\\.)*"|`[^`]*`|-?\d+|[()|]|\.[\w.]*|\w+|\S/g;
    this.tokens = source.match(pattern) ?? [];
  }

  parse(): Eval {
    const value = this.pipeline();
    if (this.next < this.tokens.length) throw unknown(this.tokens[this.next]!);
    return value;
  }

  /** `a b | c d`: what is left of a bar is the last argument of what is right of it. */
  private pipeline(): Eval {
    let value = this.command(null);
    while (this.tokens[this.next] === '|') {
      this.next += 1;
      value = this.command(value);
    }
    return value;
  }

  private command(piped: Eval | null): Eval {
    const token = this.tokens[this.next] ?? '';
    if (/^[A-Za-z_]\w*$/.test(token)) {
      const call = Object.hasOwn(FUNCTIONS, token) ? FUNCTIONS[token]! : null;
      if (call === null) throw unknown(token);
      this.next += 1;
      const args: Eval[] = [];
      while (this.next < this.tokens.length && !/^[|)]$/.test(this.tokens[this.next]!)) {
        args.push(this.operand());
      }
      const all = piped === null ? args : [...args, piped];
      return (root) => call(...all.map((one) => one(root)));
    }
    if (piped !== null) throw unknown(token);
    return this.operand();
  }

  private operand(): Eval {
    const token = this.tokens[this.next] ?? '';
    this.next += 1;
    if (token === '(') {
      const inner = this.pipeline();
      if (this.tokens[this.next] !== ')') throw unknown('(');
      this.next += 1;
      return inner;
    }
    if (token.startsWith('.')) {
      const path = token.split('.').filter((part) => part !== '');
      return (root) => fieldAt(root, path);
    }
    if (token.startsWith('"')) return constant(unquoted(token));
    if (token.startsWith('`') && token.length > 1) return constant(token.slice(1, -1));
    if (/^-?\d+$/.test(token)) return constant(Number(token));
    throw unknown(token);
  }
}

function unknown(token: string): CodedError {
  const known = Object.keys(FUNCTIONS).join(', ');
  const what = token === '' ? 'the end' : `'${token}'`;
  const message = `-tags: ${what} is not known in a template: expected a field such as .Config.Hostname, a text, or one of ${known}`;
  return new CodedError('bad-template', message);
}

function constant(value: Value): Eval {
  return () => value;
}

function unquoted(token: string): string {
  try {
    return textOf(JSON.parse(token));
  } catch {
    throw unknown(token);
  }
}

function fieldAt(root: Value, path: readonly string[]): Value {
  return path.reduce<Value>(fieldOf, root);
}

/** Fields are called as in the engine's JSON; Go's own names differ in case (ID, Id). */
function fieldOf(from: Value, name: string): Value {
  if (typeof from !== 'object' || from === null) return undefined;
  if (Object.hasOwn(from, name)) return (from as Record<string, Value>)[name];
  const key = Object.keys(from).find((one) => one.toLowerCase() === name.toLowerCase());
  return key === undefined ? undefined : (from as Record<string, Value>)[key];
}

/** Beyond either end it is the element there, as Registrator has it. */
function at(list: readonly Value[], i: number): Value {
  const index = i < 0 ? Math.max(0, list.length + i) : Math.min(i, list.length - 1);
  return list[index] ?? '';
}

function matching(pattern: Value, list: Value): string[] {
  const expression = new RegExp(textOf(pattern));
  return listOf(list)
    .map(shown)
    .filter((one) => expression.test(one));
}

function replaced(text: string, old: string, by: string, count: number): string {
  if (count < 0) return text.replaceAll(old, () => by);
  let left = text;
  let done = '';
  for (let i = 0; i < count && left.includes(old); i += 1) {
    const from = left.indexOf(old);
    done += left.slice(0, from) + by;
    left = left.slice(from + old.length);
  }
  return done + left;
}

function parsed(text: string): Value {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function shown(value: Value): string {
  if (value === undefined || value === null) return '';
  if (Array.isArray(value)) return `[${value.map(shown).join(' ')}]`;
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}

function textOf(value: Value): string {
  return typeof value === 'string' ? value : shown(value);
}

function numberOf(value: Value): number {
  return typeof value === 'number' ? value : 0;
}

function listOf(value: Value): readonly Value[] {
  return Array.isArray(value) ? value : [];
}
