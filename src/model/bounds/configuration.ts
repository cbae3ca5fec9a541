// The configuration: its file, the KV overlay, and what they come to together.
import { type Bound, KEEPS } from './bound.ts';

export const CONFIGURATION = {
  configFile: {
    input: 'configuration file',
    what: 'size',
    max: 4 * 1024 ** 2,
    unit: 'bytes',
    beyond: KEEPS,
  },
  overlay: { input: 'KV overlay', what: 'size', max: 512 * 1024, unit: 'bytes', beyond: KEEPS },
  configDepth: {
    input: 'configuration file, KV overlay',
    what: 'depth of nesting',
    max: 32,
    unit: 'items',
    beyond: KEEPS,
  },
  configItems: {
    input: 'configuration file, KV overlay',
    what: 'keys and values, with aliases written out',
    max: 250_000,
    unit: 'items',
    beyond: KEEPS,
  },
  configAliases: {
    input: 'configuration file, KV overlay',
    what: 'aliases',
    max: 1000,
    unit: 'items',
    beyond: KEEPS,
  },
  configVariables: {
    input: 'configuration file',
    what: 'values of variables put in, in all',
    max: 1024 ** 2,
    unit: 'bytes',
    beyond: KEEPS,
  },
  configServices: {
    input: 'configuration, all layers',
    what: 'services',
    max: 4096,
    unit: 'items',
    beyond: KEEPS,
  },
  configRoutes: {
    input: 'configuration, all layers',
    what: 'routes',
    max: 10_000,
    unit: 'items',
    beyond: KEEPS,
  },
  configProblems: {
    input: 'configuration, all layers',
    what: 'problems that are reported',
    max: 100,
    unit: 'items',
    beyond: 'the others are counted',
  },
  configProblem: {
    input: 'configuration, tags of a service',
    what: 'length of a problem',
    max: 1000,
    unit: 'items',
    beyond: 'it is cut',
  },
  configTime: {
    input: 'configuration, all layers',
    what: 'time to read a changed one',
    max: 30_000,
    unit: 'ms',
    beyond: KEEPS,
  },
  configMemory: {
    input: 'configuration, all layers',
    what: 'memory to read a changed one',
    max: 512 * 1024 ** 2,
    unit: 'bytes',
    beyond: KEEPS,
  },
} as const satisfies Readonly<Record<string, Bound>>;
