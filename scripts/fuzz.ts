// `npm run fuzz [-- --target NAME] [-- --seconds N] [-- --seed S]`: fuzzes what comes from outside
// (all targets in turns, or one) until the time is up (a minute unless said otherwise; 0: until it is
// stopped) or a rule is broken. Prints the seed it begins with, and with a failure what replays it:
// `npm run fuzz -- --target NAME --seed S --runs 1`. What it found is kept in test/fuzz/corpus.
import { parseArgs } from 'node:util';
import { runs, targets } from '../test/fuzz/targets.ts';

const BATCH_MS = 500;
const SAY_EVERY_MS = 10_000;

const { values } = parseArgs({
  options: {
    target: { type: 'string', default: '' },
    seconds: { type: 'string', default: '60' },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 31)) },
    runs: { type: 'string', default: '0' },
  },
});
const seconds = Number(values.seconds);
const firstSeed = Number(values.seed);
const runsMax = Number(values.runs) || Number.POSITIVE_INFINITY;
const chosen = [...runs].filter(([name]) => values.target === '' || name === values.target);
if (![seconds, firstSeed].every((value) => Number.isSafeInteger(value) && value >= 0)) {
  misuse('--seconds and --seed take whole numbers');
}
if (chosen.length === 0) misuse(`--target takes one of ${[...runs.keys()].join(', ')}`);

const beganAt = performance.now();
const endsAt = seconds === 0 ? Number.POSITIVE_INFINITY : beganAt + seconds * 1000;
const done = new Map(chosen.map(([name]) => [name, 0]));
let saidAt = beganAt;

console.log(`seed ${firstSeed}`);
try {
  while (performance.now() < endsAt && [...done.values()].some((count) => count < runsMax)) {
    for (const [name, run] of chosen) await runBatch(name, run);
    if (performance.now() - saidAt > SAY_EVERY_MS) {
      saidAt = performance.now();
      console.log(`${((saidAt - beganAt) / 1000).toFixed(0)} s: ${counts()}, nothing found`);
    }
  }
  console.log(`${counts()}, nothing found`);
} catch (error) {
  console.error(error);
  process.exitCode = 1;
} finally {
  for (const { close } of targets) await close?.();
}

/** As many runs as fit into a moment, so that slow targets get the same time as quick ones. */
async function runBatch(name: string, run: (seed: number) => Promise<void>): Promise<void> {
  const until = Math.min(endsAt, performance.now() + BATCH_MS);
  for (let count = done.get(name)!; count < runsMax && performance.now() < until; count += 1) {
    await run(firstSeed + count);
    done.set(name, count + 1);
  }
}

function counts(): string {
  return [...done].map(([name, count]) => `${name} ${count}`).join(', ');
}

function misuse(message: string): never {
  console.error(message);
  process.exit(2);
}
