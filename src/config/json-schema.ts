// The JSON Schema of what people write, before units and variables are read. zod makes it; where one
// of our types says its form (meta `form`), that stands instead, and any value but a free text may be
// a variable of the environment.
import { z } from 'zod';
import { configSchema } from './schema/config.ts';

interface Node {
  readonly [key: string]: unknown;
  readonly type?: unknown;
  readonly anyOf?: readonly Node[];
  readonly items?: Node;
  readonly properties?: Readonly<Record<string, Node>>;
  readonly additionalProperties?: Node | boolean;
  readonly propertyNames?: Node;
  readonly form?: Node;
}

const VARIABLE: Node = {
  description: 'A value from the environment.',
  type: 'string',
  pattern: '\\$\\{[A-Za-z_][A-Za-z0-9_]*(?::[-?][^}]*)?\\}',
};
const VARIABLE_REF: Node = { $ref: '#/$defs/variable' };

/** The JSON Schema (draft 2020-12) of the configuration file. */
export function jsonSchema(): Record<string, unknown> {
  const schema = z.toJSONSchema(configSchema, { io: 'input', unrepresentable: 'any' });
  // zod's own output.
  const shown = shaped(schema as Node);
  return { ...shown, title: 'Upriver configuration', $defs: { variable: VARIABLE } };
}

/** The node with forms in place, and variables where they may stand. */
function shaped(node: Node): Node {
  const { form, ...plain } = node;
  if (form !== undefined) return orVariable({ ...described(plain), ...form });
  if (isTree(plain)) return below(plain);
  return isFree(plain) ? plain : orVariable(plain);
}

/** A map or list, with what is in it. */
function below(node: Node): Node {
  const { items, properties, additionalProperties: others, propertyNames } = node;
  const shapedProperties = Object.entries(properties ?? {}).map(([key, child]) => [
    key,
    orNothing(shaped(child)),
  ]);
  return {
    ...node,
    ...(items === undefined ? {} : { items: orNothing(shaped(items)) }),
    ...(properties === undefined ? {} : { properties: Object.fromEntries(shapedProperties) }),
    ...(typeof others === 'object' ? { additionalProperties: orNothing(shaped(others)) } : {}),
    ...(propertyNames === undefined ? {} : { propertyNames: shaped(propertyNames) }),
  };
}

/** One of the alternatives of a value: the variable is an alternative beside it. */
function member(node: Node): Node {
  const { form, ...plain } = node;
  if (form !== undefined) return { ...described(plain), ...form };
  return isTree(plain) ? below(plain) : plain;
}

function orVariable(node: Node): Node {
  const { anyOf, ...plain } = node;
  if (anyOf !== undefined) return { ...plain, anyOf: [...anyOf.map(member), VARIABLE_REF] };
  const constraint = Object.fromEntries(
    Object.entries(plain).filter(([key]) => !Object.hasOwn(described(plain), key)),
  );
  return { ...described(plain), anyOf: [constraint, VARIABLE_REF] };
}

/** A map or list may be written as nothing, where nothing has to be in it. */
function orNothing(node: Node): Node {
  const { type, required } = node;
  if (required !== undefined) return node;
  return type === 'object' || type === 'array' ? { ...node, type: [type, 'null'] } : node;
}

/** What of a node is about its meaning, and no constraint. */
function described(node: Node): Node {
  const notes = ['description', 'default', 'x-default'];
  return Object.fromEntries(Object.entries(node).filter(([key]) => notes.includes(key)));
}

function isTree({ type }: Node): boolean {
  return type === 'object' || type === 'array';
}

/** Any text, a variable included. */
function isFree({ type, pattern, enum: values }: Node): boolean {
  return type === 'string' && pattern === undefined && values === undefined;
}
