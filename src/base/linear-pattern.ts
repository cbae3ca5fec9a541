// Regular expressions whose matching takes time in proportion to the bytes, whatever the pattern:
// those of JavaScript backtrack, and an endpoint's answer could keep the thread busy for hours. It is
// Thompson's construction: a set of states steps over each byte once. Patterns are about bytes.
// Known: | () (?:) [] [^] . ^ $ * + ? {n} {n,} {n,m}, \d \w \s and their opposites, \r \n \t \0 \xHH.
// Unknown, and refused: back references, look-around, \b. Groups capture nothing.
import { CodedError } from './coded-error.ts';

/** Characters of a pattern. */
const LENGTH_MAX = 512;
/** Steps of the program; counted repetitions are written out. */
const STEPS_MAX = 2000;

type Node =
  | { readonly kind: 'set'; readonly set: Uint8Array }
  | { readonly kind: 'all' | 'any'; readonly parts: readonly Node[] }
  | { readonly kind: 'repeat'; readonly part: Node; readonly min: number; readonly max: number }
  | { readonly kind: 'begin' | 'end' };

type Step =
  | { readonly op: 'set'; readonly set: Uint8Array }
  | { readonly op: 'fork'; one: number; other: number }
  | { readonly op: 'begin' | 'end' | 'match' };

export class LinearPattern {
  private readonly steps: readonly Step[];

  /** Throws CodedError `bad-pattern`, which says what is wrong. */
  constructor(source: string, ignoreCase = false) {
    if (source.length > LENGTH_MAX) throw bad(`longer than ${LENGTH_MAX} characters`);
    const steps: Step[] = [];
    emit(new Parser(source, ignoreCase).parse(), steps);
    steps.push({ op: 'match' });
    this.steps = steps;
  }

  /** Looks for the pattern anywhere in what it is given. */
  search(): PatternSearch {
    return new PatternSearch(this.steps);
  }
}

/** One search over bytes that come in pieces. */
class PatternSearch {
  /** Whether the pattern was found in what was given so far. */
  isFound = false;
  private readonly steps: readonly Step[];
  private readonly marks: Uint32Array;
  private generation = 0;
  private current: number[] = [];
  private next: number[] = [];
  private isAtBegin = true;

  constructor(steps: readonly Step[]) {
    this.steps = steps;
    this.marks = new Uint32Array(steps.length);
    this.generation = 1;
    this.add(this.current, 0, false);
  }

  /** More bytes; returns isFound. */
  push(bytes: Uint8Array): boolean {
    for (let i = 0; i < bytes.length && !this.isFound; i += 1) this.step(bytes[i]!);
    return this.isFound;
  }

  /** No more bytes come; returns isFound. */
  end(): boolean {
    const states = this.current;
    this.generation += 1;
    for (const at of states) this.add([], at, true);
    return this.isFound;
  }

  private step(byte: number): void {
    const { steps, current, next } = this;
    this.generation += 1;
    this.isAtBegin = false;
    next.length = 0;
    for (const at of current) {
      const step = steps[at]!;
      if (step.op === 'set' && step.set[byte] === 1) this.add(next, at + 1, false);
    }
    // It may begin at any byte.
    this.add(next, 0, false);
    this.current = next;
    this.next = current;
  }

  /** Adds a state, and those that it leads to without a byte. */
  private add(states: number[], from: number, isAtEnd: boolean): void {
    const { steps, marks, generation } = this;
    const stack = [from];
    for (let at = stack.pop(); at !== undefined; at = stack.pop()) {
      if (marks[at] === generation) continue;
      marks[at] = generation;
      const step = steps[at]!;
      if (step.op === 'match') this.isFound = true;
      else if (step.op === 'fork') stack.push(step.other, step.one);
      else if (step.op === 'begin') {
        if (this.isAtBegin) stack.push(at + 1);
      } else if (step.op === 'end' && isAtEnd) stack.push(at + 1);
      else states.push(at);
    }
  }
}

function emit(node: Node, steps: Step[]): void {
  if (steps.length > STEPS_MAX) throw bad('too many repetitions');
  switch (node.kind) {
    case 'set':
      steps.push({ op: 'set', set: node.set });
      return;
    case 'begin':
    case 'end':
      steps.push({ op: node.kind });
      return;
    case 'all':
      for (const part of node.parts) emit(part, steps);
      return;
    case 'any':
      emitAny(node.parts, steps);
      return;
    case 'repeat':
      emitRepeat(node, steps);
  }
}

