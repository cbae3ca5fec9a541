// Reads a YAML text into plain data, and finds the place of any key in it again, so that a problem
// can be told with its line and column.
import {
  isAlias,
  isMap,
  isNode,
  isPair,
  isScalar,
  LineCounter,
  type Node,
  parseDocument,
  type Range,
  visit,
  type YAMLMap,
} from 'yaml';
import { messageOf } from '../base/coded-error.ts';
import { BOUNDS, formatBound } from '../model/bounds.ts';
import { Interpolation, TOO_LONG, type Variables } from './interpolation.ts';
import type { Part, Problem, Where } from './problem.ts';

export interface YamlText {
  readonly data: unknown;
  /** `file:line:column`. */
  readonly where: Where;
}

type Parsed = ReturnType<typeof parseDocument>;

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
  const problemOf = ({ node, message }: Fault): Problem => {
    return { where: at(node.range?.[0] ?? 0), key: '', message };
  };
  const malformed = syntaxProblems(document, at);
  if (malformed.length > 0) return { yaml: null, problems: malformed };
  const { unset, excess } = replaceVariables(document, env);
  const faults = [
    ...excess,
    ...aliasFaults(document),
    ...keyFaults(document),
    ...tagFaults(document),
  ];
  if (faults.length > 0) return { yaml: null, problems: faults.map(problemOf) };
  const data: unknown = document.toJS();
  const tooMuch = excessOf(data);
  if (tooMuch !== '') return refusal(`${name}:1:1`, tooMuch);
  const where: Where = (path, part) => {
    const range = rangeOf(document.contents, path, part);
    return range === null ? name : at(range[0]);
  };
  return { yaml: { data, where }, problems: unset.map(problemOf) };
}

/** What is wrong with a node of the document. */
interface Fault {
  readonly node: Node;
  readonly message: string;
}

/** `at`: the place of an offset, human-readable. */
function syntaxProblems(document: Parsed, at: (offset: number) => string): Problem[] {
  // Warnings are unknown tags: what they would make of a value is not known.
  return [...document.errors, ...document.warnings].map((error) => ({
    where: at(error.pos[0]),
    key: '',
    message:
      error.code === 'MULTIPLE_DOCS' ? 'expected one document; take out the ---' : error.message,
  }));
}

/** Puts variables into all values. `unset`: references that can't be; `excess`: where all are too long. */
function replaceVariables(
  document: Parsed,
  env: Variables | null,
): { readonly unset: Fault[]; readonly excess: Fault[] } {
  const variables = new Interpolation(env);
  const unset: Fault[] = [];
  const excess: Fault[] = [];
  visit(document, {
    Scalar: (_, node) => {
      const message = variables.replaceIn(node);
      if (message === TOO_LONG) {
        excess.push({ node, message });
        return visit.BREAK;
      }
      if (message !== '') unset.push({ node, message });
      return undefined;
    },
  });
  return { unset, excess };
}

/** Aliases of what is not known, and too many of them. */
function aliasFaults(document: Parsed): Fault[] {
  const faults: Fault[] = [];
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
      if (!anchors.has(node.source)) {
        faults.push({ node, message: `the anchor ${node.source} is not known` });
      }
      if (aliases <= BOUNDS.configAliases.max) return;
      faults.push({ node, message: `more than ${formatBound(BOUNDS.configAliases)} aliases` });
      return visit.BREAK;
    },
  });
  return faults;
}

/** Keys that stand twice in a map, or are none. */
function keyFaults(document: Parsed): Fault[] {
  const faults: Fault[] = [];
  visit(document, {
    Map: (_, map) => {
      for (const node of repeatedKeys(map)) {
        faults.push({ node, message: 'Map keys must be unique' });
      }
      for (const { key } of map.items) {
        if (!isScalar(key) && isNode(key)) {
          faults.push({ node: key, message: 'expected a text as key' });
        }
      }
    },
  });
  return faults;
}

const YAML_TAG = 'tag:yaml.org,2002:';
const PLAIN_TAGS = ['map', 'seq', 'str', 'int', 'float', 'bool', 'null'];

/** Tags of YAML 1.1, which make sets, bytes, dates and merged maps of what looks otherwise. */
function tagFaults(document: Parsed): Fault[] {
  const faults: Fault[] = [];
  visit(document, {
    Value: (_, node) => {
      const name = node.tag?.startsWith(YAML_TAG) ? node.tag.slice(YAML_TAG.length) : '';
      if (name === '' || PLAIN_TAGS.includes(name)) return;
      faults.push({ node, message: `the tag !!${name} is not supported` });
    },
  });
  return faults;
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

/** Where the value at `path`, or its key, stands; or what is nearest above it. Null: nothing is. */
function rangeOf(root: Node | null, path: readonly PropertyKey[], part: Part): Range | null {
  for (let length = path.length; length >= 0; length -= 1) {
    const isKey = part === 'key' && length === path.length;
    const node = nodeAt(root, path.slice(0, length), isKey ? 'key' : 'value');
    if (node?.range) return node.range;
  }
  return null;
}

function nodeAt(root: Node | null, path: readonly PropertyKey[], part: Part): Node | null {
  let node: unknown = root;
  for (const [i, key] of path.entries()) {
    if (isMap(node)) {
      const pair = node.items.find(
        (item) => isScalar(item.key) && String(item.key.value) === String(key),
      );
      if (pair === undefined) return null;
      node = part === 'key' && i === path.length - 1 ? pair.key : pair.value;
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
