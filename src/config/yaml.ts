// Reads a YAML text into plain data, and finds the place of any key in it again, so that a problem
// can be told with its line and column.
import {
  isAlias,
  isMap,
  isPair,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseDocument,
  type Scalar,
  visit,
  type YAMLMap,
} from 'yaml';
import { messageOf } from '../base/coded-error.ts';
import { BOUNDS, formatBound } from '../model/bounds.ts';
import type { Problem } from './problem.ts';

export interface YamlText {
  readonly data: unknown;
  /** `file:line:column` of the value at `path`; of the key itself for `isKey`. */
  where(path: readonly PropertyKey[], isKey: boolean): string;
}

export type Variables = Readonly<Record<string, string | undefined>>;

interface Read {
  readonly yaml: YamlText | null;
  readonly problems: readonly Problem[];
}

/**
 * Parses `text`; `name` is what places are called by. Variables come from `env`: one that is not set
 * is a problem, and nothing in the data. Where `env` is null, every reference is such a problem.
 * Without data (`yaml` is null) there is a problem.
 */
export function readYaml(text: string, name: string, env: Variables | null): Read {
  // The parser takes a time that grows with the square of what is left open.
  if (leavesOpen(text, OPEN_MAX)) return refusal(`${name}:1:1`, tooDeep());
  try {
    return readDocument(text, name, env);
  } catch (error) {
    // The parser recurses: what is nested deeper than its stack ends in a RangeError. Aliases of
    // aliases that stand for more than memory holds end here too.
    const message = error instanceof RangeError ? tooDeep() : messageOf(error);
    return refusal(`${name}:1:1`, message);
  }
}

function readDocument(text: string, name: string, env: Variables | null): Read {
  const lines = new LineCounter();
  const document = parseDocument(text, {
    lineCounter: lines,
    prettyErrors: false,
    // Of itself the library writes to stderr, and quotes what others wrote.
    logLevel: 'error',
    // Looked at below: the parser compares each key with each other.
    uniqueKeys: false,
  });
  const at = (offset: number): string => {
    const { line, col } = lines.linePos(offset);
    return `${name}:${line}:${col}`;
  };
  // Warnings are unknown tags: what they would make of a value is not known.
  const faults = [...document.errors, ...document.warnings];
  const problems: Problem[] = faults.map((error) => ({
    where: at(error.pos[0]),
    key: '',
    message:
      error.code === 'MULTIPLE_DOCS' ? 'expected one document; take out the ---' : error.message,
  }));
  if (problems.length > 0) return { yaml: null, problems };
  const tell = (node: Node, message: string): void => {
    problems.push({ where: at(node.range?.[0] ?? 0), key: '', message });
  };
  const variables = new Interpolation(env);
  const unset: Problem[] = [];
  visit(document, {
    Scalar: (_, node) => {
      const problem = variables.replaceIn(node);
      if (problem === TOO_LONG) {
        tell(node, problem);
        return visit.BREAK;
      }
      if (problem !== '') {
        unset.push({ where: at(node.range?.[0] ?? 0), key: '', message: problem });
      }
      return undefined;
    },
  });
  // An anchor stands before its aliases. Not by `resolve`, which looks through the whole document.
  const anchors = new Set<string>();
  let aliases = 0;
  visit(document, {
    Node: (_, node) => {
      if (!isAlias(node)) {
        if (node.anchor !== undefined) anchors.add(node.anchor);
        return;
      }
      aliases += 1;
      if (!anchors.has(node.source)) tell(node, `the anchor ${node.source} is not known`);
      if (aliases <= BOUNDS.configAliases.max) return;
      tell(node, `more than ${formatBound(BOUNDS.configAliases)} aliases`);
      return visit.BREAK;
    },
  });
  visit(document, {
    Map: (_, map) => {
      for (const key of repeatedKeys(map)) tell(key, 'Map keys must be unique');
      for (const { key } of map.items) {
        if (isMap(key) || isSeq(key)) tell(key, 'expected a text as key');
      }
    },
  });
  if (problems.length > 0) return { yaml: null, problems };
  const data: unknown = document.toJS();
  const excess = excessOf(data);
  if (excess !== '') return refusal(`${name}:1:1`, excess);
  const where = (path: readonly PropertyKey[], isKey: boolean): string => {
    for (let length = path.length; length >= 0; length -= 1) {
      const isThisKey = isKey && length === path.length;
      const node = nodeAt(document.contents, path.slice(0, length), isThisKey);
      if (node?.range) return at(node.range[0]);
    }
    return name;
  };
  return { yaml: { data, where }, problems: unset };
}

