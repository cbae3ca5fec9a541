// The first world: one worker with one HTTP service, endpoints and clients that keep all rules, and
// a network of any weather. Everything must be answered, with the bytes of the script.
import { loopback, makeListener, makeService, makeSnapshot } from '../../test/support/service.ts';
import { Kernel } from '../kernel/kernel.ts';
import type { Trace } from '../kernel/trace.ts';
import { SimNetwork } from '../net/sim-network.ts';
import { WorkerHost } from './host.ts';
import { cleanLedger } from './ledgers.ts';
import { OrderlyClient } from './orderly-client.ts';
import { OrderlyEndpoint } from './orderly-endpoint.ts';

const PORT = 8080;
const ENDPOINT_PORTS = [9001, 9002];
/** Every request takes less than its timeouts; beyond this something hangs. */
const RUN_MS_MAX = 600_000;
const QUIET_MS = 5_000;

export interface WorldResult {
  readonly exchanges: number;
  readonly events: number;
  /** What an oracle found; empty: nothing. */
  readonly faults: readonly string[];
}

/** Runs the world of one seed to its end. */
export async function runOrderlyWorld(seed: number, trace?: Trace): Promise<WorldResult> {
  const kernel = new Kernel(seed, trace);
  const network = new SimNetwork(kernel);
  const host = new WorkerHost(kernel, network, cleanLedger(1));
  const endpoints = ENDPOINT_PORTS.map((port) => new OrderlyEndpoint(kernel, network, port));
  const faults: string[] = [];
  let clients: OrderlyClient[] = [];
  const service = makeService();
  const listeners = [makeListener(service, loopback(PORT))];
  const delta = {
    version: 1,
    upsert: [makeSnapshot(service, ENDPOINT_PORTS)],
    remove: [],
    listeners,
  };
  void host.worker.apply(delta).then((errors) => {
    for (const { message } of errors) faults.push(message);
    clients = startClients(kernel, network);
  });
  const isDone = (): boolean => clients.length > 0 && clients.every((client) => client.isDone);
  const end = await kernel.run(RUN_MS_MAX, isDone);
  if (end !== 'done') faults.push(`the clients never ended (${end})`);
  for (const actor of [...clients, ...endpoints]) faults.push(...actor.faults);
  faults.push(...(await leftOver(kernel, network, host)), ...host.errors);
  const exchanges = clients.reduce((sum, client) => sum + client.answered, 0);
  return { exchanges, events: kernel.eventCount, faults };
}

function startClients(kernel: Kernel, network: SimNetwork): OrderlyClient[] {
  const chance = kernel.chance('world');
  return Array.from({ length: chance.int(1, 5) }, (_, i) => {
    const name = `c${i + 1}`;
    return new OrderlyClient(kernel, network, { name, port: PORT, requests: chance.int(1, 20) });
  });
}

/** Drains the worker and names everything that is still there when all is quiet. */
async function leftOver(kernel: Kernel, network: SimNetwork, host: WorkerHost): Promise<string[]> {
  const found: string[] = [];
  let cut = -1;
  void host.worker.drain(QUIET_MS).then((count) => {
    cut = count;
  });
  await kernel.run(kernel.nowMs + 2 * QUIET_MS, () => cut >= 0);
  // Idle upstream connections belong to the services.
  await host.worker.apply({ version: 2, upsert: [], remove: ['web'], listeners: null });
  host.stop();
  const end = await kernel.run(kernel.nowMs + 2 * QUIET_MS);
  if (cut !== 0) found.push(`draining cut ${cut} connections`);
  if (end !== 'idle') found.push(`events are left: ${kernel.pendingCount}`);
  const inFlight = ENDPOINT_PORTS.map((_, slot) => host.ledger.inFlight(slot));
  if (inFlight.some((count) => count !== 0)) found.push(`in flight at the end: ${inFlight}`);
  const connections = host.ledger.connections(0);
  if (connections !== 0) found.push(`connections at the end: ${connections}`);
  const { usedCount } = network.descriptors;
  if (usedCount !== 0) found.push(`descriptors at the end: ${usedCount}`);
  return found;
}
