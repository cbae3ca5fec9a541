// What a conversation of HTTP/2 frames says of each stream, read by another reader than the product's, and as plainly as
// the rules are (RFC 9113 sections 4, 6.1 and 6.2). It knows no HPACK: header blocks are compared as bytes.
import type { Frame } from '../support/http2.ts';
import { framesOf } from './frame-mutation.ts';

const Type = {
  ...{ data: 0, headers: 1, priority: 2, rstStream: 3, settings: 4, ping: 6 },
  ...{ goaway: 7, windowUpdate: 8, continuation: 9 },
};
const Flag = { ack: 1, endStream: 1, endHeaders: 4, padded: 8, priority: 32 };
const FRAME_BYTES_MAX = 16_384;

/** No settings; 50 streams, and a window of 70,000. */
const TAME_SETTINGS = new Set(['', '\0\x03\0\0\0\x32\0\x04\0\x01\x11\x70']);
/** All streams up to 5 go on. */
const TAME_GOAWAY = '\0\0\0\x05';

/** The event of content; its bytes are beside. */
const CONTENT = 'content';
const FAULT = 'fault';

/** What was said on one stream. */
export class Told {
  /** Header blocks and content, in order. */
  readonly events: string[] = [];
  data = '';
  /** It has ended in order; nothing that follows is looked at. */
  hasEnd = false;
  /** It was reset. */
  isReset = false;

  get isOver(): boolean {
    return this.hasEnd || this.isReset;
  }

  add(event: string, flags: number): void {
    if (this.isOver) return;
    this.events.push(event);
    this.hasEnd = (flags & Flag.endStream) !== 0;
  }

  addContent(text: string, flags: number): void {
    if (this.isOver) return;
    if (this.events.at(-1) !== CONTENT) this.events.push(CONTENT);
    this.data += text;
    this.hasEnd = (flags & Flag.endStream) !== 0;
  }

  /** Whether this is as far as `whole` goes, or less of it: nothing is in it that is not there. */
  isPartOf(whole: Told): boolean {
    const isBegun = this.events.every((event, i) => whole.events[i] === event);
    const isWhole = this.events.length === whole.events.length && this.data === whole.data;
    return isBegun && whole.data.startsWith(this.data) && (!this.hasEnd || isWhole);
  }
}

export interface Conversation {
  readonly streams: ReadonlyMap<number, Told>;
  /** Frame types that are in it, whether they count or not. */
  readonly types: ReadonlySet<number>;
}

/** Reads as far as frames can be told apart; of one that was cut, what is certain. */
export function readConversation(text: string): Conversation {
  const streams = new Map<number, Told>();
  const { frames, rest } = framesOf(text);
  const told = (id: number): Told => {
    const known = streams.get(id) ?? new Told();
    streams.set(id, known);
    return known;
  };
  let block = null as Frame | null;
  const cut = cutFrame(rest);
  for (const one of cut === null ? frames : [...frames, cut]) {
    if (one.payload.length > FRAME_BYTES_MAX) break;
    if (block !== null) {
      if (one.type !== Type.continuation || one.id !== block.id) break;
      block = { ...block, payload: block.payload + one.payload };
      if ((one.flags & Flag.endHeaders) === 0) continue;
      told(block.id).add(block.payload, block.flags);
      block = null;
      continue;
    }
    const payload = contentOf(one);
    if (payload === null) break;
    if (one.type === Type.data) told(one.id).addContent(payload, one.flags);
    else if (isStreamFault(one)) told(one.id).add(FAULT, 0);
    else if (one.type === Type.rstStream) told(one.id).isReset ||= !told(one.id).hasEnd;
    else if (one.type === Type.headers) {
      if ((one.flags & Flag.endHeaders) === 0) block = { ...one, payload };
      else told(one.id).add(payload, one.flags);
    }
  }
  return { streams, types: new Set(frames.map(({ type }) => type)) };
}

