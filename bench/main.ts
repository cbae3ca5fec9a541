// `npm run bench`: the HTTP data plane beside HAProxy, nginx, Caddy and http-proxy, in alternating
// rounds of one run, each on one core. Figures are told as ratios to HAProxy of the medians; where the
// rounds of one program spread wider than the programs differ, there is no ratio.
// flags: --case NAME (repeatable) --against NAME (repeatable) --rounds N --seconds N --json FILE
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { measureIdle } from './idle.ts';
import { type Case, cases, type Round, runRound } from './measure.ts';
import { type Program, programs, startOrigin } from './programs.ts';
import { format } from './report.ts';

const { values } = parseArgs({
  options: {
    case: { type: 'string', multiple: true },
    against: { type: 'string', multiple: true },
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '3' },
    json: { type: 'string' },
  },
});
const rounds = Number(values.rounds);
const seconds = Number(values.seconds);
const wantedCases = cases.filter(({ name }) => values.case?.includes(name) ?? true);
const against = ['upriver', ...(values.against ?? ['haproxy', 'nginx', 'caddy', 'http-proxy'])];
const compared = programs.filter(({ name, version }) => against.includes(name) && version !== '');
const FIRST_ORIGIN_PORT = 20_000;
const FIRST_PROXY_PORT = 18_000;

const folder = mkdtempSync(join(tmpdir(), 'upriver-bench-'));
try {
  const machine = `${cpus()[0]?.model ?? 'unknown CPU'}, ${cpus().length} cores, Linux ${release()}`;
  console.log(
    `${machine}\n${compared.map(({ name, version }) => `${name} ${version}`).join(', ')}\n`,
  );
  const results: Record<string, Record<string, readonly Round[]>> = {};
  for (const one of wantedCases) {
    results[one.name] = await runCase(one);
    console.log(format(one.name, results[one.name]!));
  }
  const idle = values.case === undefined || values.case.includes('idle') ? await runIdle() : {};
  if (values.json !== undefined) {
    const versions = Object.fromEntries(compared.map(({ name, version }) => [name, version]));
    writeFileSync(
      values.json,
      JSON.stringify({ machine, versions, rounds, seconds, results, idle }),
    );
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}

/** All programs in turn, round by round, so that a slow minute of the machine hits all of them. */
async function runCase(one: Case): Promise<Record<string, readonly Round[]>> {
  const ports = Array.from({ length: one.endpoints }, (_, i) => FIRST_ORIGIN_PORT + i);
  const origin = await startOrigin(ports, folder);
  const running = await startAll(compared, ports);
  const measured: Record<string, Round[]> = {};
  try {
    // The first round warms up and is not counted.
    for (let round = 0; round <= rounds; round += 1) {
      for (const { name, pid, port } of running) {
        const result = runRound(one, { port, pid, seconds, folder });
        measured[name] ??= [];
        if (round > 0) measured[name].push(result);
      }
    }
  } finally {
    await Promise.all(running.map((program) => program.stop()));
    await origin.stop();
  }
  return measured;
}

async function startAll(list: readonly Program[], endpoints: readonly number[]) {
  return Promise.all(
    list.map(async (program, i) => {
      const port = FIRST_PROXY_PORT + i;
      const own = join(folder, program.name);
      mkdirSync(own, { recursive: true });
      const started = await program.start(port, endpoints, own);
      return { name: program.name, port, pid: started.pid, stop: () => started.stop() };
    }),
  );
}

/** Resident memory per idle keep-alive connection, over 5,000 of them. */
async function runIdle(): Promise<Record<string, number>> {
  const ports = [FIRST_ORIGIN_PORT];
  const origin = await startOrigin(ports, folder);
  const running = await startAll(compared, ports);
  const bytes: Record<string, number> = {};
  try {
    for (const { name, port, pid } of running) bytes[name] = await measureIdle(port, pid);
  } finally {
    await Promise.all(running.map((program) => program.stop()));
    await origin.stop();
  }
  console.log('idle keep-alive connections: bytes of resident memory each');
  console.table(bytes);
  return bytes;
}
