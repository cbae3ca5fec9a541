// `npm run sim`: runs the product's code on simulated time and a simulated network, seed by seed.
//   --seed N      that seed alone; without it, fresh seeds, each printed when it fails
//   --seconds S   how long fresh seeds are tried, of real time; 10 unless it is said
//   --plane P     data, udp, control, registries, or all: seeds of each in turn
//   --trace       prints what happens, line by line
//   --mutants     puts known faults into a copy of the sources and says how soon each is found
// Exits 1 when an oracle found something.
import { parseArgs } from 'node:util';
import { shortStory as controlStory } from './control/story.ts';
import { runControlWorld } from './control/world.ts';
import { shortStory } from './data/story.ts';
import { udpStory } from './data/udp/story.ts';
import { runUdpWorld } from './data/udp/world.ts';
import { runWorld } from './data/world.ts';
import { Trace } from './kernel/trace.ts';
import { runMutants } from './mutants/runner.ts';
import { shortStory as registriesStory } from './registries/story.ts';
import { runRegistriesWorld } from './registries/world.ts';

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

async function main(): Promise<number> {
  if (planes().length === 0) {
    return refuse(`--plane ${values.plane}: expected data, udp, control, registries, both or all`);
  }
  const seconds = Number(values.seconds);
  if (!(seconds > 0)) return refuse(`--seconds ${values.seconds}: expected a number above 0`);
  if (values.mutants) return runMutants({ plane: values.plane, only: values.mutant ?? '' });
  if (values.seed === undefined) return runFresh(seconds);
  const seed = Number(values.seed);
  if (!isSeed(seed)) return refuse(`--seed ${values.seed}: expected a whole number from 0`);
  let isGood = true;
  for (const plane of planes()) if (!(await runSeed(plane, seed))) isGood = false;
  return isGood ? 0 : 1;
}

const PLANES = ['data', 'udp', 'control', 'registries'] as const;
type Plane = (typeof PLANES)[number];

function planes(): readonly Plane[] {
  if (values.plane === 'all') return PLANES;
  if (values.plane === 'both') return ['data', 'control'];
  return PLANES.filter((plane) => plane === values.plane);
}

function isSeed(seed: number): boolean {
  return Number.isSafeInteger(seed) && seed >= 0;
}

function refuse(message: string): number {
  console.error(message);
  return 2;
}

/** Runs one seed and tells of it; true when nothing was found. */
async function runSeed(plane: Plane, seed: number): Promise<boolean> {
  const print = values.trace ? (line: string) => console.log(line) : null;
  const trace = new Trace({ keep: false, print });
  const { done, events, faults } = await runPlane(plane, seed, trace);
  console.log(`${plane} seed ${seed}: ${done}, ${events} events, ${faults.length} faults`);
  for (const fault of faults) console.log(`  ${fault}`);
  if (faults.length > 0 && !values.trace) {
    console.log('in short:');
    for (const line of (await STORIES[plane](seed)).lines) console.log(`  ${line}`);
  }
  return faults.length === 0;
}

const STORIES = {
  data: shortStory,
  udp: udpStory,
  control: controlStory,
  registries: registriesStory,
} as const;

/** Runs one seed; `done` says how much it was. */
async function runPlane(plane: Plane, seed: number, trace?: Trace) {
  if (plane === 'control' || plane === 'registries') {
    const run = plane === 'control' ? runControlWorld : runRegistriesWorld;
    const result = await run(seed, trace === undefined ? {} : { trace });
    const { questions, settledMs, steps } = result;
    const done = `${steps} steps, ${questions} questions, settled in ${settledMs / 1000} s`;
    return { ...result, done, exchanges: 0 };
  }
  const run = plane === 'udp' ? runUdpWorld : runWorld;
  const result = await run(seed, trace === undefined ? {} : { trace });
  return { ...result, done: `${result.exchanges} exchanges` };
}

/** Tries fresh seeds, and stops at the first that fails. */
async function runFresh(seconds: number): Promise<number> {
  const first = Math.floor(Math.random() * 2 ** 31);
  const startMs = performance.now();
  const tookMs = (): number => performance.now() - startMs;
  let exchanges = 0;
  let seed = first;
  let runs = 0;
  const list = planes();
  for (; tookMs() < seconds * 1000; runs += 1) {
    const plane = list[runs % list.length]!;
    seed = first + runs;
    const result = await runPlane(plane, seed);
    exchanges += result.exchanges;
    if (result.faults.length === 0) continue;
    await runSeed(plane, seed);
    console.log(`replay it with: npm run sim -- --plane ${plane} --seed ${seed} --trace`);
    return 1;
  }
  // Per second of processor time of all threads, those of the garbage collector and the compiler as well.
  const { user, system } = process.cpuUsage();
  const perSecond = Math.round(exchanges / ((user + system) / 1e6));
  const speed =
    exchanges === 0 ? '' : `${exchanges} exchanges, ${perSecond} a second of CPU time, `;
  console.log(`${runs} seeds from ${first}: ${speed}no fault`);
  return 0;
}

// Last, when everything above is there.
process.exitCode = await main();
