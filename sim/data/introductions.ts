// How the PROXY protocol comes into a world: clients that connect through a balancer, which says by a header
// who they are, or by themselves; and what endpoints must be told. The bytes are written and read apart from
// the product, by the words of the specification.
import { bothOf, NOTHING } from '../kernel/bytes.ts';
import { Chance } from '../kernel/chance.ts';
import type { Kernel } from '../kernel/kernel.ts';
import type { ActorEnd, ActorHandler } from '../net/actor-end.ts';
import type { SimNetwork } from '../net/sim-network.ts';
import type { ActorTls } from '../tls/tls-end.ts';

/** Balancers are here; nobody else is believed. */
export const TRUSTED_NETWORK = '10.8.0.0/16';

/** What a service does with the PROXY protocol. */
export interface ProxyRules {
  /** Connections from the trusted network begin with a header. */
  readonly accepts: boolean;
  readonly sends: 'off' | 'v1' | 'v2';
}

export function drawProxyRules(seed: number, service: string): ProxyRules {
  const chance = new Chance(seed, `proxy protocol of ${service}`);
  const isUsed = chance.happens(0.4);
  const accepts = isUsed && chance.happens(0.7);
  return { accepts, sends: isUsed ? chance.pick(['off', 'v1', 'v2'] as const) : 'off' };
}

export interface Peer {
  readonly address: string;
  readonly port: number;
}

/** Of one connection of a client. */
export interface Introduction {
  /** Where the connection comes from. */
  readonly from: Peer;
  /** What it begins with; null: the client has connected by itself. */
  readonly header: Buffer | null;
  /** Who endpoints, logs and limits must take the client for. */
  readonly client: Peer;
}

/** How a client at `address` connects to a service. */
export function drawIntroduction(
  chance: Chance,
  { address, accepts, port }: { address: string; accepts: boolean; port: number },
): Introduction {
  const client = { address, port: chance.int(1024, 65_535) };
  if (!accepts || chance.happens(0.25)) return { from: client, header: null, client };
  const from = { address: `10.8.0.${chance.int(1, 2)}`, port: chance.int(1024, 65_535) };
  const to = { address: '127.0.0.1', port };
  if (chance.happens(0.1)) {
    const header = chance.happens(0.5) ? Buffer.from('PROXY UNKNOWN\r\n') : headerV2(0x20, 0, []);
    return { from, header, client: from };
  }
  return { from, header: goodHeader(chance, client, to), client };
}

/** A header of either version, for IPv4. */
export function goodHeader(chance: Chance, client: Peer, to: Peer): Buffer {
  if (chance.happens(0.5)) {
    const line = `PROXY TCP4 ${client.address} ${to.address} ${client.port} ${to.port}\r\n`;
    return Buffer.from(line, 'latin1');
  }
  const tlvs = chance.happens(0.4) ? [Buffer.from([0xee, 0, 3, 1, 2, 3])] : [];
  return headerV2(0x21, 0x11, [...addressesOf(client, to), ...tlvs]);
}

export function addressesOf(client: Peer, to: Peer): Buffer[] {
  const ports = Buffer.alloc(4);
  ports.writeUInt16BE(client.port, 0);
  ports.writeUInt16BE(to.port, 2);
  return [bytesOf(client.address), bytesOf(to.address), ports];
}

function bytesOf(address: string): Buffer {
  return Buffer.from(address.split('.').map(Number));
}

export const SIGNATURE = Buffer.from([13, 10, 13, 10, 0, 13, 10, 0x51, 0x55, 0x49, 0x54, 10]);

export function headerV2(command: number, family: number, parts: readonly Buffer[]): Buffer {
  const rest = Buffer.concat(parts);
  const head = Buffer.from([command, family, rest.length >> 8, rest.length & 0xff]);
  return Buffer.concat([SIGNATURE, head, rest]);
}

export interface Dialling {
  readonly kernel: Kernel;
  readonly network: SimNetwork;
  readonly chance: Chance;
  readonly name: string;
  readonly port: number;
  readonly introduction: Introduction;
  /** Null: in plain. */
  readonly tls?: ActorTls | null;
}

/** Connects; `handler.onOpen` comes when the header is written, or will be in front of the first bytes. */
export function dialIntroduced(dialling: Dialling, handler: ActorHandler): ActorEnd {
  const { network, name, port, introduction, chance, kernel } = dialling;
  const { header, from } = introduction;
  if (dialling.tls) {
    const { tls } = dialling;
    return network.dial(name, port, handler, { from, tls: { ...tls, before: sayFirst(dialling) } });
  }
  if (header === null) return network.dial(name, port, handler, { from });
  const opened = (): void => handler.onOpen?.();
  const onOpen = (): void => {
    if (chance.happens(0.4)) {
      end.lead = header;
      opened();
    } else writePieces({ kernel, chance, end, bytes: header }, opened);
  };
  const end = network.dial(name, port, { ...handler, onOpen }, { from });
  return end;
}

