// A small validator of JSON Schema: as much of draft 2020-12 as the schema of our configuration uses,
// and an error for what it does not know. Patterns are read as editors do, with the flag u.

interface Schema {
  readonly [keyword: string]: unknown;
}

const NOTES = ['$schema', '$defs', 'title', 'description', 'default', 'x-default'];

type Check = (rule: unknown, value: unknown, root: Schema, node: Schema) => boolean;

// The rules are those that the schema gives by keyword; the casts say what each keyword holds.
const checks: Readonly<Record<string, Check>> = {
  $ref: (rule, value, root) => isValid(root, value, refOf(root, rule as string)),
  type: (rule, value) => [rule].flat().some((type) => isOfType(type as string, value)),
  enum: (rule, value) => (rule as readonly unknown[]).includes(value),
  const: (rule, value) => rule === value,
  anyOf: (rule, value, root) => (rule as Schema[]).some((one) => isValid(root, value, one)),
  pattern: (rule, value) => typeof value !== 'string' || regexp(rule as string).test(value),
  minLength: (rule, value) => typeof value !== 'string' || value.length >= (rule as number),
  minimum: (rule, value) => typeof value !== 'number' || value >= (rule as number),
  maximum: (rule, value) => typeof value !== 'number' || value <= (rule as number),
  items: (rule, value, root) =>
    !Array.isArray(value) || value.every((item) => isValid(root, item, rule as Schema)),
  minItems: (rule, value) => !Array.isArray(value) || value.length >= (rule as number),
  maxItems: (rule, value) => !Array.isArray(value) || value.length <= (rule as number),
  required: (rule, value) =>
    !isMap(value) || (rule as string[]).every((key) => Object.hasOwn(value, key)),
  properties: (rule, value, root) =>
    !isMap(value) ||
    Object.entries(rule as Record<string, Schema>).every(
      ([key, schema]) => !Object.hasOwn(value, key) || isValid(root, value[key], schema),
    ),
  additionalProperties: (rule, value, root, node) => {
    if (!isMap(value)) return true;
    const others = Object.keys(value).filter((key) => !Object.hasOwn(node.properties ?? {}, key));
    if (typeof rule === 'boolean') return rule || others.length === 0;
    return others.every((key) => isValid(root, value[key], rule as Schema));
  },
  propertyNames: (rule, value, root) =>
    !isMap(value) || Object.keys(value).every((key) => isValid(root, key, rule as Schema)),
};

/** Whether `value` is what `schema`, a part of `root`, describes. Throws for a keyword it lacks. */
export function isValid(root: Schema, value: unknown, schema: Schema = root): boolean {
  return Object.entries(schema).every(([keyword, rule]) => {
    if (NOTES.includes(keyword)) return true;
    const check = checks[keyword];
    if (check === undefined) throw new Error(`the keyword ${keyword} is not known`);
    return check(rule, value, root, schema);
  });
}

const compiled = new Map<string, RegExp>();

function regexp(pattern: string): RegExp {
  const known = compiled.get(pattern) ?? new RegExp(pattern, 'u');
  compiled.set(pattern, known);
  return known;
}

function refOf(root: Schema, ref: string): Schema {
  let node: unknown = root;
  for (const key of ref.split('/').slice(1)) node = (node as Schema)[key];
  return node as Schema;
}

function isOfType(type: string, value: unknown): boolean {
  if (type === 'null') return value === null;
  if (type === 'array') return Array.isArray(value);
  if (type === 'object') return isMap(value);
  if (type === 'integer') return Number.isInteger(value);
  return typeof value === type;
}

function isMap(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
