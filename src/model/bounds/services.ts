// What a service has, whichever registry it is in, and what is registered by us.
import type { Bound } from './bound.ts';

export const SERVICES = {
  listedInstances: {
    input: 'service in a registry other than Consul, or by from.kv',
    what: 'instances',
    max: 10_000,
    unit: 'items',
    beyond: 'the others are left out, and that is a problem of the service',
  },
  ownSettings: {
    input: 'service in a registry',
    what: 'settings that an instance in Consul or ZooKeeper, or else the service, gives itself',
    max: 64,
    unit: 'items',
    beyond: 'the others are left out, and that is a problem of the service',
  },
  ownSetting: {
    input: 'service in a registry',
    what: 'length of a setting, with its value',
    max: 1024,
    unit: 'items',
    beyond: 'it is left out, and that is a problem of the service',
  },
  problems: {
    input: 'table',
    what: 'problems of one kind that are shown',
    max: 10,
    unit: 'items',
    beyond: 'the others are counted',
  },
  registeredName: {
    input: 'container that is registered',
    what: 'length of the name and the id of its service',
    max: 512,
    unit: 'items',
    beyond: 'it is not registered, and that is logged',
  },
  registryAnswer: {
    input: 'answer of a registry that is registered in',
    what: 'size',
    max: 16 * 1024 ** 2,
    unit: 'bytes',
    beyond: 'refused; the call is tried again',
  },
  selfTags: {
    input: 'registration of this process in Consul',
    what: 'tags',
    max: 1000,
    unit: 'items',
    beyond: 'the others are left out, and that is logged',
  },
} as const satisfies Readonly<Record<string, Bound>>;
