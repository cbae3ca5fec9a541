// Where a worker thread starts: makes the parts of the data plane and wires them to the main
// thread. Everything else about a worker is in worker.ts.

import { parentPort, workerData } from 'node:worker_threads';
import { systemClock as clock } from '../base/clock.ts';
import { isLogged, type LogFields, type Logger, type LogLevel } from '../base/log.ts';
import { MEMORY_LOOK_MS, MemoryLevel } from '../base/memory-level.ts';
import { seededRandom } from '../base/prng.ts';
import { TimerWheel } from '../base/timer-wheel.ts';
import { WorkerLedger } from '../ledger/ledger.ts';
import { DeltaUnpacker } from '../model/delta-packing.ts';
import { AccessLog } from '../proxy/access-log.ts';
import type { WorkerContext } from '../proxy/context.ts';
import { Memory } from '../proxy/limits/memory.ts';
import { Room } from '../proxy/limits/room.ts';
import { Challenges } from '../proxy/tls/challenges.ts';
import { makeNodeDatagrams } from '../proxy/wire/node-datagrams.ts';
import { makeNodeNetwork } from '../proxy/wire/node-network.ts';
import type { FromWorker, ToWorker, WorkerInit } from './messages.ts';
import { Worker } from './worker.ts';

if (parentPort === null) throw new Error('worker/entry runs in a worker thread alone');
const port = parentPort;
// Given by the supervisor, which is ours.
const init = workerData as WorkerInit;

const report = (message: FromWorker): void => port.postMessage(message);
const logAt = (level: LogLevel) => (fields: LogFields, message: string) => {
  try {
    report({ type: 'log', level, fields, message });
  } catch {
    // Something in it can't be sent to another thread; the record must not end the worker.
    report({ type: 'log', level, fields: { unsendable: Object.keys(fields) }, message });
  }
};
const drop = (): void => {};
const loggerOf = (level: LogLevel) => (isLogged(level, init.logLevel) ? logAt(level) : drop);
const log: Logger = {
  debug: loggerOf('debug'),
  info: loggerOf('info'),
  warn: loggerOf('warn'),
  error: loggerOf('error'),
};

const wheel = new TimerWheel(clock.nowMs);
wheel.start(clock);
const services: WorkerContext['services'] = new Map();
const context: WorkerContext = {
  index: init.index,
  ledger: new WorkerLedger(init.ledger),
  clock,
  network: makeNodeNetwork(log),
  datagrams: makeNodeDatagrams(log),
  wheel,
  services,
  tls: new Map(),
  challenges: new Challenges(),
  upstreamTls: new Map(),
  random: seededRandom(init.seed),
  log,
  accessLog: init.accessLog
    ? new AccessLog({
        wheel,
        wallMs: clock.wallMs,
        send: (lines) => report({ type: 'access', lines }),
      })
    : null,
  report,
  memory: new Memory(wheel),
  room: new Room(services, wheel, log),
};
const worker = new Worker(context, (listenErrors) => report({ type: 'listeners', listenErrors }));

// Not by a message of the main thread: what is short of memory may be what keeps that busy.
const level = new MemoryLevel();
let { memoryMaxBytes } = init;
clock.setTicker(MEMORY_LOOK_MS, () => {
  if (level.look(memoryMaxBytes)) worker.setMemory(level.isShort);
});

const unpacker = new DeltaUnpacker();
port.on('message', (message: ToWorker) => {
  switch (message.type) {
    case 'apply':
      void worker
        .apply(unpacker.unpack(message.delta))
        .then((listenErrors) =>
          report({ type: 'applied', version: message.delta.version, listenErrors }),
        );
      return;
    case 'drain':
      void worker.drain(message.graceMs).then((cut) => report({ type: 'drained', cut }));
      return;
    case 'memory-max':
      memoryMaxBytes = message.maxBytes;
      return;
    case 'tls':
      worker.setTls(message.materials, message.upstream);
      return;
    case 'challenges':
      context.challenges.set(message.table);
      report({ type: 'challenged', id: message.id });
      return;
    case 'ping':
      report({ type: 'pong', id: message.id });
      return;
    case 'stop':
      process.exit(0);
  }
});
report({ type: 'ready' });
