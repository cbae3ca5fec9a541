// Filter expressions (Consul API, "Filtering"): `==`, `!=`, `in`, `not in`, `contains`, `not contains`,
// `is empty`, `is not empty`, `matches`, `not matches`, joined by `and`, `or`, `not` and parentheses.
// Selectors are checked against a sample of what is filtered, so a misspelt one is refused and does
// not silently match nothing. What is not understood is a Refusal with status 500,
// as Consul 1.8 answers.
import { Refusal } from './routes.ts';

export type Matcher = (entry: unknown) => boolean;

/** Maps of the API: any key may follow them. */
const MAPS = /^(?:Meta|NodeMeta|ServiceMeta|TaggedAddresses|ServiceTaggedAddresses)$/;
const TOKEN =
  /\s*("(?:[^"\\]|\\.)*"|`[^`]*`|==|!=|[()]|-?\d+(?:\.\d+)?|[A-Za-z][\w/]*(?:\.\w+)*(?:\["[^"]*"\])?)/y;

/**
 * Compiles an expression (Consul API, "Filtering") over entries that look like `sample`; '' lets everything pass.
 * Throws a Refusal (500) for what is none.
 */
export function compileFilter(text: string, sample: unknown): Matcher {
  if (text.trim() === '') return () => true;
  const parser = new Parser(tokensOf(text), sample);
  const matcher = parser.either();
  if (parser.next !== undefined) throw unclear(`unexpected ${parser.next}`);
  return matcher;
}

function unclear(why: string): Refusal {
  return new Refusal(500, `Failed to create boolean expression evaluator: ${why}`);
}

function tokensOf(text: string): string[] {
  const tokens: string[] = [];
  const token = new RegExp(TOKEN);
  while (token.lastIndex < text.trimEnd().length) {
    const at = token.lastIndex;
    const found = token.exec(text)?.[1];
    if (found === undefined) throw unclear(`1:${at + 1} (${at}): no match found`);
    tokens.push(found);
  }
  return tokens;
}

class Parser {
  private readonly tokens: readonly string[];
  private readonly sample: unknown;
  private at = 0;

  constructor(tokens: readonly string[], sample: unknown) {
    this.tokens = tokens;
    this.sample = sample;
  }

  get next(): string | undefined {
    return this.tokens[this.at];
  }

  either(): Matcher {
    const parts = [this.both()];
    while (this.skip('or')) parts.push(this.both());
    return (entry) => parts.some((part) => part(entry));
  }

  private both(): Matcher {
    const parts = [this.single()];
    while (this.skip('and')) parts.push(this.single());
    return (entry) => parts.every((part) => part(entry));
  }

  private single(): Matcher {
    if (this.skip('not')) {
      const inner = this.single();
      return (entry) => !inner(entry);
    }
    if (this.skip('(')) {
      const inner = this.either();
      if (!this.skip(')')) throw unclear('a parenthesis is not closed');
      return inner;
    }
    return this.comparison();
  }

  private comparison(): Matcher {
    const left = this.take();
    if (this.skip('==')) return this.equal(left, literal(this.take()));
    if (this.skip('!=')) return negated(this.equal(left, literal(this.take())));
    if (this.skip('is')) {
      const isNegated = this.skip('not');
      if (!this.skip('empty')) throw unclear("expected 'empty'");
      const isEmpty = this.on(
        left,
        ['list', 'map', 'text'],
        'is empty',
        (value) => size(value) === 0,
      );
      return isNegated ? negated(isEmpty) : isEmpty;
    }
    const isNegated = this.skip('not');
    const matcher = this.membership(left);
    return isNegated ? negated(matcher) : matcher;
  }

  private membership(left: string): Matcher {
    if (this.skip('in')) return this.has(this.take(), literal(left));
    if (this.skip('contains')) return this.has(left, literal(this.take()));
    if (!this.skip('matches')) throw unclear(`unexpected ${this.next ?? 'end'} after ${left}`);
    const pattern = compilePattern(literal(this.take()));
    return this.on(left, ['text'], 'matches', (value) => pattern.test(String(value)));
  }

