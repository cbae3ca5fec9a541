// Room for the bytes that a run makes: cut from large blocks, for a block of its own costs more than all
// that is written to it. Nothing is given back one by one: a block goes when nothing refers to it, or is used
// by the next run.

export const NOTHING: Buffer = Buffer.alloc(0);

const BLOCK_BYTES = 4 * 1024 * 1024;
/** What is larger would leave too much of a block unused. */
const CUT_MAX = BLOCK_BYTES >> 2;
/** Blocks that are kept for the next run: fewer than one run in a hundred takes as many. */
const KEPT_MAX = 16;

let block: Buffer = Buffer.allocUnsafeSlow(BLOCK_BYTES);
let used = 0;
/** Those of this run, `block` among them, and those of the run before that it has not come to yet. */
let blocks: Buffer[] = [block];
let spare: Buffer[] = [];

/** A new run begins: of what was cut before nothing will be read again. */
export function reuseRoom(): void {
  spare = [...blocks, ...spare].slice(0, KEPT_MAX);
  blocks = [];
  nextBlock();
}

function nextBlock(): void {
  block = spare.pop() ?? Buffer.allocUnsafeSlow(BLOCK_BYTES);
  used = 0;
  if (blocks.length < KEPT_MAX) blocks.push(block);
}

/** Room of this size, with anything in it: fill all of it. */
export function roomFor(size: number): Buffer {
  if (size > CUT_MAX) return Buffer.allocUnsafeSlow(size);
  if (used + size > BLOCK_BYTES) nextBlock();
  const start = used;
  used += size;
  return block.subarray(start, used);
}

/** Of these bytes those from `start` on, before `end`; they themselves where that is all of them: a view costs an object. */
export function partOf(bytes: Buffer, start: number, end: number): Buffer {
  return start === 0 && end >= bytes.length ? bytes : bytes.subarray(start, end);
}

/** Text of one byte for each character, followed by bytes. */
export function textAnd(text: string, bytes: Buffer): Buffer {
  const all = roomFor(text.length + bytes.length);
  all.write(text, 0, 'latin1');
  if (bytes.length > 0) all.set(bytes, text.length);
  return all;
}

/** All of these, one after the other. */
export function joined(parts: readonly Buffer[]): Buffer {
  if (parts.length === 1) return parts[0]!;
  let size = 0;
  for (let i = 0; i < parts.length; i += 1) size += parts[i]!.length;
  const all = roomFor(size);
  for (let i = 0, at = 0; i < parts.length; i += 1) {
    const part = parts[i]!;
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** One after the other; the one that is not empty itself where the other is. */
export function bothOf(first: Buffer, second: Buffer): Buffer {
  if (first.length === 0) return second;
  if (second.length === 0) return first;
  const all = roomFor(first.length + second.length);
  all.set(first, 0);
  all.set(second, first.length);
  return all;
}
