// A failing world of datagrams, made small and told.
import { shrink } from '../../kernel/shrink.ts';
import { Trace } from '../../kernel/trace.ts';
import { drawUdpPlan, type UdpPlan } from './plan.ts';
import { runUdpWorld } from './world.ts';

const RUNS_MAX = 150;
/** Lines of the trace that are told, the last before the fault. */
const LINES_MAX = 60;

/** The smallest part of the seed's world that was found to fail in the same way. */
export async function udpStory(seed: number): Promise<{ readonly lines: readonly string[] }> {
  const { faults } = await runUdpWorld(seed);
  const kind = kindOf(faults[0] ?? '');
  const parts = partsOf(drawUdpPlan(seed, new Set()));
  const rest = (kept: readonly string[]): Set<string> =>
    new Set(parts.filter((part) => !kept.includes(part)));
  const kept = await shrink(parts, {
    runsMax: RUNS_MAX,
    fails: async (some) => {
      const result = await runUdpWorld(seed, { without: rest(some) });
      return result.faults.some((fault) => kindOf(fault) === kind);
    },
  });
  return { lines: await tell(seed, rest(kept)) };
}

function partsOf({ clients, changes, endpoints }: UdpPlan): string[] {
  const names = [...clients, ...changes, ...endpoints].map(({ name }) => name);
  return [...names, 'second worker', 'weather'];
}

async function tell(seed: number, without: ReadonlySet<string>): Promise<string[]> {
  const seen: string[] = [];
  const trace = new Trace({ keep: false, print: (line) => void seen.push(line) });
  const { plan, faults } = await runUdpWorld(seed, { without, trace });
  const at = seen.findIndex((line) => line.includes('FAULT: '));
  return [
    ...plan.services.map(({ name, policy: { udp, limits, timeouts } }) => {
      const { connections, connectionsPerClient, perEndpoint } = limits;
      const facts = { ...udp, connections, connectionsPerClient, perEndpoint, ...timeouts };
      return `Service ${name}: ${JSON.stringify(facts)}`;
    }),
    ...plan.endpoints.map((one) => `Endpoint ${JSON.stringify(one)}`),
    ...plan.clients.map((one) => `Client ${JSON.stringify(one)}`),
    'What happens, up to the fault:',
    ...seen.slice(0, at < 0 ? seen.length : at + 1).slice(-LINES_MAX),
    'Found:',
    ...faults,
  ];
}

/** Names, numbers and times are others in a smaller world. */
function kindOf(fault: string): string {
  return fault
    .split('\n')[0]!
    .replace(/^[\d.]+ ms: /, '')
    .replaceAll(/[ceu]?\d+([-.@][\w.]*)*/g, '')
    .split(' ')
    .slice(0, 8)
    .join(' ');
}
