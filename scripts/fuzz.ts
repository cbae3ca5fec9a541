// `npm run fuzz [-- --seconds N] [-- --seed S]`: fuzzes http1/ until the time is up (a minute unless
// said otherwise; 0: until it is stopped) or a rule is broken. Prints the seed it begins with, and
// with a failure the one seed that replays it: `npm run fuzz -- --seed S --runs 1`.
import { parseArgs } from 'node:util';
import { fuzzOnce } from '../test/http1/fuzzing.ts';

const BATCH = 2000;
const SAY_EVERY_MS = 10_000;

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 31)) },
    runs: { type: 'string', default: '0' },
  },
});
const seconds = Number(values.seconds);
const firstSeed = Number(values.seed);
const runsMax = Number(values.runs) || Number.POSITIVE_INFINITY;
if (![seconds, firstSeed].every((value) => Number.isSafeInteger(value) && value >= 0)) {
  console.error('--seconds and --seed take whole numbers');
  process.exit(2);
}

const beganAt = performance.now();
const endsAt = seconds === 0 ? Number.POSITIVE_INFINITY : beganAt + seconds * 1000;
let saidAt = beganAt;
let runs = 0;

console.log(`seed ${firstSeed}`);
try {
  while (performance.now() < endsAt && runs < runsMax) {
    for (let i = 0; i < BATCH && runs < runsMax; i += 1, runs += 1) fuzzOnce(firstSeed + runs);
    if (performance.now() - saidAt > SAY_EVERY_MS) {
      saidAt = performance.now();
      console.log(`${runs} runs in ${((saidAt - beganAt) / 1000).toFixed(0)} s, nothing found`);
    }
  }
  console.log(`${runs} runs, nothing found`);
} catch (error) {
  console.error(error);
  process.exitCode = 1;
}
