// `npm run sim`: runs the product's code on simulated time and a simulated network, seed by seed.
//   --seed N      that seed alone; without it, fresh seeds, each printed when it fails
//   --seconds S   how long fresh seeds are tried, of real time; 10 unless it is said
//   --plane data  which plane; the data plane is the one that there is
//   --trace       prints what happens, line by line
//   --mutants     puts known faults into a copy of the sources and says how soon each is found
// Exits 1 when an oracle found something.
import { parseArgs } from 'node:util';
import { shortStory } from './data/story.ts';
import { runWorld } from './data/world.ts';
import { Trace } from './kernel/trace.ts';
import { runMutants } from './mutants/runner.ts';

const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    seconds: { type: 'string', default: '10' },
    plane: { type: 'string', default: 'data' },
    trace: { type: 'boolean', default: false },
    mutants: { type: 'boolean', default: false },
    mutant: { type: 'string' },
  },
});

process.exitCode = await main();

async function main(): Promise<number> {
  if (values.plane !== 'data') return refuse(`--plane ${values.plane}: expected data`);
  const seconds = Number(values.seconds);
  if (!(seconds > 0)) return refuse(`--seconds ${values.seconds}: expected a number above 0`);
  if (values.mutants) return runMutants({ plane: values.plane, only: values.mutant ?? '' });
  if (values.seed === undefined) return runFresh(seconds);
  const seed = Number(values.seed);
  if (!isSeed(seed)) return refuse(`--seed ${values.seed}: expected a whole number from 0`);
  return (await runSeed(seed)) ? 0 : 1;
}

function isSeed(seed: number): boolean {
  return Number.isSafeInteger(seed) && seed >= 0;
}

function refuse(message: string): number {
  console.error(message);
  return 2;
}

/** Runs one seed and tells of it; true when nothing was found. */
async function runSeed(seed: number): Promise<boolean> {
  const print = values.trace ? (line: string) => console.log(line) : null;
  const trace = new Trace({ keep: false, print });
  const { exchanges, events, faults } = await runWorld(seed, { trace });
  console.log(`seed ${seed}: ${exchanges} exchanges, ${events} events, ${faults.length} faults`);
  for (const fault of faults) console.log(`  ${fault}`);
  if (faults.length > 0 && !values.trace) {
    console.log('in short:');
    for (const line of (await shortStory(seed)).lines) console.log(`  ${line}`);
  }
  return faults.length === 0;
}

/** Tries fresh seeds, and stops at the first that fails. */
async function runFresh(seconds: number): Promise<number> {
  const first = Math.floor(Math.random() * 2 ** 31);
  const startMs = performance.now();
  const tookMs = (): number => performance.now() - startMs;
  let exchanges = 0;
  let seed = first;
  for (; tookMs() < seconds * 1000; seed += 1) {
    const result = await runWorld(seed);
    exchanges += result.exchanges;
    if (result.faults.length === 0) continue;
    await runSeed(seed);
    console.log(`replay it with: npm run sim -- --seed ${seed} --trace`);
    return 1;
  }
  const perSecond = Math.round(exchanges / (tookMs() / 1000));
  console.log(
    `${seed - first} seeds from ${first}: ${exchanges} exchanges, ${perSecond}/s, no fault`,
  );
  return 0;
}
