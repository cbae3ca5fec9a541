// Reads a YAML text into plain data, and finds the place of any key in it again, so that a problem
// can be told with its line and column.
import {
  isMap,
  isPair,
  isScalar,
  LineCounter,
  type Node,
  parseDocument,
  type Scalar,
  visit,
} from 'yaml';
import { messageOf } from '../base/coded-error.ts';
import type { Problem } from './problem.ts';

export interface YamlText {
  readonly data: unknown;
  /** `file:line:column` of the value at `path`; of the key itself for `isKey`. */
  where(path: readonly PropertyKey[], isKey: boolean): string;
}

/**
 * Parses `text`; `name` is what places are called by. Variables come from `env`: one that is not set
 * is a problem, and nothing in the data. Without data (`yaml` is null) there is a problem.
 */
export function readYaml(
  text: string,
  name: string,
  env: Readonly<Record<string, string | undefined>>,
): { readonly yaml: YamlText | null; readonly problems: readonly Problem[] } {
  const lines = new LineCounter();
  const document = parseDocument(text, {
    lineCounter: lines,
    prettyErrors: false,
    uniqueKeys: true,
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
  const unset: Problem[] = [];
  visit(document, {
    Scalar: (_, node) => {
      const problem = interpolate(node, env);
      if (problem !== '')
        unset.push({ where: at(node.range?.[0] ?? 0), key: '', message: problem });
    },
  });
  visit(document, {
    Alias: (_, node) => {
      if (node.resolve(document) !== undefined) return;
      const message = `the anchor ${node.source} is not known`;
      problems.push({ where: at(node.range?.[0] ?? 0), key: '', message });
    },
  });
  const where = (path: readonly PropertyKey[], isKey: boolean): string => {
    for (let length = path.length; length >= 0; length -= 1) {
      const node = nodeAt(
        document.contents,
        path.slice(0, length),
        isKey && length === path.length,
      );
      if (node?.range) return at(node.range[0]);
    }
    return name;
  };
  if (problems.length > 0) return { yaml: null, problems };
  try {
    return { yaml: { data: document.toJS(), where }, problems: unset };
  } catch (error) {
    // Aliases of aliases that stand for more than memory holds.
    const message = messageOf(error);
    return { yaml: null, problems: [...unset, { where: `${name}:1:1`, key: '', message }] };
  }
}

/** `${VAR}`, `${VAR:-default}`, `${VAR:?message}`, `$$`; returns what is wrong, or ''. */
function interpolate(node: Scalar, env: Readonly<Record<string, string | undefined>>): string {
  if (typeof node.value !== 'string' || !node.value.includes('$')) return '';
  let problem = '';
  const pattern = /\$(?:\$|\{([A-Za-z_][A-Za-z0-9_]*)(?::([-?])([^}]*))?\}|\{)/g;
  node.value = node.value.replace(
    pattern,
    (
      whole,
      variable: string | undefined,
      operator: string | undefined,
      rest: string | undefined,
    ) => {
      if (whole === '$$') return '$';
      if (variable === undefined) {
        problem = `expected \${NAME}, \${NAME:-default} or \${NAME:?message} at '${whole}'; for a dollar sign write $$`;
        return '';
      }
      const value = env[variable];
      if (value !== undefined && value !== '') return value;
      if (operator === '-') return rest ?? '';
      problem = `the variable ${variable} is not set${operator === '?' ? `: ${rest}` : ''}`;
      return '';
    },
  );
  return problem;
}

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
