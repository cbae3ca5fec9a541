// What etcd answers and sends by its watch, and what its keys carry.
import { type Bound, STAYS } from './bound.ts';

export const ETCD = {
  etcdAnswer: {
    input: 'answer of etcd',
    what: 'size: of all keys by v2, of a page of 1,000 by v3',
    max: 16 * 1024 ** 2,
    unit: 'bytes',
    beyond: STAYS,
  },
  etcdEvents: {
    input: 'watch of etcd v3',
    what: 'size of the events of one message',
    max: 16 * 1024 ** 2,
    unit: 'bytes',
    beyond: 'the keys are listed again',
  },
  etcdEventItems: {
    input: 'watch of etcd v3',
    what: 'events of one message',
    max: 10_000,
    unit: 'items',
    beyond: 'the keys are listed again',
  },
  etcdError: {
    input: 'answer of etcd other than 200',
    what: 'size that is read',
    max: 4096,
    unit: 'bytes',
    beyond: 'the rest is not read',
  },
  etcdKeys: {
    input: 'keys below the prefix in etcd',
    what: 'keys and directories',
    max: 50_000,
    unit: 'items',
    beyond: STAYS,
  },
  etcdKey: {
    input: 'key in etcd',
    what: 'length behind the prefix',
    max: 1024,
    unit: 'items',
    beyond: 'the key is left out',
  },
  etcdDepth: {
    input: 'key in etcd',
    what: 'parts between slashes, behind the prefix',
    max: 16,
    unit: 'items',
    beyond: 'the key is left out',
  },
  etcdValue: {
    input: 'key of a service in etcd, or by from.kv in Consul',
    what: 'length of its value',
    max: 4096,
    unit: 'items',
    beyond: 'the key is left out, and that is a problem of its service',
  },
} as const satisfies Readonly<Record<string, Bound>>;
