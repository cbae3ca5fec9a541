// Everything by which the control plane reaches the outside: the program's own, which a simulator
// replaces. What is not among them (stats port, secrets in files) is off in a simulation.
import { type Clock, systemClock } from './base/clock.ts';
import type { Random } from './base/prng.ts';
import { Dispatchers } from './discovery/consul/dispatchers.ts';
import type { OpenConsul } from './discovery/consul/transport.ts';
import { type Resolve, resolveName } from './discovery/host-names.ts';
import type { Probe } from './health/checker.ts';
import { probe } from './health/probe.ts';
import { type Disk, nodeDisk } from './state/disk.ts';
import { nodeThreads } from './supervisor/node-thread.ts';
import type { StartThread } from './supervisor/thread-door.ts';

export interface Doors {
  readonly clock: Clock;
  readonly random: Random;
  readonly openConsul: OpenConsul;
  /** Host names in the place of addresses. */
  readonly resolve: Resolve;
  /** One active check of one endpoint. */
  readonly probe: Probe;
  readonly disk: Disk;
  readonly startThread: StartThread;
  /** Bytes that the process has taken. */
  readonly residentBytes: () => number;
}

export const nodeDoors: Doors = {
  clock: systemClock,
  random: Math.random,
  openConsul: (tls, onProtocol) => new Dispatchers(tls, onProtocol),
  resolve: resolveName,
  probe,
  disk: nodeDisk,
  startThread: nodeThreads(),
  residentBytes: () => process.memoryUsage.rss(),
};
