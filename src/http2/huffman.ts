// The Huffman code of HPACK (RFC 7541 section 5.2 and appendix B). It is canonical: the lengths of the
// codes, with the symbols of one length in ascending order, are all there is to it.

// biome-ignore format: sixteen symbols a line
const LENGTHS = [
  13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
  28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
  6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
  5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
  13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
  7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
  15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
  6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
  20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
  24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
  22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
  21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
  26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
  19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
  20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
  26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
];
/** The symbol that must not stand in a string. */
const EOS = 256;
const EOS_LENGTH = 30;

const CODES = codesOf([...LENGTHS, EOS_LENGTH]);

function codesOf(lengths: readonly number[]): Uint32Array {
  const codes = new Uint32Array(lengths.length);
  let code = 0;
  for (let length = 1; length <= EOS_LENGTH; length += 1) {
    code *= 2;
    lengths.forEach((own, symbol) => {
      if (own !== length) return;
      codes[symbol] = code;
      code += 1;
    });
  }
  if (code !== 2 ** EOS_LENGTH) throw new Error('the lengths are no complete code');
  return codes;
}

// The decoder reads four bits at a time: no code is shorter than five, so each step ends at most one
// symbol. A node is a prefix of codes; per node and four bits: the next node, what ended, or a fault.

const EMITS = 1 << 9;
const FAILS = 1 << 10;
const SYMBOL_SHIFT = 11;
const NODE_MASK = EMITS - 1;

const { steps: STEPS, ends: ENDS } = machineOf();

function machineOf(): { steps: Int32Array; ends: Uint8Array } {
  // A tree of [left, right]: a number >= 0 is a node, ~symbol is a leaf.
  const tree: [number, number][] = [[0, 0]];
  for (let symbol = 0; symbol <= EOS; symbol += 1) plant(tree, symbol);
  const steps = new Int32Array(tree.length * 16);
  for (let node = 0; node < tree.length; node += 1) {
    for (let bits = 0; bits < 16; bits += 1) steps[node * 16 + bits] = stepOf(tree, node, bits);
  }
  // Section 5.2: a string ends with less than eight bits, all ones: the first of EOS.
  const ends = new Uint8Array(tree.length);
  for (let node = 0, length = 0; length < 8; length += 1) {
    ends[node] = 1;
    node = tree[node]![1];
  }
  return { steps, ends };
}

function plant(tree: [number, number][], symbol: number): void {
  const length = symbol === EOS ? EOS_LENGTH : LENGTHS[symbol]!;
  let node = 0;
  for (let bit = length - 1; bit >= 0; bit -= 1) {
    const side = (CODES[symbol]! >>> bit) & 1;
    if (bit === 0) tree[node]![side] = ~symbol;
    else if (tree[node]![side] === 0) {
      tree.push([0, 0]);
      tree[node]![side] = tree.length - 1;
      node = tree.length - 1;
    } else node = tree[node]![side]!;
  }
}

function stepOf(tree: readonly [number, number][], from: number, bits: number): number {
  let node = from;
  let emitted = 0;
  for (let bit = 3; bit >= 0; bit -= 1) {
    const next = tree[node]![(bits >>> bit) & 1]!;
    if (next >= 0) node = next;
    else if (~next === EOS) return FAILS;
    else {
      emitted = EMITS | (~next << SYMBOL_SHIFT);
      node = 0;
    }
  }
  return emitted | node;
}

/**
 * Decodes bytes[start,end) to out[at...), which must have room for 8/5 of the bytes. Returns the offset
 * after what was written; -1 for what is no such string.
 */
export function decodeHuffman(
  bytes: Uint8Array,
  start: number,
  end: number,
  out: Uint8Array,
  at: number,
): number {
  let node = 0;
  let to = at;
  for (let i = start; i < end; i += 1) {
    const byte = bytes[i]!;
    const high = STEPS[node * 16 + (byte >>> 4)]!;
    if ((high & EMITS) !== 0) {
      out[to] = high >>> SYMBOL_SHIFT;
      to += 1;
    }
    const low = STEPS[(high & NODE_MASK) * 16 + (byte & 15)]!;
    if (((high | low) & FAILS) !== 0) return -1;
    if ((low & EMITS) !== 0) {
      out[to] = low >>> SYMBOL_SHIFT;
      to += 1;
    }
    node = low & NODE_MASK;
  }
  return ENDS[node] === 1 ? to : -1;
}

/** The most bytes that `count` bytes in the code can stand for. */
export function decodedMax(count: number): number {
  return Math.floor((count * 8) / 5);
}

/** How many bytes bytes[start,end) take in the code. */
export function huffmanLength(bytes: Uint8Array, start: number, end: number): number {
  let bits = 0;
  for (let i = start; i < end; i += 1) bits += LENGTHS[bytes[i]!]!;
  return (bits + 7) >>> 3;
}

/** Encodes bytes[start,end) to out[at...), which must have room. Returns the offset after the last. */
export function encodeHuffman(
  bytes: Uint8Array,
  start: number,
  end: number,
  out: Uint8Array,
  at: number,
): number {
  let to = at;
  // Bits that are not written yet, at most seven.
  let held = 0;
  let heldBits = 0;
  for (let i = start; i < end; i += 1) {
    let left = LENGTHS[bytes[i]!]!;
    const code = CODES[bytes[i]!]!;
    while (left > 0) {
      const taken = Math.min(left, 8 - heldBits);
      left -= taken;
      held = (held << taken) | ((code >>> left) & ((1 << taken) - 1));
      heldBits += taken;
      if (heldBits < 8) continue;
      out[to] = held;
      to += 1;
      held = 0;
      heldBits = 0;
    }
  }
  if (heldBits === 0) return to;
  const padding = 8 - heldBits;
  out[to] = (held << padding) | ((1 << padding) - 1);
  return to + 1;
}
