// Reads files whose names come from a configuration: whole, bounded, and regular ones alone. What
// never ends (a device), never begins (a FIFO without a writer) or is no file at all is refused
// before a byte of it is read.
import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  readSync,
  type Stats,
  statSync,
} from 'node:fs';
import { formatBytes } from './bytes.ts';
import { CodedError } from './coded-error.ts';

const PIECE_BYTES = 64 * 1024;
/** A FIFO must not be waited for, and a terminal not become ours, where the file was swapped. */
const FLAGS = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY;

/**
 * The content of a regular file of at most `bytesMax`. Throws CodedError `not-a-file` or
 * `too-large`, whose messages say what was expected, and what the system says (ENOENT, ...).
 */
export function readRegularFile(path: string, bytesMax: number): Buffer {
  // Opening a device can do something; so it is looked at first, and again once it is open.
  check(path, statSync(path), bytesMax);
  const file = openSync(path, FLAGS);
  try {
    const stats = fstatSync(file);
    check(path, stats, bytesMax);
    return readWhole(file, path, bytesMax, stats.size);
  } finally {
    closeSync(file);
  }
}

/**
 * Throws CodedError `not-a-file` where `path` is something that a file must not take the place of: who
 * may write to a device's folder would take it from the whole machine. Nothing there is fine.
 */
export function refuseOther(path: string): void {
  const stats = lstatSync(path, { throwIfNoEntry: false });
  if (stats !== undefined && !stats.isSymbolicLink()) checkKind(path, stats);
}

function readWhole(file: number, path: string, bytesMax: number, size: number): Buffer {
  const pieces: Buffer[] = [];
  let bytes = 0;
  for (;;) {
    // Files of the kernel have size 0, and any file may grow while it is read.
    const piece = Buffer.allocUnsafe(Math.max(PIECE_BYTES, size - bytes));
    const read = readSync(file, piece);
    if (read === 0) return Buffer.concat(pieces, bytes);
    bytes += read;
    if (bytes > bytesMax) throw tooLarge(path, bytesMax);
    pieces.push(piece.subarray(0, read));
  }
}

function check(path: string, stats: Stats, bytesMax: number): void {
  checkKind(path, stats);
  if (stats.size > bytesMax) throw tooLarge(path, bytesMax);
}

function checkKind(path: string, stats: Stats): void {
  const kind = kindOf(stats);
  if (kind !== '')
    throw new CodedError('not-a-file', `${path} is ${kind}: expected a regular file`);
}

function tooLarge(path: string, bytesMax: number): CodedError {
  return new CodedError('too-large', `${path} is larger than ${formatBytes(bytesMax)}`);
}

/** What it is in the place of a regular file; '' for one. */
function kindOf(stats: Stats): string {
  if (stats.isFile()) return '';
  if (stats.isDirectory()) return 'a directory';
  if (stats.isFIFO()) return 'a FIFO';
  if (stats.isSocket()) return 'a socket';
  return 'a device';
}
