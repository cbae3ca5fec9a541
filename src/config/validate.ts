// Checks plain data against the schema, and turns what zod says into problems for people.
import type { z } from 'zod';
import { closest } from '../base/closest.ts';
import { formatListen } from '../model/listener.ts';
import type { Problem } from './problem.ts';
import { type ConfigInput, configSchema } from './schema.ts';

export type Where = (path: readonly PropertyKey[], isKey: boolean) => string;

export function validate(
  data: unknown,
  where: Where,
): { readonly input: ConfigInput | null; readonly problems: readonly Problem[] } {
  const result = configSchema.safeParse(data);
  if (!result.success)
    return {
      input: null,
      problems: problemsOf(result.error, { data, where, schema: configSchema }),
    };
  const problems = duplicateListeners(result.data, where);
  return { input: problems.length > 0 ? null : result.data, problems };
}

/** What was parsed, by which schema, and where its parts stand. */
interface Parsed {
  readonly data: unknown;
  readonly schema: z.ZodType;
  readonly where: Where;
}

/** Every issue of a failed parse as a problem. */
export function problemsOf(error: z.ZodError, parsed: Parsed): Problem[] {
  return error.issues.flatMap((issue) => problemsOfIssue(issue, parsed));
}

function problemsOfIssue(issue: z.core.$ZodIssue, parsed: Parsed): Problem[] {
  const { path } = issue;
  const { data, where } = parsed;
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => {
      const full = [...path, key];
      return {
        where: where(full, true),
        key: dotted(full),
        message: unknownKey(key, path, parsed.schema),
      };
    });
  }
  // A union says what each of its members wants; the one that got furthest is the one that was meant.
  if (issue.code === 'invalid_union') {
    const branches = issue.errors.map((issues) =>
      issues.filter((one) => one.code !== 'invalid_type'),
    );
    const meant = branches.find((issues) => issues.length > 0)?.[0];
    if (meant !== undefined) {
      const nested = { ...meant, path: [...path, ...meant.path] };
      return problemsOfIssue(nested as z.core.$ZodIssue, parsed);
    }
  }
  // A bad key of a map: the key is what is wrong, not its value.
  if (issue.code === 'invalid_key') {
    const [reason = issue] = issue.issues;
    const message = `${JSON.stringify(path.at(-1))}: ${expected(reason.message)}`;
    return [{ where: where(path, true), key: dotted(path), message }];
  }
  const value = valueAt(data, path);
  const shown = value === undefined ? 'is missing' : JSON.stringify(value);
  const message = [shown, expected(issue.message)].filter((part) => part !== '').join(': ');
  return [{ where: where(path, false), key: dotted(path), message }];
}

/** What was expected, as far as the library says so. */
function expected(message: string): string {
  return message.replace(/^Invalid input(?:: |$)/, '').replace(/, received .*$/, '');
}

function unknownKey(key: string, path: readonly PropertyKey[], root: z.ZodType): string {
  const known = knownKeys(path, root);
  const meant = closest(key, known);
  return meant === null
    ? `unknown key; known are ${known.join(', ')}`
    : `unknown key; did you mean ${meant}?`;
}

/** The keys that the schema `root` knows at this path. */
function knownKeys(path: readonly PropertyKey[], root: z.ZodType): string[] {
  let schema: unknown = root;
  for (const key of path) schema = step(unwrap(schema), key);
  const object = unwrap(schema) as { shape?: Record<string, unknown> } | undefined;
  return Object.keys(object?.shape ?? {});
}

// zod's own structure, looked at through `def`: wrappers hold an innerType, records a valueType,
// arrays an element.
interface Def {
  readonly innerType?: unknown;
  readonly valueType?: unknown;
  readonly element?: unknown;
}

function unwrap(schema: unknown): unknown {
  let current = schema;
  for (;;) {
    const inner = (current as { def?: Def } | undefined)?.def?.innerType;
    if (inner === undefined) return current;
    current = inner;
  }
}

function step(schema: unknown, key: PropertyKey): unknown {
  const { shape, def } = (schema ?? {}) as { shape?: Record<PropertyKey, unknown>; def?: Def };
  return shape?.[key] ?? def?.valueType ?? def?.element;
}

function dotted(path: readonly PropertyKey[]): string {
  return path.map(String).join('.');
}

function valueAt(data: unknown, path: readonly PropertyKey[]): unknown {
  let value = data;
  for (const key of path) {
    if (typeof value !== 'object' || value === null) return undefined;
    value = (value as Record<PropertyKey, unknown>)[key];
  }
  return value;
}

/** Two that want the same address: both places are named. */
function duplicateListeners(input: ConfigInput, where: Where): Problem[] {
  const owners = new Map<string, { name: string; path: readonly PropertyKey[] }>();
  const problems: Problem[] = [];
  const claim = (
    address: ConfigInput['routers'][number]['listen'][number],
    name: string,
    path: PropertyKey[],
  ) => {
    const key = formatListen(address);
    const owner = owners.get(key);
    if (owner === undefined) {
      owners.set(key, { name, path });
      return;
    }
    const message = `${key} is already the listener of ${owner.name} (${where(owner.path, false)})`;
    problems.push({ where: where(path, false), key: dotted(path), message });
  };
  input.routers.forEach((router, i) => {
    for (const address of router.listen) claim(address, `router ${i}`, ['routers', i, 'listen']);
  });
  for (const [name, service] of Object.entries(input.services)) {
    for (const address of service.listen)
      claim(address, `service ${name}`, ['services', name, 'listen']);
  }
  if (input.stats.listen !== null) claim(input.stats.listen, 'the stats port', ['stats', 'listen']);
  return problems;
}
