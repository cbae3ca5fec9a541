// The ClientHello as RFC 8446 section 4.1.2 has it, so that whoever looks into one reads it as from any
// client; and the engine's own reading of it, written apart from the product's.

import { roomFor } from '../kernel/bytes.ts';

export interface HelloFacts {
  /** '' for none. */
  readonly serverName: string;
  readonly protocols: readonly string[];
  /** A session that is to be resumed; null for none. */
  readonly ticket: Buffer | null;
  /** Empty for clients that know nothing above TLS 1.2. */
  readonly versions: readonly number[];
}

export interface HelloOptions extends HelloFacts {
  readonly random: Buffer;
  /** With keys against quantum computers: more than a packet. */
  readonly isLarge: boolean;
}

const Extension = {
  ...({ name: 0, groups: 10, alpn: 16, session: 35, versions: 43, share: 51 } as const),
  /** Of TLS 1.3. */
  ticket: 41,
} as const;
export const TLS13 = 0x0304;
const SHARE_BYTES = { small: 32, large: 1216 } as const;
/** One of those that mean nothing (RFC 8701). */
const GREASE = 0x3a3a;

/** The message with its head of four bytes. */
export function writeHello(options: HelloOptions): Buffer {
  const { random, serverName, protocols, ticket, versions, isLarge } = options;
  const shareBytes = isLarge ? SHARE_BYTES.large : SHARE_BYTES.small;
  const texts = protocols.reduce((sum, { length }) => sum + 1 + length, serverName.length);
  const out = new Writer(OTHER_MAX + texts + shareBytes + (ticket?.length ?? 0));
  out.number(1, 1);
  const whole = out.begin(3);
  out.number(2, 0x0303);
  out.bytes(random);
  out.number(1, random.length);
  out.bytes(random);
  out.number(2, 8);
  out.number(2, GREASE);
  for (const suite of [0x1301, 0x1302, 0xc02f]) out.number(2, suite);
  out.number(2, 0x0100);
  const is12 = versions.length === 0;
  // TLS 1.2 may have no extensions at all.
  if (is12 && serverName === '' && protocols.length === 0 && ticket === null) {
    out.end(whole, 3);
    return out.written;
  }
  const extensions = out.begin(2);
  out.number(2, GREASE);
  out.number(2, 0);
  if (serverName !== '') writeName(out, serverName);
  out.number(2, Extension.groups);
  out.number(2, 6);
  out.number(2, 4);
  out.number(2, 0x001d);
  out.number(2, 0x11ec);
  if (protocols.length > 0) writeProtocols(out, protocols);
  if (is12) writeSession(out, ticket);
  else {
    out.number(2, Extension.versions);
    out.number(2, 1 + 2 * versions.length);
    out.number(1, 2 * versions.length);
    for (const version of versions) out.number(2, version);
    writeShare(out, shareBytes, random[0]!);
    if (ticket !== null) {
      out.number(2, Extension.ticket);
      out.number(2, ticket.length + 2);
      out.number(2, ticket.length);
      out.bytes(ticket);
    }
  }
  out.end(extensions, 2);
  out.end(whole, 3);
  return out.written;
}

function writeName(out: Writer, name: string): void {
  out.number(2, Extension.name);
  const whole = out.begin(2);
  const list = out.begin(2);
  out.number(1, 0);
  const text = out.begin(2);
  out.text(name);
  out.end(text, 2);
  out.end(list, 2);
  out.end(whole, 2);
}

/** Of TLS 1.2: without a ticket it says that one is welcome. */
function writeSession(out: Writer, ticket: Buffer | null): void {
  out.number(2, Extension.session);
  out.number(2, ticket?.length ?? 0);
  if (ticket !== null) out.bytes(ticket);
}

function writeShare(out: Writer, bytes: number, value: number): void {
  out.number(2, Extension.share);
  out.number(2, bytes + 6);
  out.number(2, bytes + 4);
  out.number(2, 0x001d);
  out.number(2, bytes);
  out.fill(bytes, value);
}

