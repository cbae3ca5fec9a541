// Looks into a schema: which keys it knows at a path, and a tree with all its defaults. zod's own
// structure is read through `def`: wrappers hold an innerType, maps of names a valueType, lists an
// element; what reads units is a pipe or a union, whose inside is no concern of ours.
import { isTree, type Tree } from './tree.ts';

interface Node {
  readonly shape?: Readonly<Record<PropertyKey, Node>>;
  readonly def?: {
    readonly type: string;
    readonly innerType?: Node;
    readonly valueType?: Node;
    readonly element?: Node;
    /** Of a pipe: what its first part makes is read by `out`. */
    readonly out?: Node;
    readonly options?: readonly Node[];
    readonly defaultValue?: unknown;
  };
}

/** The keys that the schema `root` knows at this path; none where it is no map of known keys. */
export function knownKeys(path: readonly PropertyKey[], root: unknown): string[] {
  // Every zod schema has this shape.
  let node: Node | undefined = root as Node;
  for (const key of path) node = step(node, key);
  return Object.keys(inside(node)?.shape ?? alone(node)?.shape ?? {});
}

/** Dotted paths, from `path` on, of the keys of that name further below; the nearest first. */
export function keysBelow(path: readonly PropertyKey[], name: string, root: unknown): string[] {
  const found: string[] = [];
  const look = (at: readonly PropertyKey[], below: readonly string[]): void => {
    for (const key of knownKeys(at, root)) {
      if (key === name && below.length > 0) found.push([...below, key].join('.'));
      else look([...at, key], [...below, key]);
    }
  };
  look(path, []);
  return found.sort((a, b) => a.split('.').length - b.split('.').length);
}

/** `value` with maps and lists in place of nothing: `services:` alone says that there are none. */
export function fillEmpty(root: unknown, value: unknown): unknown {
  return walk(root as Node, value, (node, found) => {
    if (found !== null) return found;
    const type = unwrap(node)?.def?.type;
    return type === 'array' ? [] : type === 'object' || type === 'record' ? {} : found;
  });
}

/** `value` with every default written out, as people write it: units are not read. */
export function fillDefaults(root: unknown, value: unknown): unknown {
  return walk(root as Node, value, (node, found) =>
    found === undefined ? defaultOf(node) : found,
  );
}

function walk(
  node: Node | undefined,
  value: unknown,
  change: (node: Node, value: unknown) => unknown,
): unknown {
  if (node === undefined) return value;
  const changed = change(node, value);
  const { shape, def } = inside(node) ?? {};
  // A list of one, written without the list.
  if (isTree(changed) && shape === undefined && def?.element !== undefined) {
    return walk(def.element, changed, change);
  }
  if (Array.isArray(changed) && def?.element !== undefined) {
    return changed.map((item) => walk(def.element, item, change));
  }
  if (!isTree(changed) || (shape === undefined && def?.valueType === undefined)) return changed;
  const known = Object.entries(shape ?? {}).map(([key, child]) => [
    key,
    walk(child, Object.hasOwn(changed, key) ? changed[key] : undefined, change),
  ]);
  const others = Object.entries(changed)
    .filter(([key]) => shape === undefined || !Object.hasOwn(shape, key))
    .map(([key, child]) => [key, walk(def?.valueType, child, change)]);
  const filled: Tree = Object.fromEntries(
    [...known, ...others].filter(([, child]) => child !== undefined),
  );
  return filled;
}

function defaultOf(node: Node): unknown {
  for (let current: Node | undefined = node; current !== undefined; ) {
    const { def }: Node = current;
    if (def !== undefined && 'defaultValue' in def) return def.defaultValue;
    current = def?.innerType;
  }
  return undefined;
}

function unwrap(node: Node | undefined): Node | undefined {
  let current = node;
  while (current?.def?.innerType !== undefined) current = current.def.innerType;
  return current;
}

/** As `unwrap`; of what may be written in several ways, the map, or the list that all are read as. */
function inside(node: Node | undefined): Node | undefined {
  const plain = unwrap(node);
  const { out, options } = plain?.def ?? {};
  if (out?.def?.type === 'array') return out;
  return options?.find((option) => unwrap(option)?.shape !== undefined) ?? plain;
}

/** The map that may stand in place of a list of them; none where nothing but the list may. */
function alone(node: Node | undefined): Node | undefined {
  const { out } = unwrap(node)?.def ?? {};
  return out?.def?.type === 'array' ? inside(out.def.element) : undefined;
}

function step(node: Node | undefined, key: PropertyKey): Node | undefined {
  if (typeof key === 'string') {
    const single = alone(node)?.shape?.[key];
    if (single !== undefined) return single;
  }
  const { shape, def } = inside(node) ?? {};
  return shape?.[key] ?? def?.valueType ?? def?.element;
}
