import type { WorkerClock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import type { Random } from '../base/prng.ts';
import type { TimerWheel } from '../base/timer-wheel.ts';
import type { WorkerLedger } from '../ledger/ledger.ts';
import type { EndpointReport } from '../model/streak.ts';
import type { TlsMaterial, UpstreamMaterial } from '../model/tls.ts';
import type { AccessLog } from './access-log.ts';
import type { Datagrams } from './datagrams.ts';
import type { Memory } from './limits/memory.ts';
import type { Room } from './limits/room.ts';
import type { LiveService } from './live-service.ts';
import type { Network } from './network.ts';
import type { Challenges } from './tls/challenges.ts';

/**
 * What everything in a worker shares; one per worker thread. The data plane reaches time, chance,
 * sockets and the main thread by what stands here, and by nothing else.
 */
export interface WorkerContext {
  readonly index: number;
  readonly ledger: WorkerLedger;
  readonly clock: WorkerClock;
  readonly network: Network;
  readonly datagrams: Datagrams;
  readonly wheel: TimerWheel;
  /** By name; replaced entries live on in the connections that use them. */
  readonly services: Map<string, LiveService>;
  /** Certificates by materialKey; replaced as they change. */
  readonly tls: Map<string, TlsMaterial>;
  /** The same for endpoints, by upstreamKey. */
  readonly upstreamTls: Map<string, UpstreamMaterial>;
  /** What certificate authorities ask now. */
  readonly challenges: Challenges;
  readonly random: Random;
  readonly log: Logger;
  /** Null when it is off. */
  readonly accessLog: AccessLog | null;
  readonly memory: Memory;
  readonly room: Room;
  /** Tells the main thread. */
  readonly report: (message: EndpointReport) => void;
}
