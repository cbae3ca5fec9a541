// Faults of the provider for ZooKeeper, which the simulator must find.
import { type MutantRow, mutantsOf } from './mutant.ts';

const zookeeper = 'src/discovery/zookeeper';

const rows: readonly MutantRow[] = [
  [
    'what changes while a folder is read is not read',
    `${zookeeper}/folder.ts`,
    'while (this.isStale && !this.isOver) await this.read();',
    'await this.read();',
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
    'silentMs >= this.timeoutMs * SILENCE_SHARE',
    'silentMs < 0',
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
];

export const zookeeperMutants = mutantsOf('registries', rows);
