// Room for the bytes that a run makes: cut from large blocks, for a block of its own costs more than all
// that is written to it. Nothing is given back; a block goes when nothing refers to it.

const BLOCK_BYTES = 512 * 1024;
/** What is larger would leave too much of a block unused. */
const CUT_MAX = BLOCK_BYTES >> 3;

let block = Buffer.allocUnsafeSlow(BLOCK_BYTES);
let used = 0;

/** Room of this size, with anything in it: fill all of it. */
export function roomFor(size: number): Buffer {
  if (size > CUT_MAX) return Buffer.allocUnsafeSlow(size);
  if (used + size > BLOCK_BYTES) {
    block = Buffer.allocUnsafeSlow(BLOCK_BYTES);
    used = 0;
  }
  const start = used;
  used += size;
  return block.subarray(start, used);
}

/** Text of one byte for each character, followed by bytes. */
export function textAnd(text: string, bytes: Buffer): Buffer {
  const all = roomFor(text.length + bytes.length);
  all.write(text, 0, 'latin1');
  if (bytes.length > 0) all.set(bytes, text.length);
  return all;
}
