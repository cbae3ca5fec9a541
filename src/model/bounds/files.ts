// Files that are read while the process serves, and the state file.
import { FILE_MS_MAX, FILE_READS_MAX } from '../../base/timely-file.ts';
import type { Bound } from './bound.ts';

export const FILES = {
  fileTime: {
    input: 'files that are read while the process serves',
    what: 'time until one is read',
    max: FILE_MS_MAX,
    unit: 'ms',
    beyond: 'it counts as one that can not be read: what is in use stays',
  },
  fileReads: {
    input: 'files that are read while the process serves',
    what: 'read at the same time, of one folder one',
    max: FILE_READS_MAX,
    unit: 'items',
    beyond: 'they wait; a folder whose disk hangs is not tried until it has answered',
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
  stateLines: {
    input: 'state file',
    what: 'sources and checks',
    max: 100_000,
    unit: 'items',
    beyond: 'the file is ignored, and that is logged',
  },
} as const satisfies Readonly<Record<string, Bound>>;
