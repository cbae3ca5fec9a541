// What Consul answers, and what its instances and checks carry.
import { type Bound, KEEPS, STAYS } from './bound.ts';

export const CONSUL = {
  consulAnswer: {
    input: 'answer of Consul',
    what: 'size',
    max: 64 * 1024 ** 2,
    unit: 'bytes',
    beyond: STAYS,
  },
  consulQuery: {
    input: 'answer of Consul to a prepared query',
    what: 'size',
    max: 8 * 1024 ** 2,
    unit: 'bytes',
    beyond: STAYS,
  },
  consulItems: {
    input: 'answer of Consul',
    what: 'services, nodes or checks',
    max: 50_000,
    unit: 'items',
    beyond: STAYS,
  },
  consulItem: {
    input: 'answer of Consul',
    what: 'size of one instance, check, or list of a node',
    max: 8 * 1024 ** 2,
    unit: 'bytes',
    beyond: STAYS,
  },
  consulInstances: {
    input: 'answer of Consul about a service',
    what: 'instances',
    max: 10_000,
    unit: 'items',
    beyond: STAYS,
  },
  consulKey: {
    input: 'answer of Consul about the KV overlay',
    what: 'size, in base64',
    max: 1024 ** 2,
    unit: 'bytes',
    beyond: KEEPS,
  },
  consulError: {
    input: 'answer of Consul other than 200',
    what: 'size that is read',
    max: 4096,
    unit: 'bytes',
    beyond: 'the rest is not read',
  },
  consulName: {
    input: 'instance in Consul',
    what: 'length of its id, node and address',
    max: 512,
    unit: 'bytes',
    beyond: 'the instance is left out',
  },
  consulTags: {
    input: 'instance in Consul',
    what: 'tags, and keys of Meta',
    max: 256,
    unit: 'items',
    beyond: 'the others are not read',
  },
  consulTag: {
    input: 'instance in Consul',
    what: 'length of a tag, or of a key or value of Meta',
    max: 4096,
    unit: 'bytes',
    beyond: 'it is not read',
  },
  consulChecks: {
    input: 'instance in Consul',
    what: 'checks',
    max: 256,
    unit: 'items',
    beyond: 'the instance is left out',
  },
  consulOutput: {
    input: 'check in Consul',
    what: 'length of its output and notes that is read',
    max: 1024,
    unit: 'bytes',
    beyond: 'the rest is not read',
  },
} as const satisfies Readonly<Record<string, Bound>>;