  private equal(selector: string, wanted: string): Matcher {
    const isNumber = kindOf(firstOf(this.sample, selector)) === 'number';
    if (isNumber && !/^-?\d+$/.test(wanted)) {
      throw unclear(`Failed to coerce value "${wanted}" for selector "${selector}"`);
    }
    return this.on(selector, ['text', 'number', 'flag'], '==', (value) => String(value) === wanted);
  }

  private has(selector: string, wanted: string): Matcher {
    return this.on(selector, ['list', 'map', 'text'], 'in', (value) => {
      if (Array.isArray(value)) return value.map(String).includes(wanted);
      if (typeof value === 'string') return value.includes(wanted);
      return typeof value === 'object' && value !== null && Object.hasOwn(value, wanted);
    });
  }

  /** A matcher for what the selector finds; several are found below a list, and one suffices. */
  private on(
    selector: string,
    kinds: readonly Kind[],
    operator: string,
    isTrue: (value: unknown) => boolean,
  ): Matcher {
    const path = pathOf(selector);
    const example = firstOf(this.sample, selector);
    if (example === undefined) throw unclear(`Selector "${selector}" is not valid`);
    if (!kinds.includes(kindOf(example))) {
      throw unclear(`Invalid match operator "${operator}" for selector "${selector}"`);
    }
    return (entry) => valuesAt(entry, path).some((value) => value !== undefined && isTrue(value));
  }

  private skip(word: string): boolean {
    if (this.next?.toLowerCase() !== word) return false;
    this.at += 1;
    return true;
  }

  private take(): string {
    const { next } = this;
    if (next === undefined) throw unclear('the expression ends too early');
    this.at += 1;
    return next;
  }
}

type Kind = 'text' | 'number' | 'flag' | 'list' | 'map';

function kindOf(value: unknown): Kind {
  if (Array.isArray(value)) return 'list';
  if (typeof value === 'number') return 'number';
  if (typeof value === 'boolean') return 'flag';
  return typeof value === 'object' ? 'map' : 'text';
}

function negated(matcher: Matcher): Matcher {
  return (entry) => !matcher(entry);
}

function literal(token: string): string {
  if (token.startsWith('`')) return token.slice(1, -1);
  return token.startsWith('"') ? token.slice(1, -1).replaceAll(/\\(.)/g, '$1') : token;
}

/** Patterns of Consul are Go's; those that JavaScript reads otherwise are rare in filters. */
function compilePattern(text: string): RegExp {
  try {
    return new RegExp(text);
  } catch {
    throw unclear(`${text} is no regular expression`);
  }
}

/** `Service.Meta.version`, or with the last key in brackets: `Service.Meta["my.version"]`. */
function pathOf(selector: string): string[] {
  const [dotted = '', last] = selector.split('["');
  const path = dotted.split('.');
  return last === undefined ? path : [...path, last.slice(0, -2)];
}

/** What a sample has there; the value of a key of a map is a text. */
function firstOf(sample: unknown, selector: string): unknown {
  const path = pathOf(selector);
  const map = path.findIndex((key) => MAPS.test(key));
  if (map < 0 || map === path.length - 1) return valuesAt(sample, path)[0];
  return valuesAt(sample, path.slice(0, map + 1))[0] === undefined ? undefined : '';
}

function valuesAt(entry: unknown, path: readonly string[]): unknown[] {
  let values: unknown[] = [entry];
  for (const key of path) {
    values = values
      .flatMap((value) => (Array.isArray(value) ? value : [value]))
      .map((value) => (isObject(value) && Object.hasOwn(value, key) ? value[key] : undefined));
  }
  return values;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function size(value: unknown): number {
  if (typeof value === 'string' || Array.isArray(value)) return value.length;
  return value === null ? 0 : Object.keys(Object(value)).length;
}
