// What ZooKeeper answers, and what its znodes carry.
import { type Bound, STAYS } from './bound.ts';

export const ZOOKEEPER = {
  zookeeperAnswer: {
    input: 'answer of ZooKeeper',
    what: 'size (as of jute.maxbuffer)',
    max: 4 * 1024 ** 2,
    unit: 'bytes',
    beyond: STAYS,
  },
  zookeeperNodes: {
    input: 'znodes below the path in ZooKeeper',
    what: 'znodes',
    max: 50_000,
    unit: 'items',
    beyond: STAYS,
  },
  zookeeperDepth: {
    input: 'znodes below the path in ZooKeeper',
    what: 'levels that are read',
    max: 8,
    unit: 'items',
    beyond: 'what is deeper is not read',
  },
  zookeeperName: {
    input: 'znodes below the path in ZooKeeper',
    what: 'length of a name',
    max: 1024,
    unit: 'items',
    beyond: 'it is left out',
  },
  zookeeperValue: {
    input: 'znode of an instance in ZooKeeper',
    what: 'size of its data',
    max: 64 * 1024,
    unit: 'bytes',
    beyond: 'it is left out, and that is a problem of its service',
  },
} as const satisfies Readonly<Record<string, Bound>>;
