// `npm run bench`: the HTTP data plane beside HAProxy, nginx, Caddy and http-proxy, in alternating
// rounds of one run, each pinned to one core with the load and the endpoints on the other.
//   --case NAME     (repeatable) of bench/cases.ts, or idle; default all
//   --against NAME  (repeatable) a program to compare with; default all. HAProxy is always there
//   --rounds N      5;  --seconds N  of each round, 4
//   --before DIR    another checkout of this project, to compare with as `before`
//   --json FILE     everything measured, here as well
// Prints Markdown, and writes it with everything measured into bench/results/.
import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { cpus, loadavg, release, tmpdir, totalmem } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { caddy } from './against/caddy.ts';
import { haproxy } from './against/haproxy.ts';
import { httpProxy } from './against/http-proxy.ts';
import { nginx } from './against/nginx.ts';
import { nodeHttp2 } from './against/node-http2.ts';
import type { Program, Setup } from './against/program.ts';
import { upriver, upriverIn } from './against/upriver.ts';
import { type Case, cases, IDLE, IDLE_TITLE } from './cases.ts';
import { startGrpcOrigin } from './grpc-origin.ts';
import { idleConnections, measureIdle } from './idle.ts';
import { findH2load, findWrk, type LoadOptions, runH2load, runLoad, runUdpLoad } from './load.ts';
import { cpuUs, peakMemoryMib } from './measure.ts';
import { startOrigin } from './origin.ts';
import { BOTH_CORES, PROXY_CORE, type Running, startPinned } from './pinned.ts';
import { freeRange } from './ports.ts';
import {
  BASE,
  caseTable,
  type IdleResult,
  idleTable,
  type Measured,
  type Round,
} from './report.ts';
import type { Tool } from './tools.ts';

const PROGRAMS: readonly Program[] = [upriver, haproxy, nginx, caddy, httpProxy, nodeHttp2];
const SCRAPE_MS = 1000;
const WARM_UP_SECONDS_MAX = 2;
/** Connections that a program must be able to hold in the cases other than idle. */
const CONNECTIONS = 2000;
/** Above this somebody else is at work here. */
const LOAD_MAX = 0.5;
const RESULTS = join(import.meta.dirname, 'results');

interface Contender {
  readonly program: Program;
  readonly tool: Tool;
}

interface Started {
  readonly name: string;
  readonly port: number;
  readonly running: Running;
  readonly metricsUrl: string;
  readonly folder: string;
  /** Ports of the endpoints. */
  readonly endpoints: readonly number[];
}