/** fork A, (next fork); each ends in a jump to the end, which is a fork with one way. */
function emitAny(parts: readonly Node[], steps: Step[]): void {
  const jumps: { one: number; other: number }[] = [];
  for (const [i, part] of parts.entries()) {
    const isLast = i === parts.length - 1;
    const fork = { op: 'fork' as const, one: steps.length + 1, other: 0 };
    if (!isLast) steps.push(fork);
    emit(part, steps);
    if (isLast) break;
    const jump = { op: 'fork' as const, one: 0, other: 0 };
    steps.push(jump);
    jumps.push(jump);
    fork.other = steps.length;
  }
  for (const jump of jumps) {
    jump.one = steps.length;
    jump.other = steps.length;
  }
}

function emitRepeat({ part, min, max }: Extract<Node, { kind: 'repeat' }>, steps: Step[]): void {
  for (let i = 0; i < min; i += 1) {
    const before = steps.length;
    emit(part, steps);
    // What is empty is so however often it is repeated.
    if (steps.length === before) break;
  }
  if (max === Number.POSITIVE_INFINITY) {
    const from = steps.length;
    const fork = { op: 'fork' as const, one: from + 1, other: 0 };
    steps.push(fork);
    emit(part, steps);
    steps.push({ op: 'fork', one: from, other: from });
    fork.other = steps.length;
    return;
  }
  const forks = [];
  for (let i = min; i < max; i += 1) {
    const fork = { op: 'fork' as const, one: steps.length + 1, other: 0 };
    steps.push(fork);
    forks.push(fork);
    emit(part, steps);
  }
  for (const fork of forks) fork.other = steps.length;
}

const DIGITS = setOf((byte) => byte >= 0x30 && byte <= 0x39);
const WORD = setOf((byte) => /\w/.test(String.fromCharCode(byte)) && byte < 0x80);
const SPACE = setOf((byte) => [0x20, 0x09, 0x0a, 0x0b, 0x0c, 0x0d].includes(byte));
const CLASSES: Readonly<Record<string, Uint8Array>> = {
  d: DIGITS,
  D: inverted(DIGITS),
  w: WORD,
  W: inverted(WORD),
  s: SPACE,
  S: inverted(SPACE),
};
const CONTROLS: Readonly<Record<string, number>> = { n: 10, r: 13, t: 9, f: 12, v: 11, '0': 0 };

class Parser {
  private readonly source: string;
  private readonly ignoreCase: boolean;
  private at = 0;

  constructor(source: string, ignoreCase: boolean) {
    this.source = source;
    this.ignoreCase = ignoreCase;
  }

  parse(): Node {
    const node = this.alternatives();
    if (this.at < this.source.length) throw bad(`')' without '(' at ${this.at}`);
    return node;
  }

  private alternatives(): Node {
    const parts = [this.sequence()];
    while (this.take('|')) parts.push(this.sequence());
    return parts.length === 1 ? parts[0]! : { kind: 'any', parts };
  }

  private sequence(): Node {
    const parts: Node[] = [];
    while (this.at < this.source.length && !'|)'.includes(this.source[this.at]!)) {
      parts.push(this.repeated(this.atom()));
    }
    return { kind: 'all', parts };
  }

