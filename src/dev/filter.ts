// A useful part of Consul's filter expressions (Consul API, "Filtering"): `==`, `!=`, `in`, `not in`,
// `is empty`, `is not empty` on selectors, joined by `and`, `or`, `not` and parentheses.
import { BadRequest } from './embedded-registry.ts';

type Matcher = (entry: unknown) => boolean;

/** Compiles an expression; throws BadRequest where it is not understood. */
export function compileFilter(text: string): Matcher {
  const tokens = text.match(/"(?:[^"\\]|\\.)*"|`[^`]*`|==|!=|[()]|[^\s()=!]+/g) ?? [];
  const parser = new Parser(tokens, text);
  const matcher = parser.either();
  if (!parser.isDone) throw parser.fault();
  return matcher;
}

class Parser {
  private readonly tokens: readonly string[];
  private readonly text: string;
  private at = 0;

  constructor(tokens: readonly string[], text: string) {
    this.tokens = tokens;
    this.text = text;
  }

  get isDone(): boolean {
    return this.at >= this.tokens.length;
  }

  fault(): BadRequest {
    const near = this.tokens[this.at] ?? 'its end';
    return new BadRequest(
      `Failed to create boolean expression evaluator: '${this.text}' near ${near}`,
    );
  }

  either(): Matcher {
    const parts = [this.both()];
    while (this.skip('or')) parts.push(this.both());
    return parts.length === 1 ? parts[0]! : (entry) => parts.some((part) => part(entry));
  }

  private both(): Matcher {
    const parts = [this.single()];
    while (this.skip('and')) parts.push(this.single());
    return parts.length === 1 ? parts[0]! : (entry) => parts.every((part) => part(entry));
  }

  private single(): Matcher {
    if (this.skip('not')) {
      const inner = this.single();
      return (entry) => !inner(entry);
    }
    if (this.skip('(')) {
      const inner = this.either();
      if (!this.skip(')')) throw this.fault();
      return inner;
    }
    return this.comparison();
  }

  private comparison(): Matcher {
    const left = this.take();
    if (this.skip('is')) {
      const isNegated = this.skip('not');
      if (!this.skip('empty')) throw this.fault();
      return (entry) => isEmpty(select(entry, left)) !== isNegated;
    }
    if (this.skip('==')) return this.equals(left, false);
    if (this.skip('!=')) return this.equals(left, true);
    const isNegated = this.skip('not');
    if (!this.skip('in')) throw this.fault();
    const selector = this.take();
    const wanted = literal(left);
    return (entry) => contains(select(entry, selector), wanted) !== isNegated;
  }

  private equals(selector: string, isNegated: boolean): Matcher {
    const wanted = literal(this.take());
    return (entry) => (String(select(entry, selector) ?? '') === wanted) !== isNegated;
  }

  private skip(token: string): boolean {
    if (this.tokens[this.at]?.toLowerCase() !== token) return false;
    this.at += 1;
    return true;
  }

  private take(): string {
    const token = this.tokens[this.at];
    if (token === undefined) throw this.fault();
    this.at += 1;
    return token;
  }
}

function literal(token: string): string {
  return /^["`].*["`]$/s.test(token) ? token.slice(1, -1) : token;
}

/** `Service.Meta.version` of an entry; Meta keys may be quoted in brackets. */
function select(entry: unknown, selector: string): unknown {
  let value = entry;
  for (const key of selector.replaceAll(/\["?([^\]"]+)"?\]/g, '.$1').split('.')) {
    if (typeof value !== 'object' || value === null) return undefined;
    value = (value as Record<string, unknown>)[key];
  }
  return value;
}

function contains(value: unknown, wanted: string): boolean {
  if (Array.isArray(value)) return value.map(String).includes(wanted);
  if (typeof value === 'object' && value !== null) return Object.hasOwn(value, wanted);
  return typeof value === 'string' && value.includes(wanted);
}

function isEmpty(value: unknown): boolean {
  if (value === undefined || value === null || value === '') return true;
  return typeof value === 'object' && Object.keys(value).length === 0;
}
