// `npm run bench:churn`: what faults and changes cost the clients of Upriver, and of others that
// follow the same Consul by a template and reloads or by DNS. docs/resilience.md tells the results.
//   --scenario NAME  (repeatable) crash, hang, rolling, outage, websockets, arrival; default all
//   --against NAME   (repeatable) a part of a subject's name; default all. Upriver is always there
//   --seconds N      10, of load after a fault;  --rate N  500 requests a second;  --rounds N  1
//   --json FILE      everything measured
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startConsul } from '../../test/support/consul.ts';
import { freePorts } from '../../test/support/ports.ts';
import { type Result, scenarioTable } from './report.ts';
import { type Scenario, sleep } from './scenario.ts';
import { arrival } from './scenarios/arrival.ts';
import { crash } from './scenarios/crash.ts';
import { hang } from './scenarios/hang.ts';
import { outage } from './scenarios/outage.ts';
import { rolling } from './scenarios/rolling.ts';
import { websockets } from './scenarios/websockets.ts';
import { type Subject, startSubject } from './subject.ts';
import { caddyDns } from './subjects/caddy-dns.ts';
import { haproxyDns } from './subjects/haproxy-dns.ts';
import { haproxyReload } from './subjects/haproxy-reload.ts';
import { nginxReload } from './subjects/nginx-reload.ts';
import { upriver } from './subjects/upriver.ts';

const SCENARIOS: readonly Scenario[] = [arrival, crash, hang, rolling, outage, websockets];
const SUBJECTS: readonly Subject[] = [upriver, nginxReload, haproxyReload, haproxyDns, caddyDns];
const WARM_UP_MS_MAX = 8000;
/** Answers in a row before a scenario begins: all endpoints are known then. */
const SETTLE_MS = 1500;
const SECONDS_MAX = 20;

const { values } = parseArgs({
  options: {
    scenario: { type: 'string', multiple: true, default: [] },
    against: { type: 'string', multiple: true, default: [] },
    seconds: { type: 'string', default: '10' },
    rate: { type: 'string', default: '500' },
    rounds: { type: 'string', default: '1' },
    json: { type: 'string', default: '' },
  },
});
const seconds = Math.min(Number(values.seconds), SECONDS_MAX);
const scenarios = SCENARIOS.filter(
  ({ name }) => values.scenario.length === 0 || values.scenario.includes(name),
);
const subjects = SUBJECTS.filter(isWanted).filter(isHere);
const results: Result[] = [];
for (let round = 1; round <= Number(values.rounds); round += 1) {
  for (const scenario of scenarios) {
    for (const subject of subjects) await runOne(scenario, subject, round);
  }
}
for (const scenario of scenarios) console.log(`\n${scenarioTable(scenario, results)}`);

function isWanted({ name }: Subject): boolean {
  if (values.against.length === 0 || name === upriver.name) return true;
  return values.against.some((part) => name.toLowerCase().includes(part.toLowerCase()));
}

function isHere(subject: Subject): boolean {
  try {
    console.error(`${subject.name}: ${subject.find()}`);
    return true;
  } catch (error) {
    console.error(`\n*** ${subject.name} is not here and is LEFT OUT ***\n${String(error)}\n`);
    return false;
  }
}

/** One that can't be measured is said loudly, and has no row. */
async function runOne(scenario: Scenario, subject: Subject, round: number): Promise<void> {
  try {
    const result = await play(scenario, subject, round);
    results.push(result);
    console.error(JSON.stringify(result));
    if (values.json !== '') writeFileSync(values.json, JSON.stringify(results, null, 2));
  } catch (error) {
    console.error(`\n*** ${scenario.name} of ${subject.name} FAILED ***\n${String(error)}\n`);
  }
}

async function play(scenario: Scenario, subject: Subject, round: number): Promise<Result> {
  const endings: (() => unknown)[] = [];
  const defer = (end: () => unknown) => void endings.unshift(end);
  try {
    const [port = 0, statsPort = 0, dnsPort = 0] = await freePorts(3);
    const folder = mkdtempSync(join(tmpdir(), 'upriver-churn-'));
    defer(() => rmSync(folder, { recursive: true, force: true }));
    // Without the larger limit an answer by DNS holds three instances.
    const dns = ['-dns-port', `${dnsPort}`, '-hcl', 'dns_config { udp_answer_limit = 100 }'];
    const consul = await startConsul({ args: dns });
    defer(() => consul.stop());
    const stage = { consul, port, perSecond: Number(values.rate), seconds, defer };
    const act = await scenario.prepare(stage);
    const place = { consulUrl: consul.url, dnsPort, port, statsPort, folder };
    const running = await startSubject(subject, place);
    defer(() => running.stop());
    await untilAnswering(port);
    const before = running.cpuMs();
    const figures = await act();
    const after = running.cpuMs();
    const hasLoop = subject.name.endsWith('reload');
    return {
      ...{ scenario: scenario.name, subject: subject.name, round, figures },
      cpuMs: after.all - before.all,
      loopCpuMs: hasLoop ? after.first - before.first : 0,
      processes: running.processes(),
    };
  } finally {
    for (const end of endings) await end();
  }
}

async function untilAnswering(port: number): Promise<void> {
  const deadline = performance.now() + WARM_UP_MS_MAX;
  for (;;) {
    const status = await fetch(`http://127.0.0.1:${port}/`).then(
      async (response) => {
        await response.text();
        return response.status;
      },
      () => 0,
    );
    if (status === 200) break;
    if (performance.now() > deadline) throw new Error(`no good answer, the last was ${status}`);
    await sleep(50);
  }
  await sleep(SETTLE_MS);
}
