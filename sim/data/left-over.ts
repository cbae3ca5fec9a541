// What must be gone when all is quiet. The world's end: workers drain, services leave, wheels stop.
import { SHORT_MAX } from '../../src/proxy/limits/memory.ts';
import type { Kernel } from '../kernel/kernel.ts';
import type { SimNetwork } from '../net/sim-network.ts';
import type { Book } from './book.ts';
import type { WorkerHost } from './host.ts';
import { type SharedLedger, takeLeftClients } from './ledgers.ts';
import type { InstantOracles } from './oracles.ts';
import type { WorldPlan } from './plan.ts';
import type { Table } from './table.ts';
import type { WatchedBuffers } from './watched.ts';

/** Longer than any timer of a world. */
const QUIET_MS = 7_000;
/** The system gives up connections that nobody answers. */
const TCP_MS = 200_000;
/** What may wait for one peer that does not read: two reads, a kept request, heads (docs/limits.md). */
const BUFFERED_MAX = 368 * 1024;

export interface Remains {
  readonly kernel: Kernel;
  readonly book: Book;
  readonly plan: WorldPlan;
  readonly table: Table;
  readonly hosts: readonly WorkerHost[];
  readonly network: SimNetwork;
  readonly oracles: InstantOracles;
  readonly buffers: WatchedBuffers;
  readonly shared: SharedLedger;
  readonly drained: ReadonlySet<number>;
}

/** Enters everything into the book that is still there. */
export async function leftOver(remains: Remains): Promise<void> {
  const { kernel, hosts, plan } = remains;
  // Changes that are due, endpoints that still talk, connections that close.
  await kernel.run(kernel.nowMs + QUIET_MS);
  checkServing(remains);
  await drain(remains);
  const remove = plan.services.map(({ name }) => name);
  for (const host of hosts) {
    void host.worker.apply({ version: 1_000_000, upsert: [], remove, listeners: [] });
  }
  await kernel.run(kernel.nowMs + QUIET_MS);
  for (const { wheel, context } of hosts) {
    const owners = wheel.setFor;
    if (owners.length > 0)
      remains.book.fault(`timers of worker ${context.index} are set: ${owners}`);
  }
  for (const host of hosts) host.stop();
  const end = await kernel.run(kernel.nowMs + TCP_MS);
  if (end !== 'idle') remains.book.fault(`${kernel.pendingCount} events are left`);
  checkGone(remains);
}

/** Places that requests took while they lasted are free, before anything is torn down. */
function checkServing({ hosts, book, oracles, network, table }: Remains): void {
  const { leftOver } = oracles;
  const { mostBuffered, usedCount } = network.descriptors;
  if (mostBuffered > BUFFERED_MAX) book.fault(`${mostBuffered} bytes wait for one peer`);
  // Every client is gone; upstream connections that may not lie idle for so long are, too.
  const longestMs = Math.max(
    ...[...table.services.values()].flatMap(({ policies }) =>
      policies.map(({ limits }) => limits.idleUpstreamMs),
    ),
  );
  if (longestMs < QUIET_MS / 2 && usedCount > 0)
    book.fault(`${usedCount} connections are open when all is quiet`);
  if (leftOver.length > 0) book.fault(`in flight when all is quiet, by slot: ${leftOver}`);
  for (const { context } of hosts) {
    for (const live of context.services.values()) {
      if (live.waitingCount > 0)
        book.fault(`${live.waitingCount} wait in the queue of ${live.name}`);
      const { adaptive } = live;
      if (adaptive === null) continue;
      for (let i = adaptive.current; i > 0; i -= 1) {
        if (!adaptive.enter())
          return book.fault(`places of the adaptive limit of ${live.name} are lost`);
      }
    }
    const { requests } = context.memory;
    const places = Array.from({ length: SHORT_MAX }, () => requests.enter());
    if (places.includes(null)) book.fault('places for requests while memory is short are lost');
    for (const place of places) place?.leave();
  }
}

async function drain({ kernel, hosts, drained, book }: Remains): Promise<void> {
  const left = hosts.filter(({ context }) => !drained.has(context.index));
  let open = left.length;
  for (const { worker } of left) {
    void worker.drain(QUIET_MS).then((cut) => {
      open -= 1;
      if (cut > 0) book.fault(`draining cuts ${cut} connections, though all is quiet`);
    });
  }
  const end = await kernel.run(kernel.nowMs + 2 * QUIET_MS, () => open === 0);
  if (end !== 'done') book.fault('draining never ends');
}

/** Handshakes that a worker has at a time (docs/limits.md). */
const HANDSHAKES_MAX = 128;

function checkGone(remains: Remains): void {
  const { mostUnderWay } = remains.network.tls;
  if (mostUnderWay > HANDSHAKES_MAX * remains.plan.workers)
    remains.book.fault(`${mostUnderWay} handshakes were under way at a time`);
  const { book, hosts, network, plan, buffers, table } = remains;
  const { ledger } = hosts[0]!;
  for (const slot of table.bySlot.keys()) {
    const count = ledger.inFlight(slot);
    if (count !== 0) book.fault(`the ledger has ${count} in flight on slot ${slot} at the end`);
  }
  for (const { slot, name } of plan.services) {
    const count = ledger.connections(slot);
    if (count !== 0) book.fault(`the ledger has ${count} connections of ${name} at the end`);
  }
  const cells = takeLeftClients(remains.shared);
  if (cells > 0) book.fault(`${cells} counts of single clients' connections are left at the end`);
  const { usedCount } = network.descriptors;
  if (usedCount > 0) book.fault(`${usedCount} descriptors are open at the end`);
  const lost = buffers.out.size - network.forfeited;
  if (lost > 0) book.fault(`${lost} read buffers were not given back`);
  const { keptBytes } = buffers.largeWrites;
  if (keptBytes > 0) book.fault(`room of ${keptBytes} bytes for large writes was not given back`);
}
