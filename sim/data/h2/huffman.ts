// The Huffman code of HPACK (RFC 7541 appendix B) for actors, bit by bit. Slow and plain: an oracle may
// not use the product's own.

import { roomFor } from '../../kernel/bytes.ts';

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
  30,
];
const END = 256;

/** A tree: what a bit leads to; a number below 0 is ~symbol. */
type Node = [zero: Node | number, one: Node | number];

const values: number[] = [];
const CODE_BITS_MAX = 30;
const root: Node = [0, 0];

function plant(symbol: number, code: string): void {
  values[symbol] = Number.parseInt(code, 2);
  let node = root;
  for (let i = 0; i < code.length - 1; i += 1) {
    const bit = code.charCodeAt(i) - 48;
    if (node[bit] === 0) node[bit] = [0, 0];
    node = node[bit] as Node;
  }
  node[code.charCodeAt(code.length - 1) - 48] = ~symbol;
}

// Canonical: codes of one length are counted up, symbol by symbol, and a longer one goes on from there.
for (let length = 5, next = 0; length <= 30; length += 1, next *= 2) {
  LENGTHS.forEach((own, symbol) => {
    if (own !== length) return;
    plant(symbol, next.toString(2).padStart(length, '0'));
    next += 1;
  });
}

export function huffman(text: string): Buffer {
  const bytes = roomFor(Math.ceil((text.length * CODE_BITS_MAX) / 8) + 1);
  let end = 0;
  let bits = 0;
  let open = 0;
  for (let i = 0; i < text.length; i += 1) {
    const symbol = text.charCodeAt(i);
    bits = bits * 2 ** LENGTHS[symbol]! + values[symbol]!;
    for (open += LENGTHS[symbol]!; open >= 8; end += 1) {
      open -= 8;
      const scale = 2 ** open;
      bytes[end] = Math.floor(bits / scale);
      bits %= scale;
    }
  }
  if (open > 0) {
    const left = 8 - open;
    bytes[end] = (bits << left) | ((1 << left) - 1);
    end += 1;
  }
  return bytes.subarray(0, end);
}

/** Throws where it is no text: the end symbol, or padding that is none (section 5.2). */
export function unhuffman(bytes: Buffer): string {
  let text = '';
  let node = root;
  let open = 0;
  let isOnes = true;
  for (const byte of bytes) {
    for (let shift = 7; shift >= 0; shift -= 1) {
      const bit = (byte >> shift) & 1;
      const next = node[bit]!;
      open += 1;
      isOnes &&= bit === 1;
      if (typeof next !== 'number') {
        node = next;
        continue;
      }
      if (~next === END) throw new Error('the end symbol in a string');
      text += String.fromCharCode(~next);
      node = root;
      open = 0;
      isOnes = true;
    }
  }
  if (open > 7 || !isOnes) throw new Error('padding that is none');
  return text;
}
