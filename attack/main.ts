// `npm run attack`: bounded attacks against a real Upriver, one after the other, and a table of what
// was tried and what held. Exits 1 when something that has a defence did not hold.
//   --short        fewer and shorter rounds, for CI: less than a minute
//   --noise MS     up to this a p99 is not judged, 25
//   --only NAME    (repeatable) of attack/rows.ts
//   --json FILE    everything measured, here as well
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { residentBytes } from '../bench/measure.ts';
import type { Row, Target } from './attack.ts';
import { judge, type Result, type Round, tableOf } from './judge.ts';
import { rows } from './rows.ts';
import { type Stage, setStage } from './stage.ts';
import { answers, suffer, type VictimOptions } from './victim.ts';

const LOOK_MS = 50;
const WARM_UP_PAGES = 3;
const FULL = { rounds: 3, seconds: 4, deadEndpoints: 10_000, connectionsMax: 10_000 };
/** The pages weigh less, and there are fewer places to take. */
const SHORT = { rounds: 1, seconds: 1, deadEndpoints: 2000, connectionsMax: 1000 };

const { values } = parseArgs({
  options: {
    short: { type: 'boolean', default: false },
    only: { type: 'string', multiple: true },
    json: { type: 'string' },
    noise: { type: 'string', default: '25' },
  },
});
const plan = values.short ? SHORT : FULL;
const chosen = rows.filter(({ name }) => values.only?.includes(name) ?? true);
if (chosen.length === 0) {
  console.error(`no such attack; there are ${rows.map(({ name }) => name).join(', ')}`);
  process.exit(2);
}
const results: Result[] = [];
let stage: Stage | null = null;
let isStatsTls = false;
try {
  for (const row of chosen) {
    const { hasStatsTls = false } = row;
    if (stage !== null && hasStatsTls !== isStatsTls) {
      await stage.stop();
      stage = null;
    }
    if (stage === null) {
      isStatsTls = hasStatsTls;
      stage = await setStage({ ...plan, hasStatsTls });
      await warmUp(victimOf(row, stage.target), statsOf(row, stage.target));
    }
    results.push(await attack(row, stage));
    if (values.short) continue;
    // Each meets a fresh one: what an attack leaves behind is not the next one's.
    await stage.stop();
    stage = null;
  }
} finally {
  await stage?.stop();
}
console.log(tableOf(results));
if (values.json !== undefined) writeFileSync(values.json, JSON.stringify(results, null, 2));
const broken = results.filter((one) => one.broken !== '' && one.row.defence === 'built');
console.log(`${results.length - broken.length} as expected, ${broken.length} not`);
process.exitCode = broken.length === 0 ? 0 : 1;

async function attack(row: Row, { pid, target }: Stage): Promise<Result> {
  const victim = victimOf(row, target);
  const baseBytes = residentBytes(pid);
  let peakBytes = baseBytes;
  const looking = setInterval(() => {
    peakBytes = Math.max(peakBytes, residentBytes(pid));
  }, LOOK_MS);
  const rounds: Round[] = [];
  let note = '';
  try {
    for (let i = 0; i < plan.rounds; i += 1) {
      const quiet = await suffer(victim, plan.seconds);
      const attacker = await begin(row, target);
      const attacked = await suffer(victim, plan.seconds);
      note = await end(attacker);
      rounds.push({ quiet, attacked });
    }
  } finally {
    // What is wrong is what is thrown, and not that the process is gone then.
    clearInterval(looking);
  }
  const memoryMib = (peakBytes - baseBytes) / 2 ** 20;
  return judge(row, rounds, { memoryMib, note, noiseMs: Number(values.noise) });
}

function victimOf(row: Row, target: Target): VictimOptions {
  const { asks, isFresh } = row.victim;
  const requests = `http://127.0.0.1:${target.victimPort}/`;
  return { url: asks === 'checks' ? `${statsOf(row, target)}/healthz` : requests, isFresh };
}

function statsOf({ hasStatsTls = false }: Row, { statsPort }: Target): string {
  return `${hasStatsTls ? 'https' : 'http'}://127.0.0.1:${statsPort}`;
}

/** What every process takes once: code that is compiled, pages that were made. */
async function warmUp(victim: VictimOptions, statsUrl: string): Promise<void> {
  await suffer(victim, 1);
  for (let i = 0; i < WARM_UP_PAGES; i += 1) {
    for (const path of ['/metrics', '/stats', '/api/v1/services', '/stats;csv']) {
      await answers(`${statsUrl}${path}`);
    }
  }
}

async function begin(row: Row, target: Target): Promise<ChildProcess> {
  const attacker = fork(join(import.meta.dirname, 'attacker.ts'), [
    row.name,
    JSON.stringify(target),
  ]);
  await Promise.race([
    once(attacker, 'message'),
    once(attacker, 'exit').then(() => {
      throw new Error(`the attack ${row.name} could not begin`);
    }),
  ]);
  return attacker;
}

/** Ends an attack, by pid where it does not end by itself; resolves with its note. */
async function end(attacker: ChildProcess): Promise<string> {
  const gone = once(attacker, 'exit');
  const said = once(attacker, 'message');
  attacker.send('end');
  // The shape is attacker.ts' own.
  const [{ note }] = (await said) as [{ note: string }];
  const late = setTimeout(() => attacker.kill('SIGKILL'), 2000);
  await gone;
  clearTimeout(late);
  return note;
}
