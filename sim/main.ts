// `npm run sim`: runs the product's code on simulated time and a simulated network, seed by seed.
//   --seed N      that seed alone; without it, fresh seeds, each printed when it fails
//   --seconds S   how long fresh seeds are tried, of real time; 10 unless it is said
//   --plane P     data, udp, control, registries, or both, all: seeds of each in turn
//   --trace       prints what happens, line by line
//   --plain       worlds of the control plane have plain services alone
//   --mutants     puts known faults into a copy of the sources and says how soon each is found, from --seed on or 1
//   --mutant TEXT with that: only those with TEXT in their names
// Exits 1 when an oracle found something, 2 where an option is wrong.
import { join } from 'node:path';
import { runMutants } from './mutants/runner.ts';
import { asOneModule } from './one-module.ts';
import { type Plane, replayCommand, type SimOptions, simOptionsOf } from './options.ts';

async function main(): Promise<number> {
  const options = simOptionsOf(process.argv.slice(2));
  if (typeof options === 'string') {
    console.error(`sim: ${options}`);
    return 2;
  }
  const { mutant, mutants, plane, planes, seed } = options;
  if (mutants) return runMutants({ plane, only: mutant, first: seed ?? 1 });
  if (seed === null) return runFresh(options);
  return (await areGood(planes, seed, options)) ? 0 : 1;
}

/** Runs a seed in each of these planes as the modules stand, so that stacks name their lines. */
async function areGood(
  planes: readonly Plane[],
  seed: number,
  options: SimOptions,
): Promise<boolean> {
  const { runSeed } = await import('./replay.ts');
  let isGood = true;
  for (const plane of planes) if (!(await runSeed(plane, seed, options))) isGood = false;
  return isGood;
}

/** Tries fresh seeds, and stops at the first that fails. */
async function runFresh(options: SimOptions): Promise<number> {
  const file = join(import.meta.dirname, 'fresh.ts');
  const fresh = await asOneModule<typeof import('./fresh.ts')>(file);
  const failed = await fresh.runFresh(options);
  if (failed === null) return 0;
  const { plane, seed, faults } = failed;
  // A fault that shows in the bundle alone is one all the same.
  if (await areGood([plane], seed, options))
    for (const fault of faults) console.log(`  bundled: ${fault}`);
  console.log(`replay it with: ${replayCommand(plane, seed)} --trace`);
  return 1;
}

// Last, when everything above is there.
process.exitCode = await main();
