// Odd conversations of HTTP/2 frames, made from good ones: a bit of a frame's header, its length, its payload,
// the order, the stream that it is on, what it is padded and split by. Bytes alone would seldom get past the first frame.
import type { Random } from '../../src/base/prng.ts';
import { type Frame, frame } from '../support/http2.ts';
import { below, mutated, pick } from './mutation.ts';

const HEADER_BYTES = 9;
const STREAMS = [0, 1, 3, 5, 7, 2, 2 ** 31 - 1];
const TYPES = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 0xff];
const FRAMES_MAX = 400;

/** The whole frames that the text is made of, and the bytes after the last of them. */
export function framesOf(text: string): { readonly frames: Frame[]; readonly rest: string } {
  const bytes = Buffer.from(text, 'latin1');
  const frames: Frame[] = [];
  let at = 0;
  while (at + HEADER_BYTES <= bytes.length) {
    const end = at + HEADER_BYTES + bytes.readUIntBE(at, 3);
    if (end > bytes.length) break;
    const payload = bytes.toString('latin1', at + HEADER_BYTES, end);
    const id = bytes.readUInt32BE(at + 5) & 0x7fff_ffff;
    frames.push({ type: bytes[at + 3]!, flags: bytes[at + 4]!, id, payload });
    at = end;
  }
  return { frames, rest: bytes.toString('latin1', at) };
}

function written({ type, flags, id, payload }: Frame): string {
  return frame(type, flags, id, payload);
}

/** A conversation from the seeds with up to four changes; one in eight is changed as bytes. */
export function mutatedFrames(
  random: Random,
  seeds: readonly string[],
  morsels: readonly string[],
): string {
  if (random() < 0.125) return mutated(random, seeds, morsels);
  const { frames, rest } = framesOf(pick(random, seeds));
  const parts = frames.map(written);
  const steps = 1 + below(random, 4);
  for (let i = 0; i < steps; i += 1) change(random, parts, { seeds, morsels });
  return parts.slice(0, FRAMES_MAX).join('') + rest;
}

interface Sources {
  readonly seeds: readonly string[];
  readonly morsels: readonly string[];
}

/** One change of the frames, each given as its bytes. */
function change(random: Random, parts: string[], from: Sources): void {
  const at = below(random, parts.length);
  const one = parts[at] ?? '';
  const kind = below(random, 12);
  if (kind === 0) parts.splice(at, 1);
  else if (kind === 1) parts.splice(at, 0, ...Array<string>(1 + below(random, 4)).fill(one));
  else if (kind === 2) parts.splice(below(random, parts.length), 0, ...parts.splice(at, 1));
  else if (kind === 3) parts.splice(at, 0, pick(random, from.morsels));
  else if (kind === 4) parts.splice(at, 1, ...split(random, one));
  else if (kind === 5) parts.splice(at, 1, padded(random, one));
  else if (kind === 6) parts.splice(at, 1, ...spliced(random, from.seeds));
  else if (kind === 7) parts.splice(at, 1, one.slice(0, below(random, one.length + 1)));
  else parts.splice(at, 1, altered(random, one, kind));
}

/** Another stream, type, flag or length, or another byte of the payload. */
function altered(random: Random, text: string, kind: number): string {
  const [known] = framesOf(text).frames;
  if (known === undefined) return text;
  if (kind === 8) return written({ ...known, id: pick(random, STREAMS) });
  if (kind === 9) return written({ ...known, flags: known.flags ^ (1 << below(random, 8)) });
  if (kind === 10 && random() < 0.5) return written({ ...known, type: pick(random, TYPES) });
  const bytes = Buffer.from(text, 'latin1');
  // The length is the first three.
  const place = kind === 10 ? 1 + below(random, 2) : below(random, bytes.length);
  bytes[place] = random() < 0.5 ? bytes[place]! ^ (1 << below(random, 8)) : below(random, 256);
  return bytes.toString('latin1');
}

/** Two frames for one, as the rules permit: content in pieces, a head with a CONTINUATION. */
function split(random: Random, text: string): string[] {
  const [known] = framesOf(text).frames;
  if (known === undefined || known.type > 1 || (known.flags & 8) !== 0) return [text];
  const { type, flags, id, payload } = known;
  const at = below(random, payload.length + 1);
  const [first, second] = [payload.slice(0, at), payload.slice(at)];
  return type === 0
    ? [frame(0, 0, id, first), frame(0, flags, id, second)]
    : [frame(1, flags & ~4, id, first), frame(9, 4, id, second)];
}

function padded(random: Random, text: string): string {
  const [known] = framesOf(text).frames;
  if (known === undefined || known.type > 1 || (known.flags & 8) !== 0) return text;
  const bytes = below(random, 256);
  const payload = String.fromCharCode(bytes) + known.payload + '\0'.repeat(bytes);
  return written({ ...known, flags: known.flags | 8, payload });
}

/** Some frames of another conversation. */
function spliced(random: Random, seeds: readonly string[]): string[] {
  const frames = framesOf(pick(random, seeds)).frames.map(written);
  const at = below(random, frames.length);
  return frames.slice(at, at + 1 + below(random, 4));
}