/** Keys that stand in the map before, as the data will have them: 1 and "1" are the same. */
function repeatedKeys({ items }: YAMLMap<unknown, unknown>): Node[] {
  const known = new Set<string>();
  return items.flatMap(({ key }) => {
    if (!isScalar(key)) return [];
    const name = String(key.value);
    if (known.has(name)) return [key];
    known.add(name);
    return [];
  });
}

/** So many brackets stand in no text that is meant, also not in quotes. */
const OPEN_MAX = 1000;

/** Whether more brackets are opened than closed, by so many. */
function leavesOpen(text: string, max: number): boolean {
  let open = 0;
  for (const [bracket] of text.matchAll(/[[\]{}]/g)) {
    open += bracket === '[' || bracket === '{' ? 1 : -1;
    if (open > max) return true;
  }
  return false;
}

function refusal(where: string, message: string): Read {
  return { yaml: null, problems: [{ where, key: '', message }] };
}

function tooDeep(): string {
  return `nested deeper than ${formatBound(BOUNDS.configDepth)} levels`;
}

/** What is too much in the data; '' where nothing is. Aliases count as what they stand for. */
function excessOf(data: unknown): string {
  let left: number = BOUNDS.configItems.max;
  // Its own stack: data may be nested deeper than calls may be.
  const open: { value: unknown; depth: number }[] = [{ value: data, depth: 0 }];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const { value, depth } = next;
    left -= 1;
    if (left < 0) return `more than ${formatBound(BOUNDS.configItems)} keys and values`;
    if (typeof value !== 'object' || value === null) continue;
    if (depth >= BOUNDS.configDepth.max) return tooDeep();
    for (const child of Object.values(value)) open.push({ value: child, depth: depth + 1 });
  }
  return '';
}

const TOO_LONG = `variables put in more than ${formatBound(BOUNDS.configVariables)}`;
const NO_VARIABLES = 'a text: environment references are not allowed in the overlay';

/** `${VAR}`, `${VAR:-default}`, `${VAR:?message}`, `$$` in the scalars of one document. */
class Interpolation {
  private readonly env: Variables | null;
  private leftBytes: number = BOUNDS.configVariables.max;

  constructor(env: Variables | null) {
    this.env = env;
  }

  /** Returns what is wrong, or ''. */
  replaceIn(node: Scalar): string {
    if (typeof node.value !== 'string' || !node.value.includes('$')) return '';
    let problem = '';
    const pattern = /\$(?:\$|\{([A-Za-z_][A-Za-z0-9_]*)(?::([-?])([^}]*))?\}|\{)/g;
    node.value = node.value.replace(pattern, (whole, ...[variable, operator, rest]: Parts) => {
      if (whole === '$$') return '$';
      if (variable === undefined) {
        problem = this.env === null ? NO_VARIABLES : malformed(whole);
        return '';
      }
      const found = this.valueOf(variable, operator, rest);
      if (found.problem !== '') problem = found.problem;
      return found.text;
    });
    return problem;
  }

  private valueOf(variable: string, operator = '', rest = ''): { text: string; problem: string } {
    if (this.env === null) return { text: '', problem: NO_VARIABLES };
    const value = Object.hasOwn(this.env, variable) ? this.env[variable] : undefined;
    const text = value !== undefined && value !== '' ? value : operator === '-' ? rest : null;
    if (text === null) {
      const problem = `the variable ${variable} is not set${operator === '?' ? `: ${rest}` : ''}`;
      return { text: '', problem };
    }
    this.leftBytes -= Buffer.byteLength(text);
    return this.leftBytes < 0 ? { text: '', problem: TOO_LONG } : { text, problem: '' };
  }
}

function malformed(text: string): string {
  return `expected \${NAME}, \${NAME:-default} or \${NAME:?message} at '${text}'; for a dollar sign write $$`;
}

/** The groups of the pattern. */
type Parts = [variable: string | undefined, operator: string | undefined, rest: string | undefined];

function nodeAt(root: Node | null, path: readonly PropertyKey[], isKey: boolean): Node | null {
  let node: unknown = root;
  for (const [i, key] of path.entries()) {
    if (isMap(node)) {
      const pair = node.items.find(
        (item) => isScalar(item.key) && String(item.key.value) === String(key),
      );
      if (pair === undefined) return null;
      node = isKey && i === path.length - 1 ? pair.key : pair.value;
    } else if (
      typeof key === 'number' &&
      node !== null &&
      typeof node === 'object' &&
      'items' in node
    ) {
      // A sequence; yaml's own shape.
      node = (node as { items: unknown[] }).items[key];
      if (isPair(node)) node = node.value;
    } else {
      return null;
    }
  }
  return (node as Node | undefined) ?? null;
}