  private repeated(part: Node): Node {
    const text = /^(?:[*+?]|\{(\d{1,3})(,(\d{1,3})?)?\})\??/.exec(this.source.slice(this.at));
    if (text === null) return part;
    if (part.kind === 'begin' || part.kind === 'end') throw bad(`nothing to repeat at ${this.at}`);
    this.at += text[0].length;
    if (/^[*+?{]/.test(this.source.slice(this.at))) throw bad(`nothing to repeat at ${this.at}`);
    const infinite = Number.POSITIVE_INFINITY;
    if (text[0][0] === '*') return { kind: 'repeat', part, min: 0, max: infinite };
    if (text[0][0] === '+') return { kind: 'repeat', part, min: 1, max: infinite };
    if (text[0][0] === '?') return { kind: 'repeat', part, min: 0, max: 1 };
    const min = Number(text[1]);
    const max = text[2] === undefined ? min : text[3] === undefined ? infinite : Number(text[3]);
    if (max < min) throw bad(`{${min},${max}} ends before it begins`);
    return { kind: 'repeat', part, min, max };
  }

  private atom(): Node {
    const char = this.source[this.at]!;
    this.at += 1;
    switch (char) {
      case '(':
        return this.group();
      case '[':
        return { kind: 'set', set: this.bracket() };
      case '.':
        return { kind: 'set', set: setOf((byte) => byte !== 0x0a) };
      case '^':
        return { kind: 'begin' };
      case '$':
        return { kind: 'end' };
      case '\\': {
        const escaped = this.escape();
        return { kind: 'set', set: typeof escaped === 'number' ? this.just(escaped) : escaped };
      }
      case '*':
      case '+':
      case '?':
        throw bad(`nothing to repeat at ${this.at - 1}`);
    }
    return { kind: 'set', set: this.just(byteOf(char)) };
  }

  private group(): Node {
    if (this.take('?') && !this.take(':'))
      throw bad('groups that begin with (? but (?: are not known');
    const node = this.alternatives();
    if (!this.take(')')) throw bad("'(' without ')'");
    return node;
  }

  /** A byte, or a class of them. */
  private escape(): number | Uint8Array {
    const char = this.source[this.at];
    if (char === undefined) throw bad('ends in a backslash');
    this.at += 1;
    const known = CLASSES[char] ?? CONTROLS[char];
    if (known !== undefined) return known;
    if (char === 'x') {
      const hex = this.source.slice(this.at, this.at + 2);
      if (!/^[0-9a-fA-F]{2}$/.test(hex)) throw bad('expected two hexadecimal digits after \\x');
      this.at += 2;
      return Number.parseInt(hex, 16);
    }
    if (/[0-9A-Za-z]/.test(char)) throw bad(`\\${char} is not known`);
    return byteOf(char);
  }

  private bracket(): Uint8Array {
    const isInverted = this.take('^');
    const set = new Uint8Array(256);
    for (let isFirst = true; isFirst || this.source[this.at] !== ']'; isFirst = false) {
      if (this.at >= this.source.length) throw bad("'[' without ']'");
      const from = this.member();
      const isRange =
        this.source[this.at] === '-' && !']'.includes(this.source[this.at + 1] ?? ']');
      if (!isRange || typeof from !== 'number') {
        const members = typeof from === 'number' ? this.just(from) : from;
        for (let i = 0; i < 256; i += 1) set[i]! |= members[i]!;
        continue;
      }
      this.at += 1;
      const to = this.member();
      if (typeof to !== 'number' || to < from) throw bad('a range in [] ends before it begins');
      for (let i = from; i <= to; i += 1) addByte(set, i, this.ignoreCase);
    }
    this.at += 1;
    return isInverted ? inverted(set) : set;
  }

  private member(): number | Uint8Array {
    const char = this.source[this.at]!;
    this.at += 1;
    return char === '\\' ? this.escape() : byteOf(char);
  }

  private just(byte: number): Uint8Array {
    const set = new Uint8Array(256);
    addByte(set, byte, this.ignoreCase);
    return set;
  }

  private take(char: string): boolean {
    if (this.source[this.at] !== char) return false;
    this.at += 1;
    return true;
  }
}

function addByte(set: Uint8Array, byte: number, ignoreCase: boolean): void {
  set[byte] = 1;
  const lower = byte | 0x20;
  if (ignoreCase && lower >= 0x61 && lower <= 0x7a) {
    set[lower] = 1;
    set[lower ^ 0x20] = 1;
  }
}

function byteOf(char: string): number {
  const code = char.charCodeAt(0);
  if (code > 0x7f) throw bad('a character beyond ASCII: expected \\xHH for each of its bytes');
  return code;
}

function setOf(isIn: (byte: number) => boolean): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, byte) => (isIn(byte) ? 1 : 0));
}

function inverted(set: Uint8Array): Uint8Array {
  return set.map((one) => 1 - one);
}

function bad(why: string): CodedError {
  return new CodedError('bad-pattern', why);
}