function writeProtocols(out: Writer, protocols: readonly string[]): void {
  out.number(2, Extension.alpn);
  const whole = out.begin(2);
  const list = out.begin(2);
  for (const protocol of protocols) {
    out.number(1, protocol.length);
    out.text(protocol);
  }
  out.end(list, 2);
  out.end(whole, 2);
}

/** What all but the texts, the share and the ticket of a ClientHello come to at most. */
const OTHER_MAX = 256;

/** Writes in one buffer: each message of small ones that are joined costs more than the exchange behind it. */
class Writer {
  private readonly room: Buffer;
  private at = 0;

  constructor(most: number) {
    this.room = roomFor(most);
  }

  get written(): Buffer {
    return this.room.subarray(0, this.at);
  }

  /** The highest byte first. */
  number(size: number, value: number): void {
    for (let i = size - 1; i >= 0; i -= 1) {
      this.room[this.at] = value >>> (8 * i);
      this.at += 1;
    }
  }

  bytes(bytes: Buffer): void {
    this.room.set(bytes, this.at);
    this.at += bytes.length;
  }

  text(text: string): void {
    this.at += this.room.write(text, this.at, 'latin1');
  }

  fill(count: number, value: number): void {
    this.room.fill(value, this.at, this.at + count);
    this.at += count;
  }

  /** Leaves room for a length of `size` bytes; what `end` gets. */
  begin(size: number): number {
    this.at += size;
    return this.at;
  }

  end(begun: number, size: number): void {
    const { at } = this;
    this.at = begun - size;
    this.number(size, at - begun);
    this.at = at;
  }
}

/** A handshake message. */
export function message(type: number, body: Buffer): Buffer {
  const { length } = body;
  const whole = roomFor(4 + length);
  whole[0] = type;
  whole[1] = length >>> 16;
  whole[2] = length >>> 8;
  whole[3] = length;
  if (length > 0) whole.set(body, 4);
  return whole;
}

/** What the body of a ClientHello says; null: it is malformed. */
export function readHello(body: Buffer): (HelloFacts & { readonly random: Buffer }) | null {
  try {
    const random = body.subarray(2, 34);
    let at = 34;
    at += 1 + body.readUInt8(at);
    at += 2 + body.readUInt16BE(at);
    at += 1 + body.readUInt8(at);
    const none = { random, serverName: '', protocols: [], ticket: null, versions: [] };
    if (at === body.length && random.length === 32) return none;
    const end = at + 2 + body.readUInt16BE(at);
    if (end !== body.length || random.length < 32) return null;
    at += 2;
    let serverName = '';
    let ticket: Buffer | null = null;
    let protocols: string[] = [];
    let versions: number[] = [];
    while (at < end) {
      const kind = body.readUInt16BE(at);
      const start = at + 4;
      at = start + body.readUInt16BE(at + 2);
      if (kind === Extension.name) serverName = body.toString('latin1', start + 5, at);
      else if (kind === Extension.alpn) protocols = protocolsOf(body.subarray(start, at));
      else if (kind === Extension.versions) versions = versionsOf(body.subarray(start, at));
      else if (kind === Extension.ticket) ticket = body.subarray(start + 2, at);
      else if (kind === Extension.session && at > start) ticket = body.subarray(start, at);
    }
    return { random, serverName, protocols, ticket, versions };
  } catch {
    return null;
  }
}

function protocolsOf(list: Buffer): string[] {
  const names: string[] = [];
  for (let at = 2; at < list.length; at += 1 + list[at]!)
    names.push(list.toString('latin1', at + 1, at + 1 + list[at]!));
  return names;
}

function versionsOf(list: Buffer): number[] {
  const versions: number[] = [];
  for (let at = 1; at < list.length; at += 2) versions.push(list.readUInt16BE(at));
  return versions;
}
