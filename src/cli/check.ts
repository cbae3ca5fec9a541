// `upriver check`: tells every problem of the configuration at once, or that there is none. Exit code:
// 0 valid, 1 invalid, 2 nothing that could be checked.
import { stringify } from 'yaml';
import { systemClock } from '../base/clock.ts';
import { messageOf } from '../base/coded-error.ts';
import { safeLine } from '../base/safe-text.ts';
import { certificateProblems, exposedKeys } from '../certificates/vet.ts';
import { withoutDead } from '../config/consistency.ts';
import { type Environment, fromEnvironment } from '../config/environment.ts';
import { exposedFiles } from '../config/exposed-files.ts';
import { fromFlags, type RunFlags } from '../config/flags.ts';
import { loadSettings } from '../config/load.ts';
import { formatProblem } from '../config/problem.ts';
import { configSchema } from '../config/schema/config.ts';
import { hideVariables, redact } from '../config/secrets.ts';
import { fillDefaults } from '../config/shape.ts';
import { readConfigFile } from '../config/source.ts';
import type { Tree } from '../config/tree.ts';

/** Prints the problems, or the configuration. Returns the exit code: 0, 1 for an invalid one, 2 where there is none. */
export async function check(options: {
  flags: RunFlags;
  path: string;
  isPrinted: boolean;
}): Promise<number> {
  const { flags, path, isPrinted } = options;
  let text = '';
  try {
    if (path !== '') text = readConfigFile(path);
  } catch (error) {
    console.error(`upriver: ${safeLine(`can't read ${path}: ${messageOf(error)}`)}`);
    return 2;
  }
  if (path === '' && !isPrinted && !isConfigured(flags, process.env)) {
    const where = 'name a file by --config or UPRIVER_CONFIG, or settings by flags';
    console.error(`upriver: nothing to check: ${where} (--print shows the defaults)`);
    return 2;
  }
  const file = path === '' ? null : { path, text };
  const loaded = loadSettings({ flags, env: process.env, file, kv: null });
  const { settings, tree } = loaded;
  const problems =
    settings === null ? loaded.problems : await certificateProblems(settings, systemClock);
  if (settings === null || problems.length > 0) {
    for (const problem of problems) console.error(formatProblem(problem));
    console.error(`${problems.length} ${problems.length === 1 ? 'problem' : 'problems'}`);
    return 1;
  }
  const exposed = [...exposedFiles(tree), ...(await exposedKeys(settings))];
  for (const one of exposed) console.error(`warning: ${formatProblem({ key: '', ...one })}`);
  if (isPrinted) {
    const printed = effective({ ...tree, workers: settings.workers });
    console.log(hideVariables(printed, process.env));
  } else console.log('configuration is valid');
  return 0;
}

/** The configuration with its defaults, as a file that loads again. */
function effective(tree: Tree): string {
  // A map stays a map.
  const filled = withoutDead(fillDefaults(configSchema, tree) as Tree);
  // What is a dollar sign by now must not be read as a variable.
  return stringify(redact(filled), { lineWidth: 0 }).trimEnd().replaceAll('$', '$$$$');
}

/** Whether flags or variables say anything, right or wrong. */
function isConfigured(flags: RunFlags, env: Environment): boolean {
  return [fromFlags(flags), fromEnvironment(env)].some(
    ({ tree, problems }) => Object.keys(tree).length > 0 || problems.length > 0,
  );
}
