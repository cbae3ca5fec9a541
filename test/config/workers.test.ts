// How many workers there are by default: as many as the process may use cores, which a container or a service manager
// may have limited, and not as many as the machine has.
import { execFileSync } from 'node:child_process';
import { availableParallelism, platform } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';

const src = join(import.meta.dirname, '..', '..', 'src', 'config');
const program = `
  const { configSchema } = await import('${join(src, 'schema/config.ts')}');
  const { buildSettings } = await import('${join(src, 'build.ts')}');
  console.log(buildSettings(configSchema.parse({})).workers);
`;
const workersOf = (...within: readonly string[]): number => {
  const [file = '', ...args] = [...within, process.execPath, '--input-type=module', '-e', program];
  return Number(execFileSync(file, args, { encoding: 'utf8' }));
};

it.runIf(platform() === 'linux')('is the number of cores that the process may use', () => {
  // The first of those that this process has.
  const core = execFileSync('sh', ['-c', "taskset -cp $$ | sed 's/.*: //; s/[-,].*//'"]);
  expect(workersOf('taskset', '-c', String(core).trim())).toBe(1);
  expect(workersOf()).toBe(availableParallelism());
});
