// One worker of the product over a simulated network and clock: what src/worker/entry.ts is in a
// thread.

import type { Logger } from '../../src/base/log.ts';
import type { Ledger } from '../../src/ledger/ledger.ts';
import type { AccessRecord } from '../../src/proxy/access-log.ts';
import type { WorkerContext } from '../../src/proxy/context.ts';
import type { Datagrams } from '../../src/proxy/datagrams.ts';
import { Memory } from '../../src/proxy/limits/memory.ts';
import { Room } from '../../src/proxy/limits/room.ts';
import { Challenges } from '../../src/proxy/tls/challenges.ts';
import type { FromWorker } from '../../src/worker/messages.ts';
import { Worker } from '../../src/worker/worker.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { noDatagrams } from '../net/no-datagrams.ts';
import type { SimNetwork } from '../net/sim-network.ts';
import type { SharedLedger } from './ledgers.ts';
import { type LedgerWatch, WatchedAccessLog, WatchedLedger, WatchedWheel } from './watched.ts';

/** An error of the system's, which some worlds mean to cause. */
const NO_ROOM = 'no descriptor or port is left';

export interface HostSetting {
  /** Of the process: workers share it. */
  readonly shared: SharedLedger;
  readonly index: number;
  readonly watch: LedgerWatch;
  /** Gets what the access log would; without it there is none. */
  readonly onAccess?: (record: AccessRecord) => void;
  /** Without it there are none. */
  readonly datagrams?: Datagrams;
}

export class WorkerHost {
  readonly worker: Worker;
  readonly ledger: Ledger;
  readonly context: WorkerContext;
  /** What the worker told the main thread, in order. */
  readonly reports: FromWorker[] = [];
  /** Records of level error: a broken rule of the product's own is one. */
  readonly errors: string[] = [];

  readonly wheel: WatchedWheel;

  /** `shared` is the process's, which workers share; this one is number `index` of it. */
  constructor(
    kernel: Kernel,
    network: SimNetwork,
    { shared, index, watch, onAccess, datagrams = noDatagrams }: HostSetting,
  ) {
    const { clock } = kernel;
    const draws = kernel.chance(`worker ${index}`);
    const wheel = new WatchedWheel(clock.nowMs);
    this.wheel = wheel;
    const quiet = (fromMs: number, toMs: number): number => wheel.quietUntilMs(fromMs, toMs);
    wheel.start({ ...clock, setTicker: (ms, run) => kernel.every(ms, run, quiet) });
    this.ledger = shared.ledger;
    const services: WorkerContext['services'] = new Map();
    const log = this.makeLogger(kernel);
    this.context = {
      index,
      ledger: new WatchedLedger(shared.buffers[index]!, index, watch),
      clock,
      network: network.of(index),
      datagrams,
      wheel,
      services,
      tls: new Map(),
      challenges: new Challenges(),
      upstreamTls: new Map(),
      random: () => draws.next(),
      log,
      accessLog: onAccess === undefined ? null : new WatchedAccessLog(wheel, onAccess),
      room: new Room(services, wheel, log),
      report: (message) => this.reports.push(message),
      memory: new Memory(wheel),
    };
    this.worker = new Worker(this.context, (listenErrors) =>
      this.reports.push({ type: 'listeners', listenErrors }),
    );
  }

  private makeLogger(kernel: Kernel): Logger {
    const at = (level: string) => (fields: object, message: string) => {
      if (level === 'error' && !message.startsWith(NO_ROOM))
        this.errors.push(`${message} ${JSON.stringify(fields)}`);
      if (kernel.trace.isOn) {
        kernel.trace.add(kernel.nowMs, `worker ${level}: ${message} ${JSON.stringify(fields)}`);
      }
    };
    return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
  }

  /** Stops the timer wheel, so that nothing of the worker is left in the kernel. */
  stop(): void {
    this.context.wheel.stop();
  }
}
