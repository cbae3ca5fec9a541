// Configuration as plain nested data, before it is checked: laid over each other from several
// sources, with a memory of where each value came from.

export interface Tree {
  [key: string]: unknown;
}

export function isTree(value: unknown): value is Tree {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * `over` laid over `under`: maps are merged key by key, everything else is replaced. A key with
 * nothing behind it says nothing about a map that is there.
 */
export function overlay(under: Tree, over: Tree): Tree {
  const merged = new Map(Object.entries(under));
  for (const [key, value] of Object.entries(over)) {
    const below = merged.get(key);
    if (!isTree(below)) merged.set(key, value);
    else if (value !== null) merged.set(key, isTree(value) ? overlay(below, value) : value);
  }
  // Not by assignment: `__proto__` is a key like any other.
  return Object.fromEntries(merged);
}

/** Whether a key says something: not where nothing stands there, or '' or false, which mean the same. */
export function isGiven(value: unknown): boolean {
  return value !== undefined && value !== null && value !== '' && value !== false;
}

/** A tree with `value` at the dotted `path`. */
export function treeAt(path: readonly string[], value: unknown): Tree {
  const [first = '', ...rest] = path;
  return { [first]: rest.length === 0 ? value : treeAt(rest, value) };
}

/** Whether the tree has anything at `path`. */
export function hasPath(tree: unknown, path: readonly PropertyKey[]): boolean {
  let value = tree;
  for (const key of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return false;
    value = (value as Record<PropertyKey, unknown>)[key];
  }
  return true;
}

/** The tree without what stands at `path`. */
export function withoutPath(tree: Tree, [first = '', ...rest]: readonly string[]): Tree {
  if (!Object.hasOwn(tree, first)) return tree;
  const { [first]: value, ...others } = tree;
  if (rest.length === 0) return others;
  if (isTree(value)) return { ...tree, [first]: withoutPath(value, rest) };
  if (!Array.isArray(value)) return tree;
  const [index, ...below] = rest;
  const items = value.map((item, i) =>
    String(i) === index && isTree(item) ? withoutPath(item, below) : item,
  );
  return { ...tree, [first]: items };
}
