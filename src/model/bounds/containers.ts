// What a container engine answers and reports.
import { type Bound, STAYS } from './bound.ts';

export const CONTAINERS = {
  containerList: {
    input: 'list of a container engine',
    what: 'size',
    max: 32 * 1024 ** 2,
    unit: 'bytes',
    beyond: STAYS,
  },
  containers: {
    input: 'list of a container engine',
    what: 'containers',
    max: 10_000,
    unit: 'items',
    beyond: STAYS,
  },
  containerInspection: {
    input: 'answer of a container engine about a container or a network',
    what: 'size',
    max: 4 * 1024 ** 2,
    unit: 'bytes',
    beyond: 'the container is left out',
  },
  containerEvent: {
    input: 'events of a container engine',
    what: 'size of one',
    max: 256 * 1024,
    unit: 'bytes',
    beyond: 'the stream is opened again, and everything listed',
  },
  containerLooks: {
    input: 'events of a container engine',
    what: 'containers that wait to be looked at',
    max: 20_000,
    unit: 'items',
    beyond: 'the stream is opened again, and everything listed',
  },
  containerLabels: {
    input: 'container',
    what: 'labels, and variables of its environment, each',
    max: 1024,
    unit: 'items',
    beyond: 'the others are not read',
  },
  containerText: {
    input: 'container',
    what: 'length of a label or variable',
    max: 16 * 1024,
    unit: 'bytes',
    beyond: 'it is not read',
  },
  containerServices: {
    input: 'container',
    what: 'ports that become services',
    max: 256,
    unit: 'items',
    beyond: 'the others are left out',
  },
} as const satisfies Readonly<Record<string, Bound>>;