/** The header in plain, and the ClientHello behind it. */
function sayFirst({ kernel, chance, introduction }: Dialling): ActorTls['before'] {
  const { header } = introduction;
  if (header === null) return undefined;
  return (end, hello) => {
    if (chance.happens(0.4)) {
      end.lead = header;
      hello();
    } else writePieces({ kernel, chance, end, bytes: header }, hello);
  };
}

interface Pieces {
  readonly kernel: Kernel;
  readonly chance: Chance;
  readonly end: ActorEnd;
  readonly bytes: Buffer;
}

/** Writes bytes cut anywhere, with pauses that no patience ends. */
export function writePieces(pieces: Pieces, done: () => void): void {
  const { kernel, chance, end, bytes } = pieces;
  if (end.isClosed) return;
  const count = chance.happens(0.3) ? bytes.length : chance.int(1, bytes.length);
  end.writeRaw(bytes.subarray(0, count));
  if (count === bytes.length) return done();
  const rest = { ...pieces, bytes: bytes.subarray(count) };
  kernel.after(chance.between(0, 15), () => writePieces(rest, done));
}

/** Whose request it is that came on a connection. */
interface Introduced {
  readonly id: string;
  readonly address: string;
  readonly sourcePort: number;
  readonly secure?: { readonly version: string } | null;
}

/** Reads the header that a connection of the product's begins with. */
export class HeaderReader {
  /** Null until it was read. */
  client: Peer | null = null;
  /** It says that the client's connection has TLS. */
  private isSecure = false;
  /** ... and of which version. */
  private tlsVersion = '';
  private readonly version: ProxyRules['sends'];
  private bytes: Buffer = NOTHING;

  constructor(version: ProxyRules['sends']) {
    this.version = version;
  }

  get isDone(): boolean {
    return this.version === 'off' || this.client !== null;
  }

  /** What follows the header, or null while that is not whole. Throws where there is none. */
  feed(bytes: Buffer): Buffer | null {
    if (this.isDone) return bytes;
    this.bytes = bothOf(this.bytes, bytes);
    const length = this.version === 'v1' ? this.readV1() : this.readV2();
    return length === 0 ? null : this.bytes.subarray(length);
  }

  private readV1(): number {
    const end = this.bytes.indexOf('\r\n');
    if (end < 0 && this.bytes.length < 107) return 0;
    const line = this.bytes.toString('latin1', 0, Math.max(end, 0));
    const [word, family, from, to, port, toPort, ...others] = line.split(' ');
    const isGood = word === 'PROXY' && family === 'TCP4' && others.length === 0;
    if (!isGood || to !== '127.0.0.1' || !(Number(toPort) > 0))
      throw new Error(`a PROXY line: ${JSON.stringify(line)}`);
    this.client = { address: from!, port: Number(port) };
    return end + 2;
  }

  private readV2(): number {
    const { bytes } = this;
    if (bytes.length < 16) return 0;
    const length = 16 + bytes.readUInt16BE(14);
    const isGood = bytes.subarray(0, 12).equals(SIGNATURE) && bytes[12] === 0x21;
    if (!isGood || bytes[13] !== 0x11 || length < 28)
      throw new Error(`a PROXY header: ${bytes.toString('hex', 0, 40)}`);
    if (bytes.length < length) return 0;
    this.readTlvs(bytes.subarray(28, length));
    const to = bytes.subarray(20, 24).join('.');
    if (to !== '127.0.0.1' || bytes.readUInt16BE(26) === 0) throw new Error(`a header for ${to}`);
    this.client = { address: bytes.subarray(16, 20).join('.'), port: bytes.readUInt16BE(24) };
    return length;
  }

  private readTlvs(bytes: Buffer): void {
    for (let at = 0; at < bytes.length; ) {
      const end = at + 3 + bytes.readUInt16BE(at + 1);
      if (end > bytes.length) throw new Error(`TLVs: ${bytes.toString('hex')}`);
      // PP2_TYPE_SSL; PP2_CLIENT_SSL must be set.
      if (bytes[at] === 0x20) {
        this.isSecure = (bytes[at + 3]! & 1) === 1;
        // Behind the client's part and the verdict on its certificate: PP2_SUBTYPE_SSL_VERSION.
        const [first, length] = [bytes[at + 8], bytes.readUInt16BE(at + 9)];
        if (first === 0x21) this.tlsVersion = bytes.toString('latin1', at + 11, at + 11 + length);
      }
      at = end;
    }
  }

  /** Throws where this connection does not speak for the client of what came on it. */
  check(request: Introduced): void {
    const { address, sourcePort, id, secure = null } = request;
    const { client, isSecure, tlsVersion, version } = this;
    if (version === 'v2' && isSecure !== (secure !== null))
      throw new Error(`${id} on a connection that is said to ${isSecure ? '' : 'not '}have TLS`);
    const must = version === 'v2' && secure !== null ? secure.version : '';
    if (tlsVersion !== must)
      throw new Error(`${id} on a connection that is said to have ${tlsVersion || 'no version'}`);
    if (client === null || (client.address === address && client.port === sourcePort)) return;
    const told = `${client.address}:${client.port}`;
    throw new Error(`${id} of ${address}:${sourcePort} on a connection for ${told}`);
  }
}
