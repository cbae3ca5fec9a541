// A failing world, made small and told: parts of its plan are left out while it still fails in the same
// way, and what is left is said in sentences.
import { shrink } from '../kernel/shrink.ts';
import { Trace } from '../kernel/trace.ts';
import { drawPlan } from './draw-plan.ts';
import type { HttpClientPlan } from './http-client.ts';
import type { ChangePlan, EndpointPlan, WorldPlan } from './plan.ts';
import type { SessionChangePlan } from './session-rules.ts';
import { runWorld } from './world.ts';

const RUNS_MAX = 200;
/** Lines of the trace that are told, the last before the fault. */
const LINES_MAX = 60;

export interface Story {
  readonly without: ReadonlySet<string>;
  readonly lines: readonly string[];
}

/** The smallest part of the seed's world that was found to fail in the same way. */
export async function shortStory(seed: number): Promise<Story> {
  const { faults, plan } = await runWorld(seed);
  const kind = kindOf(faults[0] ?? '');
  const fails = async (without: ReadonlySet<string>): Promise<boolean> => {
    const result = await runWorld(seed, { without });
    return result.faults.some((fault) => kindOf(fault) === kind);
  };
  const parts = partsOf(plan);
  const rest = (kept: readonly string[]): Set<string> =>
    new Set(parts.filter((part) => !kept.includes(part)));
  const kept = await shrink(parts, { fails: (some) => fails(rest(some)), runsMax: RUNS_MAX });
  const without = rest(kept);
  await shortenClients(drawPlan(seed, without), without, fails);
  return { without, lines: await tell(seed, without) };
}

/** Everything that a world can do without. */
function partsOf(plan: WorldPlan): string[] {
  const faulty = [
    ...plan.endpoints.filter(({ habits }) => habits.faultShare > 0),
    ...[...plan.httpClients, ...plan.tcpClients].filter(({ faultShare }) => faultShare > 0),
  ];
  return [
    ...[...plan.httpClients, ...plan.tcpClients].map(({ name }) => name),
    ...[...plan.intruders, ...plan.strangers].map(({ name }) => name),
    ...[...plan.changes, ...plan.sessionChanges].map(({ name }) => name),
    ...faulty.map(({ name }) => `faults of ${name}`),
    ...plan.endpoints.map(({ name }) => name),
    ...plan.orders.validators.map(({ name }) => name),
    ...(plan.orders.orders.length > 0 ? ['orders'] : []),
    'second worker',
    'http2',
    'tls',
    'unix sockets',
    'few descriptors',
    'weather',
    'limits',
  ];
}

/** Leaves out the last requests of each client. */
async function shortenClients(
  plan: WorldPlan,
  without: Set<string>,
  fails: (without: ReadonlySet<string>) => Promise<boolean>,
): Promise<void> {
  const counts = [
    ...plan.httpClients.map(({ name, requests }) => ({ name, count: requests })),
    ...plan.tcpClients.map(({ name, sessions }) => ({ name, count: sessions })),
  ];
  for (const { name, count } of counts) {
    for (let few = 1; few < count; few *= 2) {
      const part = `all but ${few} of ${name}`;
      if (!(await fails(new Set([...without, part])))) continue;
      without.add(part);
      break;
    }
  }
}

async function tell(seed: number, without: ReadonlySet<string>): Promise<string[]> {
  const seen: string[] = [];
  const trace = new Trace({ keep: false, print: (line) => void seen.push(line) });
  const { plan, faults } = await runWorld(seed, { without, trace });
  const faultAt = seen.findIndex((line) => line.includes('FAULT: '));
  const told = seen.slice(0, faultAt < 0 ? seen.length : faultAt + 1).slice(-LINES_MAX);
  return [
    `${plan.workers} worker${plan.workers > 1 ? 's' : ''}.`,
    ...plan.endpoints.map(endpointSentence),
    ...plan.httpClients.map(clientSentence),
    ...plan.tcpClients.map(
      ({ name, sessions, port }) =>
        `Client ${name} opens ${sessions} TCP sessions to port ${port}.`,
    ),
    ...plan.intruders.map(
      ({ name, kind, port, startMs }) =>
        `Intruder ${name} connects to port ${port} at ${startMs.toFixed(1)} ms: ${kind}.`,
    ),
    ...plan.strangers.map(
      ({ name, kind, port, startMs }) =>
        `Stranger ${name} comes to port ${port} with TLS at ${startMs.toFixed(1)} ms: ${kind}.`,
    ),
    ...plan.orders.validators.map(
      ({ name, kind, order, port, startMs }) =>
        `Validator ${name} comes to port ${port} at ${startMs.toFixed(1)} ms for ${order.name}: ${kind}.`,
    ),
    ...[...plan.changes, ...plan.sessionChanges].map(changeSentence),
    'What happens, up to the fault:',
    ...told,
    'Found:',
    ...faults,
  ];
}

function endpointSentence({ name, service, habits, weight, rejectShare }: EndpointPlan): string {
  const { faultShare, faults } = habits;
  const percent = (share: number): string => `${Math.round(share * 100)} %`;
  const broken =
    faultShare === 0
      ? 'orderly'
      : `broken in ${percent(faultShare)} of its answers (${faults.join(', ')})`;
  const rejects =
    rejectShare === 0 ? '' : `, closes ${percent(rejectShare)} of its connections at once`;
  return `Endpoint ${name} of ${service}, weight ${weight}, is ${broken}${rejects}.`;
}

function clientSentence({ name, requests, port, startMs, faultShare }: HttpClientPlan): string {
  const manner = faultShare === 0 ? 'orderly' : 'sometimes not orderly';
  return `Client ${name} sends ${requests} requests to port ${port} from ${startMs.toFixed(1)} ms on, ${manner}.`;
}

function changeSentence({ atMs, kind, forMs }: ChangePlan | SessionChangePlan): string {
  return `At ${atMs.toFixed(1)} ms, for ${forMs} ms: ${kind}.`;
}

/** Names, numbers and times are others in a smaller world. */
function kindOf(fault: string): string {
  return (
    fault
      .split('\n')[0]!
      .replace(/^[\d.]+ ms: /, '')
      // What is quoted are bytes, but for the way in which a request has ended.
      .replaceAll(/[cest]?\d+([-.@#][\w.]*)*|(?<!to end as )"[^"]*"/g, '')
      .split(' ')
      .slice(0, 10)
      .join(' ')
  );
}
