// The ClientHello as RFC 8446 section 4.1.2 has it, so that whoever looks into one reads it as from any
// client; and the engine's own reading of it, written apart from the product's.

export interface HelloFacts {
  /** '' for none. */
  readonly serverName: string;
  readonly protocols: readonly string[];
  /** A session that is to be resumed; null for none. */
  readonly ticket: Buffer | null;
  /** 0 for clients that know nothing above TLS 1.2. */
  readonly versions: readonly number[];
}

export interface HelloOptions extends HelloFacts {
  readonly random: Buffer;
  /** With keys against quantum computers: more than a packet. */
  readonly isLarge: boolean;
}

const Extension = { name: 0, groups: 10, alpn: 16, versions: 43, share: 51, ticket: 41 } as const;
export const TLS13 = 0x0304;
const SHARE_BYTES = { small: 32, large: 1216 } as const;
/** One of those that mean nothing (RFC 8701). */
const GREASE = Buffer.from([0x3a, 0x3a]);

/** The message with its head of four bytes. */
export function writeHello(options: HelloOptions): Buffer {
  const { random, serverName, protocols, ticket, versions, isLarge } = options;
  const share = Buffer.alloc(isLarge ? SHARE_BYTES.large : SHARE_BYTES.small, random[0]!);
  const extensions = [
    extension(GREASE.readUInt16BE(0), Buffer.alloc(0)),
    ...(serverName === '' ? [] : [extension(Extension.name, nameList(serverName))]),
    extension(Extension.groups, counted(2, Buffer.from([0x00, 0x1d, 0x11, 0xec]))),
    ...(protocols.length === 0 ? [] : [extension(Extension.alpn, protocolList(protocols))]),
    ...(versions.length === 0 ? [] : [extension(Extension.versions, versionList(versions))]),
    extension(Extension.share, counted(2, Buffer.concat([number16(0x1d), counted(2, share)]))),
    ...(ticket === null ? [] : [extension(Extension.ticket, counted(2, ticket))]),
  ];
  const body = Buffer.concat([
    Buffer.from([3, 3]),
    random,
    counted(1, random),
    counted(2, Buffer.concat([GREASE, Buffer.from([0x13, 0x01, 0x13, 0x02, 0xc0, 0x2f])])),
    counted(1, Buffer.from([0])),
    counted(2, Buffer.concat(extensions)),
  ]);
  return message(1, body);
}

/** A handshake message. */
export function message(type: number, body: Buffer): Buffer {
  const head = Buffer.alloc(4);
  head.writeUIntBE(body.length, 1, 3);
  head[0] = type;
  return Buffer.concat([head, body]);
}

function number16(value: number): Buffer {
  return Buffer.from([value >> 8, value & 0xff]);
}

function counted(size: 1 | 2, bytes: Buffer): Buffer {
  const count = size === 1 ? Buffer.from([bytes.length]) : number16(bytes.length);
  return Buffer.concat([count, bytes]);
}

function extension(type: number, bytes: Buffer): Buffer {
  return Buffer.concat([number16(type), counted(2, bytes)]);
}

function nameList(name: string): Buffer {
  return counted(2, Buffer.concat([Buffer.from([0]), counted(2, Buffer.from(name, 'latin1'))]));
}

function protocolList(protocols: readonly string[]): Buffer {
  const names = protocols.map((one) => counted(1, Buffer.from(one, 'latin1')));
  return counted(2, Buffer.concat(names));
}

function versionList(versions: readonly number[]): Buffer {
  return counted(1, Buffer.concat(versions.map(number16)));
}

/** What the body of a ClientHello says; null: it is malformed. */
export function readHello(body: Buffer): (HelloFacts & { readonly random: Buffer }) | null {
  try {
    const random = body.subarray(2, 34);
    let at = 34;
    at += 1 + body.readUInt8(at);
    at += 2 + body.readUInt16BE(at);
    at += 1 + body.readUInt8(at);
    const found = new Map<number, Buffer>();
    const end = at + 2 + body.readUInt16BE(at);
    if (end !== body.length || random.length < 32) return null;
    at += 2;
    while (at < end) {
      const length = body.readUInt16BE(at + 2);
      found.set(body.readUInt16BE(at), body.subarray(at + 4, at + 4 + length));
      at += 4 + length;
    }
    const name = found.get(Extension.name);
    const ticket = found.get(Extension.ticket);
    return {
      random,
      serverName: name === undefined ? '' : name.toString('latin1', 5),
      protocols: protocolsOf(found.get(Extension.alpn)),
      ticket: ticket === undefined ? null : ticket.subarray(2),
      versions: versionsOf(found.get(Extension.versions)),
    };
  } catch {
    return null;
  }
}

function protocolsOf(list: Buffer | undefined): string[] {
  const names: string[] = [];
  for (let at = 2; list !== undefined && at < list.length; at += 1 + list[at]!)
    names.push(list.toString('latin1', at + 1, at + 1 + list[at]!));
  return names;
}

function versionsOf(list: Buffer | undefined): number[] {
  const versions: number[] = [];
  for (let at = 1; list !== undefined && at < list.length; at += 2)
    versions.push(list.readUInt16BE(at));
  return versions;
}
