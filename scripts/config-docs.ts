// What the documentation says of the configuration, taken from its schema: every key with its
// default and its sentence.
import { jsonSchema } from '../src/config/json-schema.ts';

export interface KeyRow {
  readonly key: string;
  readonly fallback: string;
  readonly description: string;
}

/** As much of JSON Schema as zod makes of ours. */
interface Node {
  readonly description?: string;
  readonly default?: unknown;
  /** Of a key whose default depends on another one. */
  readonly 'x-default'?: unknown;
  readonly properties?: Readonly<Record<string, Node>>;
  readonly additionalProperties?: Node | boolean;
  readonly items?: Node;
  readonly anyOf?: readonly Node[];
}

export function keyRows(): KeyRow[] {
  // zod's own output.
  return rowsBelow(jsonSchema() as Node, '');
}

function rowsBelow(node: Node, prefix: string): KeyRow[] {
  const { items, additionalProperties, properties = {} } = node;
  const rows = Object.entries(properties).flatMap(([name, child]) =>
    rowsOf(child, join(prefix, name)),
  );
  if (typeof additionalProperties === 'object' && additionalProperties.properties !== undefined) {
    rows.push(...rowsBelow(additionalProperties, join(prefix, 'NAME')));
  }
  if (items?.properties !== undefined) rows.push(...rowsBelow(items, `${prefix}[]`));
  // What may be written in several ways has a map as one of them, or a list of such.
  for (const member of node.anyOf ?? []) {
    if (member.items?.anyOf !== undefined) rows.push(...rowsBelow(member.items, `${prefix}[]`));
    else if (member.properties !== undefined && !isListed(node)) {
      rows.push(...rowsBelow(member, prefix));
    }
  }
  return rows;
}

/** Whether one of the forms is a list of what the others are. */
function isListed({ anyOf = [] }: Node): boolean {
  return anyOf.some(({ items }) => items?.anyOf !== undefined);
}

function rowsOf(node: Node, key: string): KeyRow[] {
  const below = rowsBelow(node, key);
  // What may be a map or a text has a text for its default, if any.
  const said = below.length > 0 && typeof node.default !== 'string' ? undefined : node.default;
  const fallback = formatDefault(said ?? (below.length > 0 ? undefined : node['x-default']));
  const description = node.description ?? '';
  return description === '' && below.length > 0
    ? below
    : [{ key, fallback, description }, ...below];
}

function join(prefix: string, name: string): string {
  return prefix === '' ? name : `${prefix}.${name}`;
}

/** A default as one would write it. */
function formatDefault(value: unknown): string {
  if (value === undefined || value === '') return '';
  if (Array.isArray(value)) return `[${value.join(', ')}]`;
  if (typeof value === 'object' && value !== null) return '{}';
  return String(value);
}

/** The example file, of an HTTP service: every key with its default. */
export function exampleYaml(): string {
  const lines = [
    '# yaml-language-server: $schema=./config.schema.json',
    '# Every key with its default. Everything may be left out.',
  ];
  const rows = keyRows().map((row) => ({ ...row, key: row.key.replaceAll('NAME', 'example') }));
  const skipped =
    /^(registries\.consul\.(token|token_file|http_auth)$|services\.example\.(timeouts\.idle|health\.expect|health\.query_type|primary\.by|udp(\..*)?)$|workers$|stats\.listen\.)|\[\]/;
  for (const { key, fallback, description } of rows.filter((row) => !skipped.test(row.key))) {
    const parts = key.split('.');
    const indent = '  '.repeat(parts.length - 1);
    const name = parts.at(-1) ?? '';
    const hasChildren = rows.some((row) => row.key.startsWith(`${key}.`) && !skipped.test(row.key));
    if (name === 'example' || hasChildren) {
      addParents(lines, parts);
      if (description !== '') lines.push(`${indent}# ${description}`);
      lines.push(`${indent}${name}:`);
      continue;
    }
    addParents(lines, parts);
    const isList = rows.some((row) => row.key.startsWith(`${key}[]`));
    const said = example(key, fallback);
    const value = isList && said === '""' ? '[]' : said;
    lines.push(`${indent}${name}: ${value} # ${description}`);
  }
  return `${lines.join('\n')}\n`;
}

/** Lines of maps that have no row of their own. */
function addParents(lines: string[], parts: readonly string[]): void {
  for (let depth = 1; depth < parts.length; depth += 1) {
    const line = `${'  '.repeat(depth - 1)}${parts[depth - 1]}:`;
    const isOpen = lines.includes(line);
    if (!isOpen) lines.push(line);
  }
}

function example(key: string, fallback: string): string {
  if (key === 'services.example.listen') return '8000';
  if (key === 'services.example.from.service') return 'example';
  if (key === 'services.example.health.type') return 'http';
  if (fallback === '') return '""';
  return /^[a-z0-9.%/_-]+$/i.test(fallback) || /^[[{]/.test(fallback) ? fallback : `"${fallback}"`;
}
