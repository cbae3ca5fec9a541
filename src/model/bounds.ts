// How much of each foreign input is taken, in one table: bytes before anything is parsed, items
// before anything is made of them, time where neither tells. What a client or an endpoint of the
// data plane may stretch is a setting of its service (docs/limits.md). Beyond a bound the input is
// refused as a whole with an error that says the bound, and what was there before stays.
// docs/limits.md lists every row: `npm run docs` writes them there.
import { formatBytes } from '../base/bytes.ts';
import { formatDuration } from '../base/duration.ts';

export interface Bound {
  /** Whose input, for people. */
  readonly input: string;
  /** What is counted. */
  readonly what: string;
  readonly max: number;
  readonly unit: 'bytes' | 'items' | 'ms';
  /** What happens beyond it. */
  readonly beyond: string;
}

const KEEPS = 'refused; the running configuration stays';

export const BOUNDS = {
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
  tokenFile: {
    input: 'files of tokens',
    what: 'size',
    max: 16 * 1024,
    unit: 'bytes',
    beyond: 'refused; a token that was read before stays',
  },
  tlsFile: {
    input: 'certificates, keys and CA files',
    what: 'size',
    max: 4 * 1024 ** 2,
    unit: 'bytes',
    beyond: 'refused; the connection fails with that error',
  },
  stateFile: {
    input: 'state file',
    what: 'size',
    max: 128 * 1024 ** 2,
    unit: 'bytes',
    beyond: 'the file is ignored, and that is logged',
  },
} as const satisfies Readonly<Record<string, Bound>>;

/** The bound as people write it: `4MiB`, `4,096`, `30s`. */
export function formatBound({ max, unit }: Bound): string {
  if (unit === 'bytes') return formatBytes(max);
  return unit === 'ms' ? formatDuration(max) : max.toLocaleString('en-US');
}
