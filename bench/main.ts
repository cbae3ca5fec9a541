// `npm run bench`: the HTTP data plane beside HAProxy, nginx, Caddy and http-proxy, in alternating
// rounds of one run, each pinned to one core with the load and the endpoints on the other.
// usage: see bench/plan.ts
// Prints Markdown, and writes it with everything measured into bench/results/.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, release, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { caddy } from './against/caddy.ts';
import { haproxy } from './against/haproxy.ts';
import { httpProxy } from './against/http-proxy.ts';
import { nginx } from './against/nginx.ts';
import { nodeHttp2 } from './against/node-http2.ts';
import type { Program, Setup } from './against/program.ts';
import { upriver } from './against/upriver.ts';
import type { Case } from './cases.ts';
import { makeCertificate } from './certificate.ts';
import { startGrpcOrigin } from './grpc-origin.ts';
import { runHandshakes } from './handshakes.ts';
import { idleConnections, measureIdle } from './idle.ts';
import { findH2load, findWrk, type LoadOptions, runH2load, runLoad, runUdpLoad } from './load.ts';
import { cpuUs, peakMemoryMib } from './measure.ts';
import { startOrigin } from './origin.ts';
import { BOTH_CORES, PROXY_CORE, type Running, startPinned } from './pinned.ts';
import { readPlan } from './plan.ts';
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
import { runWebSockets, startWebSocketOrigin } from './websocket.ts';

const PROGRAMS: readonly Program[] = [upriver, haproxy, nginx, caddy, httpProxy, nodeHttp2];
const SCRAPE_MS = 1000;
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

const plan = readPlan(PROGRAMS);
const wrk = findWrk();
const contenders = plan.programs.map((program): Contender => ({ program, tool: program.find() }));
const folder = mkdtempSync(join(tmpdir(), 'upriver-bench-'));
const about = describeMachine();
const texts: string[] = [];
const results: Record<string, Measured> = {};
const idle: Record<string, Readonly<Record<string, IdleResult>>> = {};
say([about.machine, about.programs, ...about.warnings, ''].join('\n\n'));
try {
  for (const one of plan.cases) {
    results[one.name] = await runCase(one);
    say(caseTable(one, results[one.name]!));
  }
  for (const one of plan.idleCases) {
    idle[one.name] = await runIdle(one);
    say(idleTable(one, idle[one.name]!));
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
save();

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

/** The programs that can do what the case asks for. */
function ableFor({ workers, protocol, isTls, isTlsBehind }: Case): readonly Contender[] {
  return contenders.filter(
    ({ program }) =>
      (workers === 1 || program.hasWorkers) &&
      (program.speaks ?? ['http1']).includes(protocol) &&
      (!isTls || program.speaksTls === true) &&
      (!isTlsBehind || program.speaksTlsBehind === true),
  );
}

/** All programs in turn, round by round, so that a slow minute of the machine hits all of them. */
async function runCase(one: Case): Promise<Measured> {
  return withAll(one, async (started) => {
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
  const seconds = one.warmUpSeconds;
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
  if (one.protocol === 'websocket') return runWebSockets(one, options);
  if (one.isTls && one.isFresh) return runHandshakes(one, options);
  if (one.protocol === 'h2' || one.protocol === 'grpc') {
    return runH2load(findH2load(), one, options);
  }
  return runLoad(wrk, one, options);
}

/** Reads metrics as Prometheus would; a failure is none of the program that is measured. */
function scrape(url: string): NodeJS.Timeout {
  const read = () => fetch(url).then((response) => response.text());
  return setInterval(() => void read().catch(() => ''), SCRAPE_MS);
}

async function runIdle(one: Case): Promise<Readonly<Record<string, IdleResult>>> {
  const connections = idleConnections(one);
  return withAll({ ...one, connections }, async (started) => {
    const bytes: Record<string, IdleResult> = {};
    for (const { name, port, running } of started) {
      const { pid } = running;
      bytes[name] = await measureIdle({ ...one, port, pid }, connections);
    }
    return bytes;
  });
}

function startEndpoints(
  { protocol, isTlsBehind }: Case,
  ports: readonly number[],
): Promise<Running> {
  const own = join(folder, 'origin');
  if (protocol === 'websocket') return startWebSocketOrigin(ports);
  if (protocol === 'grpc') return startGrpcOrigin(ports, own);
  return startOrigin(ports, own, isTlsBehind);
}

/** Starts the endpoints and the programs, and ends them whatever happens. */
async function withAll<T>(one: Case, run: (started: readonly Started[]) => Promise<T>): Promise<T> {
  const able = ableFor(one);
  const ports = await freeRange(one.endpoints + 2 * able.length);
  const endpoints = ports.splice(0, one.endpoints);
  const stops: (() => Promise<void>)[] = [];
  try {
    // Of UDP the load is the endpoints as well.
    if (one.protocol !== 'udp') {
      const origin = await startEndpoints(one, endpoints);
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
    isTlsBehind: one.isTlsBehind,
    connections: Math.max(CONNECTIONS, one.connections + 300),
  };
  const { metricsUrl, ...command } = program.prepare(tool, setup);
  const cores = one.workers === 1 ? PROXY_CORE : BOTH_CORES;
  const isUdp = one.protocol === 'udp';
  const running = await startPinned({ cores, ...command, port, isUdp });
  const { endpoints } = places;
  return { name: program.name, port, running, metricsUrl, folder: own, endpoints };
}
