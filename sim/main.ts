// `npm run sim`: runs the product's code on simulated time and a simulated network, seed by seed.
//   --seed N      that seed alone; without it, fresh seeds, each printed when it fails
//   --seconds S   how long fresh seeds are tried, of real time; 10 unless it is said
//   --plane P     data, udp, control, registries, or both, all: seeds of each in turn
//   --trace       prints what happens, line by line
//   --plain       worlds of the control plane have plain services alone
//   --mutants     puts known faults into a copy of the sources and says how soon each is found, from --seed on or 1
//   --mutant TEXT with that: only those with TEXT in their names
// Exits 1 when an oracle found something, 2 where an option is wrong.
import { collectBetween } from './kernel/collect.ts';
import { Trace } from './kernel/trace.ts';
import { runMutants } from './mutants/runner.ts';
import { type SimOptions, simOptionsOf } from './options.ts';
import { type Plane, replayCommand, runPlane, tellPlane } from './planes.ts';

async function main(): Promise<number> {
  const options = simOptionsOf(process.argv.slice(2));
  if (typeof options === 'string') {
    console.error(`sim: ${options}`);
    return 2;
  }
  const { mutant, mutants, plane, planes, seed } = options;
  if (mutants) return runMutants({ plane, only: mutant, first: seed ?? 1 });
  if (seed === null) return runFresh(options);
  let isGood = true;
  for (const one of planes) if (!(await runSeed(one, seed, options))) isGood = false;
  return isGood ? 0 : 1;
}

/** Runs one seed and tells of it; true when nothing was found. */
async function runSeed(
  plane: Plane,
  seed: number,
  { trace: isTraced, plain: isPlain }: SimOptions,
): Promise<boolean> {
  const print = isTraced ? (line: string) => console.log(line) : null;
  const trace = new Trace({ keep: false, print });
  const { done, events, faults } = await runPlane(plane, seed, { trace, isPlain });
  console.log(`${plane} seed ${seed}: ${done}, ${events} events, ${faults.length} faults`);
  for (const fault of faults) console.log(`  ${fault}`);
  if (faults.length > 0 && !isTraced && !isPlain) {
    console.log('in short:');
    for (const line of await tellPlane(plane, seed)) console.log(`  ${line}`);
  }
  return faults.length === 0;
}

/** Tries fresh seeds, and stops at the first that fails. */
async function runFresh(options: SimOptions): Promise<number> {
  const first = Math.floor(Math.random() * 2 ** 31);
  const startMs = performance.now();
  const tookMs = (): number => performance.now() - startMs;
  const { planes, seconds, plain: isPlain } = options;
  let exchanges = 0;
  let warm: Spent | null = null;
  let seed = first;
  let runs = 0;
  for (; tookMs() < seconds * 1000; runs += 1) {
    const plane = planes[runs % planes.length]!;
    seed = first + runs;
    const result = await runPlane(plane, seed, { isPlain });
    collectBetween();
    exchanges += result.exchanges;
    if (runs + 1 === WARM_RUNS) warm = spentOn(exchanges);
    if (result.faults.length === 0) continue;
    await runSeed(plane, seed, options);
    console.log(`replay it with: ${replayCommand(plane, seed)} --trace`);
    return 1;
  }
  const speed =
    exchanges === 0 ? '' : `${exchanges} exchanges, ${speedText(spentOn(exchanges), warm)}, `;
  console.log(`${runs} seeds from ${first}: ${speed}no fault`);
  return 0;
}

/** V8 compiles most of what it compiles in the first runs, which cost two to three times as much for it. */
const WARM_RUNS = 100;

interface Spent {
  readonly exchanges: number;
  /** Processor time of all threads of the process, those of the garbage collector and the compiler as well. */
  readonly us: number;
}

function spentOn(exchanges: number): Spent {
  const { user, system } = process.cpuUsage();
  return { exchanges, us: user + system };
}

/** `warm`: after the first runs, where there were as many. */
function speedText(all: Spent, warm: Spent | null): string {
  const text = `${perSecond(all)} a second of CPU time`;
  if (warm === null || warm.exchanges === all.exchanges) return text;
  const after = { exchanges: all.exchanges - warm.exchanges, us: all.us - warm.us };
  return `${text} (${perSecond(after)} after the first ${WARM_RUNS} seeds)`;
}

function perSecond({ exchanges, us }: Spent): number {
  return Math.round(exchanges / (us / 1e6));
}

// Last, when everything above is there.
process.exitCode = await main();
