// `upriver check`: tells every problem of the configuration at once, or that there is none.
import { readFileSync } from 'node:fs';
import { stringify } from 'yaml';
import { messageOf } from '../base/coded-error.ts';
import type { RunFlags } from '../config/flags.ts';
import { loadSettings } from '../config/load.ts';
import { formatProblem } from '../config/problem.ts';

const SECRET = /token$|auth$/i;

export function check(options: { flags: RunFlags; path: string; isPrinted: boolean }): number {
  const { flags, path, isPrinted } = options;
  let text = '';
  try {
    if (path !== '') text = readFileSync(path, 'utf8');
  } catch (error) {
    console.error(`upriver: ${path}: ${messageOf(error)}`);
    return 1;
  }
  const file = path === '' ? null : { path, text };
  const { settings, problems } = loadSettings({ flags, env: process.env, file, kv: null });
  if (settings === null) {
    for (const problem of problems) console.error(formatProblem(problem));
    console.error(`${problems.length} ${problems.length === 1 ? 'problem' : 'problems'}`);
    return 1;
  }
  if (isPrinted) console.log(stringify(redact(settings)).trimEnd());
  else console.log('configuration is valid');
  return 0;
}

function redactText(value: string, key: string): string {
  if (SECRET.test(key)) return value === '' ? '' : '***';
  // User and password in an address.
  return value.replace(/^([a-z]+:\/\/)[^/@]+@/, '$1***@');
}

/** Plain data for printing: sets as lists, secrets as asterisks. */
function redact(value: unknown, key = ''): unknown {
  if (typeof value === 'string') return redactText(value, key);
  if (value instanceof Set) return [...value];
  if (Array.isArray(value)) return value.map((item) => redact(item, key));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, item]) => [name, redact(item, name)]),
  );
}
