// `upriver check`: tells every problem of the configuration at once, or that there is none.
import { stringify } from 'yaml';
import { messageOf } from '../base/coded-error.ts';
import type { RunFlags } from '../config/flags.ts';
import { loadSettings } from '../config/load.ts';
import { formatProblem } from '../config/problem.ts';
import { configSchema } from '../config/schema.ts';
import { redact } from '../config/secrets.ts';
import { fillDefaults } from '../config/shape.ts';
import { readConfigFile } from '../config/source.ts';

export function check(options: { flags: RunFlags; path: string; isPrinted: boolean }): number {
  const { flags, path, isPrinted } = options;
  let text = '';
  try {
    if (path !== '') text = readConfigFile(path);
  } catch (error) {
    console.error(`upriver: ${path}: ${messageOf(error)}`);
    return 1;
  }
  const file = path === '' ? null : { path, text };
  const { settings, problems, tree } = loadSettings({ flags, env: process.env, file, kv: null });
  if (settings === null) {
    for (const problem of problems) console.error(formatProblem(problem));
    console.error(`${problems.length} ${problems.length === 1 ? 'problem' : 'problems'}`);
    return 1;
  }
  const effective = fillDefaults(configSchema, { ...tree, workers: settings.workers });
  if (isPrinted) console.log(stringify(redact(effective), { lineWidth: 0 }).trimEnd());
  else console.log('configuration is valid');
  return 0;
}
