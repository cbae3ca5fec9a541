// Reads files whose names come from a configuration: whole, bounded, and regular ones alone. What
// never ends (a device), never begins (a FIFO without a writer) or is no file at all is refused
// before a byte of it is read. What is read while the process serves is read by timely-file.ts.
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
import { lstat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { formatBytes } from './bytes.ts';
import { CodedError } from './coded-error.ts';

const PIECE_BYTES = 64 * 1024;
/** A FIFO must not be waited for, and a terminal not become ours, where the file was swapped. */
export const OPEN_FLAGS = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY;

/**
 * The content of a regular file of at most `bytesMax`. Throws CodedError `not-a-file` or
 * `too-large`, whose messages say what was expected, and what the system says (ENOENT, ...).
 */
export function readRegularFile(path: string, bytesMax: number): Buffer {
  // Opening a device can do something; so it is looked at first, and again once it is open.
  checkRegular(path, statSync(path), bytesMax);
  const file = openSync(path, OPEN_FLAGS);
  try {
    const stats = fstatSync(file);
    checkRegular(path, stats, bytesMax);
    return readWhole(file, path, bytesMax, stats.size);
  } finally {
    closeSync(file);
  }
}

/**
 * Rejects with CodedError `not-a-file` where `path` is something that a file must not take the place of: who
 * may write to a device's folder would take it from the whole machine. Nothing there is fine.
 */
export async function refuseOther(path: string): Promise<void> {
  const stats = await lstat(path).catch(() => null);
  if (stats !== null && !stats.isSymbolicLink()) checkKind(path, stats);
}

/** That every user may read a file with a secret, or change it; '' where that is not so, or there is none. */
export function exposureOf(path: string): string {
  return exposureBy(modeOf(path));
}

/** The same of a file of this mode. */
export function exposureBy(mode: number): string {
  const may = (mode & OTHERS_READ) !== 0 ? 'read' : (mode & OTHERS_WRITE) !== 0 ? 'change' : '';
  if (may === '') return '';
  return `every user of this machine may ${may} it (mode ${octal(mode)}): expected 0600 or 0640`;
}

/**
 * Why a file that decides something may be the work of others; '' where its owner, who is this user or root,
 * and their group alone may write it. Throws the system's error.
 */
export function forgeryOf(path: string): string {
  const isOpen = (statSync(dirname(path)).mode & OTHERS_WRITE) !== 0;
  // A link of somebody else's may lead to a file of ours.
  for (const stats of [lstatSync(path), statSync(path)]) {
    const { mode, uid } = stats;
    if (!stats.isSymbolicLink() && (mode & OTHERS_WRITE) !== 0) {
      return `every user of this machine may write it (mode ${octal(mode)})`;
    }
    if (isOpen && uid !== 0 && uid !== process.geteuid?.()) {
      return `it belongs to user ${uid}, in a folder that everyone may write`;
    }
  }
  return '';
}

const OTHERS_READ = 0o004;
const OTHERS_WRITE = 0o002;

function modeOf(path: string): number {
  try {
    return statSync(path).mode;
  } catch {
    return 0;
  }
}

function octal(mode: number): string {
  return (mode & 0o777).toString(8).padStart(4, '0');
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

/** Throws CodedError `not-a-file` or `too-large`. */
export function checkRegular(path: string, stats: Stats, bytesMax: number): void {
  checkKind(path, stats);
  if (stats.size > bytesMax) throw tooLarge(path, bytesMax);
}

function checkKind(path: string, stats: Stats): void {
  const kind = kindOf(stats);
  if (kind !== '')
    throw new CodedError('not-a-file', `${path} is ${kind}: expected a regular file`);
}

/** The error `too-large`, to be thrown by those who read. */
export function tooLarge(path: string, bytesMax: number): CodedError {
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
