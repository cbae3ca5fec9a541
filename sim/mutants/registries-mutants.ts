// Faults in what follows registries other than Consul, which the simulator must find.
import { type MutantRow, mutantsOf } from './mutant.ts';

const zookeeper = 'src/discovery/zookeeper';

const rows: readonly MutantRow[] = [
  [
    'what changes while a folder is read is not read',
    `${zookeeper}/folder.ts`,
    "this.isStale = true;\n    if (this.state !== 'idle') return;",
    "if (this.state !== 'idle') return;\n    this.isStale = true;",
  ],
  [
    'an older state of ZooKeeper is believed',
    `${zookeeper}/provider.ts`,
    "this.doubts.open('ZooKeeper answers with an older state');",
    '{}',
  ],
  [
    'a member of ZooKeeper may be silent for ever',
    `${zookeeper}/session.ts`,
    'const silenceMs = this.timeoutMs * SILENCE_SHARE;',
    'const silenceMs = Infinity;',
  ],
  [
    'a watch of data that was told is not looked after',
    `${zookeeper}/walk.ts`,
    'return void item?.onData();',
    'return;',
  ],
  [
    'a message of ZooKeeper that comes in pieces is lost',
    `${zookeeper}/frames.ts`,
    '    this.pieces.push(bytes);\n',
    '    this.pieces = [bytes];\n',
  ],
  [
    'what is left of a list is taken for the whole folder',
    `${zookeeper}/folder.ts`,
    'return this.isStale && !this.isOver && 2 * this.known < this.listed;',
    'return false;',
  ],
  [
    'what is held goes by the first of two outages',
    'src/control/guard.ts',
    'if (this.isAfterOutage) this.renew(reason, nowMs + settings.holdMs);',
    '',
  ],
  [
    'the traffic is back at etcd before its time',
    'src/control/failover.ts',
    'const leftMs = sinceMs == null ? 0 : sinceMs + policy.returnAfterMs - nowMs;',
    'const leftMs = sinceMs == null ? 0 : sinceMs - nowMs;',
  ],
  [
    'etcd is left before its time',
    'src/control/failover.ts',
    'const leftMs = this.downSinceMs + policy.afterMs - nowMs;',
    'const leftMs = 0;',
  ],
];

export const registriesMutants = mutantsOf('registries', rows);
