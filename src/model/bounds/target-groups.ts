// Target groups: lists of services and endpoints in files and behind URLs.
import { type Bound, STAYS } from './bound.ts';

export const TARGET_GROUPS = {
  listedServices: {
    input: 'target groups of a file or URL',
    what: 'services',
    max: 10_000,
    unit: 'items',
    beyond: 'the others are left out, and that is logged',
  },
  listedName: {
    input: 'target groups of a file or URL',
    what: 'length of the name of a service',
    max: 512,
    unit: 'items',
    beyond: 'the group is left out, and that is logged',
  },
  targetGroups: {
    input: 'target groups of a file or URL',
    what: 'groups',
    max: 100_000,
    unit: 'items',
    beyond: STAYS,
  },
  targetGroup: {
    input: 'target groups of a file or URL',
    what: 'size of one, which is nested 64 deep at most',
    max: 1024 ** 2,
    unit: 'bytes',
    beyond: STAYS,
  },
  targetFiles: {
    input: 'target groups of a file',
    what: 'files that a pattern fits',
    max: 1000,
    unit: 'items',
    beyond: STAYS,
  },
  targetFilesSize: {
    input: 'target groups of a file',
    what: 'size of all files',
    max: 64 * 1024 ** 2,
    unit: 'bytes',
    beyond: STAYS,
  },
  targetEntries: {
    input: 'target groups of a file',
    what: 'names in the folder of a pattern',
    max: 100_000,
    unit: 'items',
    beyond: STAYS,
  },
  targetYamlTime: {
    input: 'file with target groups in YAML',
    what: 'time to read it, in a thread of its own',
    max: 5000,
    unit: 'ms',
    beyond: STAYS,
  },
  targetFile: {
    input: 'file with target groups',
    what: 'size',
    max: 8 * 1024 ** 2,
    unit: 'bytes',
    beyond: STAYS,
  },
  targetYaml: {
    input: 'file with target groups in YAML',
    what: 'size',
    max: 256 * 1024,
    unit: 'bytes',
    beyond: 'refused, for reading it takes long: JSON may be larger',
  },
  targetAnswer: {
    input: 'target groups of a URL',
    what: 'size',
    max: 8 * 1024 ** 2,
    unit: 'bytes',
    beyond: STAYS,
  },
  targetError: {
    input: 'answer of a URL for target groups other than 200',
    what: 'size that is read',
    max: 4096,
    unit: 'bytes',
    beyond: 'the rest is not read',
  },
} as const satisfies Readonly<Record<string, Bound>>;
