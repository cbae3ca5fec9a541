// Configuration as plain nested data, before it is checked: laid over each other from several
// sources, with a memory of where each value came from.

export interface Tree {
  [key: string]: unknown;
}

export function isTree(value: unknown): value is Tree {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** `over` laid over `under`: maps are merged key by key, everything else is replaced. */
export function overlay(under: Tree, over: Tree): Tree {
  const merged: Tree = { ...under };
  for (const [key, value] of Object.entries(over)) {
    const below = merged[key];
    merged[key] = isTree(below) && isTree(value) ? overlay(below, value) : value;
  }
  return merged;
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