const plan = readFlags();
const wrk = findWrk();
const contenders = plan.programs.map((program): Contender => ({ program, tool: program.find() }));
const folder = mkdtempSync(join(tmpdir(), 'upriver-bench-'));
const about = describeMachine();
const texts: string[] = [];
const results: Record<string, Measured> = {};
let idle: Readonly<Record<string, IdleResult>> = {};
say([about.machine, about.programs, ...about.warnings, ''].join('\n\n'));
try {
  for (const one of plan.cases) {
    results[one.name] = await runCase(one);
    say(caseTable(one, results[one.name]!));
  }
  if (plan.hasIdle) {
    idle = await runIdle();
    say(idleTable(idle));
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
save();

function readFlags() {
  const { values } = parseArgs({
    options: {
      case: { type: 'string', multiple: true },
      against: { type: 'string', multiple: true },
      rounds: { type: 'string', default: '5' },
      seconds: { type: 'string', default: '4' },
      before: { type: 'string', default: '' },
      json: { type: 'string', default: '' },
    },
  });
  const names = [...cases.map(({ name }) => name), IDLE];
  const programs = PROGRAMS.map(({ name }) => name);
  const wantedCases = known('case', values.case ?? names, names);
  const against = known('against', values.against ?? programs, programs);
  return {
    rounds: count('rounds', values.rounds),
    seconds: count('seconds', values.seconds),
    cases: cases.filter(({ name }) => wantedCases.includes(name)),
    hasIdle: wantedCases.includes(IDLE),
    json: values.json,
    programs: [
      ...PROGRAMS.filter(({ name }) => [upriver.name, BASE, ...against].includes(name)),
      ...(values.before === '' ? [] : [upriverIn(resolve(values.before), 'before')]),
    ],
  };
}

function known(flag: string, given: readonly string[], names: readonly string[]) {
  for (const name of given) {
    if (!names.includes(name)) misuse(`--${flag} ${name}: expected one of ${names.join(', ')}`);
  }
  return given;
}

function count(flag: string, text: string): number {
  const number = Number(text);
  if (!Number.isInteger(number) || number < 1) misuse(`--${flag} ${text}: expected 1 or more`);
  return number;
}

function misuse(message: string): never {
  console.error(`bench: ${message}`);
  process.exit(2);
}

function describeMachine() {
  const model = cpus()[0]?.model ?? 'unknown CPU';
  const memory = `${Math.round(totalmem() / 2 ** 30)} GiB`;
  const [load = 0] = loadavg();
  const warnings = [];
  if (load > LOAD_MAX) {
    const others = `The machine was not idle at the start (load ${load.toFixed(2)})`;
    warnings.push(`${others}: trust the ratios less, and the rest not at all.`);
  }
  if (cpus().length < 2) warnings.push('There is one core: all programs share it with the load.');
  return {
    machine: `${model}, ${cpus().length} cores, ${memory}, Linux ${release()}`,
    programs: [...contenders.map(({ program, tool }) => `${program.name} ${tool.version}`)]
      .concat(`wrk ${wrk.version}`)
      .concat(`${plan.rounds} rounds of ${plan.seconds} s`)
      .join(', '),
    warnings,
  };
}

function say(text: string): void {
  texts.push(text);
  console.log(text);
}

function save(): void {
  mkdirSync(RESULTS, { recursive: true });
  const name = new Date().toISOString().slice(0, 16).replace(':', '');
  const { rounds, seconds } = plan;
  const versions = Object.fromEntries(
    contenders.map(({ program, tool }) => [program.name, tool.version]),
  );
  const all = { ...about, versions, rounds, seconds, results, idle };
  const json = `${JSON.stringify(all, null, 1)}\n`;
  writeFileSync(join(RESULTS, `${name}.json`), json);
  if (plan.json !== '') writeFileSync(plan.json, json);
  writeFileSync(join(RESULTS, `${name}.md`), `${texts.join('\n')}\n`);
  console.log(`\nwritten to bench/results/${name}.json and .md`);
}

/** All programs in turn, round by round, so that a slow minute of the machine hits all of them. */
async function runCase(one: Case): Promise<Measured> {
  const able = contenders.filter(
    ({ program }) =>
      (one.workers === 1 || program.hasWorkers) &&
      (program.speaks ?? ['http1']).includes(one.protocol) &&
      (!one.isTls || program.speaksTls === true),
  );
  return withAll(able, one, async (started) => {
    const perSecond = await warmUp(one, started);
    const measured: Record<string, Round[]> = {};
    for (const { name } of started) measured[name] = [];
    for (let round = 0; round < plan.rounds; round += 1) {
      // Forth and back, so that nobody always comes after the same neighbour.
      const order = round % 2 === 0 ? started : started.toReversed();
      for (const program of order) {
        measured[program.name]!.push(await runRound(one, program, perSecond));
      }
    }
    return measured;
  });
}

/** Runs each once without counting it. Returns the rate to keep to; 0: as fast as it goes. */
async function warmUp(one: Case, started: readonly Started[]): Promise<number> {
  const seconds = Math.min(plan.seconds, WARM_UP_SECONDS_MAX);
  let base = 0;
  for (const { name, port, folder: own, endpoints } of started) {
    const result = await load(one, { port, seconds, folder: own, perSecond: 0 }, endpoints);
    if (name === BASE) base = result.requestsPerSecond;
  }
  return one.loadShare === 1 ? 0 : base * one.loadShare;
}

async function runRound(one: Case, program: Started, perSecond: number): Promise<Round> {
  const { port, running, metricsUrl, folder: own, endpoints } = program;
  const scraping = one.isLogged && metricsUrl !== '' ? scrape(metricsUrl) : null;
  const beforeUs = cpuUs(running.pid);
  const options = { port, seconds: plan.seconds, folder: own, perSecond };
  const result = await load(one, options, endpoints);
  const usedUs = cpuUs(running.pid) - beforeUs;
  clearInterval(scraping ?? undefined);
  return { ...result, cpuUs: usedUs / result.requests, peakMib: peakMemoryMib(running.pid) };
}

function load(one: Case, options: LoadOptions, endpoints: readonly number[]) {
  if (one.protocol === 'udp') return runUdpLoad(one, options, endpoints);
  if (one.protocol === 'http1') return runLoad(wrk, one, options);
  return runH2load(findH2load(), one, options);
}

/** Reads metrics as Prometheus would; a failure is none of the program that is measured. */
function scrape(url: string): NodeJS.Timeout {
  const read = () => fetch(url).then((response) => response.text());
  return setInterval(() => void read().catch(() => ''), SCRAPE_MS);
}

async function runIdle(): Promise<Readonly<Record<string, IdleResult>>> {
  const connections = idleConnections();
  const one: Case = { ...cases[0]!, name: IDLE, title: IDLE_TITLE };
  const able = contenders.filter(({ program }) => (program.speaks ?? ['http1']).includes('http1'));
  return withAll(able, { ...one, connections }, async (started) => {
    const bytes: Record<string, IdleResult> = {};
    for (const { name, port, running } of started) {
      bytes[name] = await measureIdle({ port, pid: running.pid }, connections);
    }
    return bytes;
  });
}

/** Starts the endpoints and the programs, and ends them whatever happens. */
async function withAll<T>(
  able: readonly Contender[],
  one: Case,
  run: (started: readonly Started[]) => Promise<T>,
): Promise<T> {
  const ports = await freeRange(one.endpoints + 2 * able.length);
  const endpoints = ports.splice(0, one.endpoints);
  const stops: (() => Promise<void>)[] = [];
  try {
    // Of UDP the load is the endpoints as well.
    if (one.protocol !== 'udp') {
      const begin = one.protocol === 'grpc' ? startGrpcOrigin : startOrigin;
      const origin = await begin(endpoints, join(folder, 'origin'));
      stops.push(() => origin.stop());
    }
    const started: Started[] = [];
    for (const contender of able) {
      const [port = 0, statsPort = 0] = ports.splice(0, 2);
      const program = await start(contender, one, { port, statsPort, endpoints });
      stops.push(() => program.running.stop());
      started.push(program);
    }
    return await run(started);
  } finally {
    await Promise.all(stops.map((stop) => stop()));
  }
}

/** A certificate of its own for 127.0.0.1, with its key, in one file as HAProxy wants it. */
function makeCertificate(own: string): string {
  const [key, certificate] = [join(own, 'key.pem'), join(own, 'certificate.pem')];
  execFileSync('openssl', [
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'],
    ...['-days', '2', '-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1'],
    ...['-keyout', key, '-out', certificate],
  ]);
  appendFileSync(certificate, readFileSync(key));
  return certificate;
}

async function start(
  { program, tool }: Contender,
  one: Case,
  places: Pick<Setup, 'port' | 'statsPort' | 'endpoints'>,
): Promise<Started> {
  const own = join(folder, `${one.name}-${program.name}`);
  mkdirSync(own, { recursive: true });
  const { port } = places;
  const setup: Setup = {
    ...{ ...places, workers: one.workers, folder: own, protocol: one.protocol },
    responses: one.responses,
    accessLog: one.isLogged ? join(own, 'access.log') : '',
    certificate: one.isTls ? makeCertificate(own) : '',
    connections: Math.max(CONNECTIONS, one.connections + 300),
  };
  const { metricsUrl, ...command } = program.prepare(tool, setup);
  const cores = one.workers === 1 ? PROXY_CORE : BOTH_CORES;
  const isUdp = one.protocol === 'udp';
  const running = await startPinned({ cores, ...command, port, isUdp });
  const { endpoints } = places;
  return { name: program.name, port, running, metricsUrl, folder: own, endpoints };
}