/** Sections 6.3 and 6.9: what is wrong with these is the stream's fault alone. */
function isStreamFault({ type, id, payload }: Frame): boolean {
  if (id === 0) return false;
  if (type === Type.priority) return payload.length !== 5;
  if (type !== Type.windowUpdate || payload.length !== 4) return false;
  const increment = Buffer.from(payload, 'latin1').readUInt32BE() & 0x7fff_ffff;
  // Several large ones are too much together.
  return increment === 0 || increment > 2 ** 28;
}

/**
 * Whether nothing in it is wrong with the connection, so that no stream may be harmed by another one: each frame is one by
 * itself, header blocks are of `blocks`, of which no HPACK table learns anything, and what is said out of order is said on
 * an open stream of `ids` (section 5.4.2).
 */
export function isTame(text: string, ids: readonly number[], blocks: ReadonlySet<string>): boolean {
  const { frames, rest } = framesOf(text);
  const over = new Set<number>();
  const [first] = frames;
  if (rest !== '' || first?.type !== Type.settings || (first.flags & Flag.ack) !== 0) return false;
  return frames.every((one) => {
    const { type, flags, id, payload } = one;
    if (type === Type.ping) return id === 0 && payload.length === 8;
    const isAck = type === Type.settings && (flags & Flag.ack) !== 0;
    if (isAck) return id === 0 && payload === '';
    if (type === Type.settings) return id === 0 && TAME_SETTINGS.has(payload);
    if (type === Type.goaway) return id === 0 && payload.startsWith(TAME_GOAWAY);
    if (type === Type.priority) return id > 0;
    if (type > Type.continuation) return payload.length <= FRAME_BYTES_MAX;
    if (!ids.includes(id)) return false;
    if (type === Type.windowUpdate) return isStreamFault(one) || payload.length === 4;
    if (type === Type.rstStream) over.add(id);
    if (type === Type.rstStream) return payload.length === 4;
    if (over.has(id)) return false;
    if ((flags & Flag.endStream) !== 0) over.add(id);
    const content = contentOf(one);
    if (type === Type.data) return content !== null && payload.length <= FRAME_BYTES_MAX;
    const isWhole = type === Type.headers && (flags & Flag.endHeaders) !== 0;
    return isWhole && content !== null && blocks.has(content);
  });
}

/** The header blocks of these frames. */
export function blocksOf(texts: readonly string[]): ReadonlySet<string> {
  const frames = texts.flatMap((text) => framesOf(text).frames);
  return new Set(frames.filter(({ type }) => type === Type.headers).map(({ payload }) => payload));
}

/** A frame whose end is missing, where what is there counts: content, and a PRIORITY of another length. */
function cutFrame(rest: string): Frame | null {
  const bytes = Buffer.from(rest, 'latin1');
  if (bytes.length < 9) return null;
  const length = bytes.readUIntBE(0, 3);
  const [type, flags] = [bytes[3]!, bytes[4]!];
  const id = bytes.readUInt32BE(5) & 0x7fff_ffff;
  if (type === Type.priority) return { type, flags, id, payload: '?'.repeat(length) };
  if (type !== Type.data) return null;
  const isPadded = (flags & Flag.padded) !== 0;
  const contentBytes = length - (isPadded ? (bytes[9] ?? 0) + 1 : 0);
  const payload = rest.slice(isPadded ? 10 : 9).slice(0, Math.max(0, contentBytes));
  // Where padding alone is missing, nothing of what was said is.
  const isWhole = payload.length === contentBytes;
  return { type, flags: isWhole ? flags & Flag.endStream : 0, id, payload };
}

/** The payload without padding and priority; null where there is no room for these. */
function contentOf({ type, flags, payload }: Frame): string | null {
  if (type !== Type.data && type !== Type.headers) return payload;
  const isPadded = (flags & Flag.padded) !== 0;
  const padding = isPadded ? payload.charCodeAt(0) : 0;
  const hasPriority = type === Type.headers && (flags & Flag.priority) !== 0;
  const from = (isPadded ? 1 : 0) + (hasPriority ? 5 : 0);
  const to = payload.length - padding;
  return from <= to ? payload.slice(from, to) : null;
}
