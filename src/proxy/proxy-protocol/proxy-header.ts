// The header of the PROXY protocol, versions 1 and 2, with which a balancer before us says who the
// client is (https://www.haproxy.org/download/2.8/doc/proxy-protocol.txt). Strict: what is not exactly
// such a header is none. Bytes in, a result out: it knows no socket.
import { formatIp, parseIp } from '../../base/ip-address.ts';

/** "PROXY UNKNOWN" with two full IPv6 addresses and its CRLF. */
const V1_BYTES_MAX = 107;
const V1_BEGIN = Buffer.from('PROXY ', 'latin1');
const SIGNATURE = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1');
const V2_HEAD_BYTES = 16;
/** Bytes after the first 16 that are taken: addresses, and TLVs, which may hold a certificate. */
const V2_REST_BYTES_MAX = 4096;
/** The longest header that is read. */
export const HEADER_BYTES_MAX = V2_HEAD_BYTES + V2_REST_BYTES_MAX;

export interface ProxyPeer {
  /** An IP address, in its one spelling. */
  readonly address: string;
  readonly port: number;
}

/** A client, and where it has connected to. */
export interface ProxiedPeer extends ProxyPeer {
  readonly destination: ProxyPeer;
}

export type ProxyHeader =
  | { readonly kind: 'partial' }
  | { readonly kind: 'bad'; readonly why: string }
  /** `peer` is null where the header says that the connection is the sender's own, or names nobody. */
  | { readonly kind: 'whole'; readonly length: number; readonly peer: ProxiedPeer | null };

const PARTIAL: ProxyHeader = { kind: 'partial' };

/** The header that `bytes` begin with; `partial` while more must come to tell. */
export function readProxyHeader(bytes: Buffer): ProxyHeader {
  if (beginsAlike(bytes, SIGNATURE)) return readV2(bytes);
  if (beginsAlike(bytes, V1_BEGIN)) return readV1(bytes);
  return bad('the connection does not begin with a PROXY protocol header');
}

/**
 * Follows the first bytes of a connection, however they are split over reads, until it is certain whether
 * they begin a header: what no client says that is not a balancer.
 */
export class HeaderWatch {
  /** The beginning that all bytes so far are a part of; null before the first one. */
  private begin: Buffer | null = null;
  private matched = 0;

  /** `watching` while more must come to tell. */
  take(base: Buffer, start: number, end: number): 'watching' | 'header' | 'other' {
    if (start === end) return 'watching';
    this.begin ??= base[start] === SIGNATURE[0] ? SIGNATURE : V1_BEGIN;
    const { begin, matched } = this;
    const count = Math.min(end - start, begin.length - matched);
    if (base.compare(begin, matched, matched + count, start, start + count) !== 0) return 'other';
    this.matched += count;
    return this.matched === begin.length ? 'header' : 'watching';
  }
}

/** As far as both reach. */
function beginsAlike(bytes: Buffer, begin: Buffer): boolean {
  const length = Math.min(bytes.length, begin.length);
  return bytes.compare(begin, 0, length, 0, length) === 0;
}

function bad(why: string): ProxyHeader {
  return { kind: 'bad', why };
}

// Version 1: one line of text.

const DECIMAL = '(0|[1-9]\\d{0,4})';
const V1_LINE = new RegExp(`^PROXY TCP([46]) (\\S+) (\\S+) ${DECIMAL} ${DECIMAL}$`);

function readV1(bytes: Buffer): ProxyHeader {
  const end = bytes.subarray(0, V1_BYTES_MAX).indexOf('\r\n', 0, 'latin1');
  if (end < 0) {
    const isTooLong = bytes.length >= V1_BYTES_MAX;
    // A line end of one byte would be looked for until the time is up.
    const isBroken = bytes.subarray(0, V1_BYTES_MAX).includes(10);
    return isTooLong || isBroken ? bad('the PROXY line does not end in CRLF') : PARTIAL;
  }
  const line = bytes.toString('latin1', 0, end);
  const length = end + 2;
  if (/^PROXY UNKNOWN(?: [\x20-\x7e]*)?$/.test(line)) return { kind: 'whole', length, peer: null };
  const match = V1_LINE.exec(line);
  if (match === null) return bad('the PROXY line is malformed');
  const [, family, source = '', destination = '', ...ports] = match;
  // Leading zeros would be another address to some.
  const isFamily = (text: string) =>
    text.includes(':') === (family === '6') && !/(?:^|\.)0\d/.test(text);
  const [from, to] = [parseIp(source), parseIp(destination)];
  const isZoned = `${source}${destination}`.includes('%');
  if (from === null || to === null || isZoned || !isFamily(source) || !isFamily(destination)) {
    return bad('an address of the PROXY line is malformed');
  }
  const [port, otherPort] = ports.map(Number);
  if (port! > 65535 || otherPort! > 65535) return bad('a port of the PROXY line is malformed');
  const there = { address: formatIp(to), port: otherPort! };
  return {
    kind: 'whole',
    length,
    peer: { address: formatIp(from), port: port!, destination: there },
  };
}

// Version 2: binary.

/** Bytes of the addresses by family; -1: unspecified, nothing is said of them. */
const ADDRESS_BYTES: readonly number[] = [-1, 12, 36, 216];

function readV2(bytes: Buffer): ProxyHeader {
  if (bytes.length >= 13) {
    const version = bytes[12]! >> 4;
    if (version !== 2) return bad(`version ${version} of the PROXY protocol is not known`);
    if ((bytes[12]! & 0x0f) > 1) return bad('the command of the PROXY header is not known');
  }
  if (bytes.length < V2_HEAD_BYTES) return PARTIAL;
  const family = bytes[13]! >> 4;
  const transport = bytes[13]! & 0x0f;
  const rest = bytes.readUInt16BE(14);
  if (rest > V2_REST_BYTES_MAX) return bad(`a PROXY header of ${rest} bytes is too long`);
  const length = V2_HEAD_BYTES + rest;
  const isLocal = (bytes[12]! & 0x0f) === 0;
  // The family of a LOCAL header is to be ignored.
  if (!isLocal && (family > 3 || transport > 2))
    return bad('the family of the PROXY header is not known');
  if (!isLocal && rest < ADDRESS_BYTES[family]!)
    return bad('the PROXY header has too few addresses');
  if (bytes.length < length) return PARTIAL;
  // Of a LOCAL or unspecified one even the shape of what follows is not said.
  if (isLocal || family === 0) return { kind: 'whole', length, peer: null };
  const tlvs = V2_HEAD_BYTES + ADDRESS_BYTES[family]!;
  if (!areTlvs(bytes, tlvs, length)) return bad('the extensions of the PROXY header are malformed');
  return { kind: 'whole', length, peer: transport === 1 ? peerOf(bytes, family) : null };
}

/** Extensions, each a type, a length and so many bytes, that end where the header ends. */
function areTlvs(bytes: Buffer, from: number, end: number): boolean {
  let at = from;
  while (at + 3 <= end) at += 3 + bytes.readUInt16BE(at + 1);
  return at === end;
}

/** A unix socket has no address that says who the client is. */
function peerOf(bytes: Buffer, family: number): ProxiedPeer | null {
  const width = family === 1 ? 4 : 16;
  if (family > 2) return null;
  const at = V2_HEAD_BYTES;
  const ports = at + 2 * width;
  const addressAt = (from: number) => {
    const bytesOf = bytes.subarray(from, from + width);
    return width === 4 ? bytesOf.join('.') : formatIp(bytesOf);
  };
  return {
    address: addressAt(at),
    port: bytes.readUInt16BE(ports),
    destination: { address: addressAt(at + width), port: bytes.readUInt16BE(ports + 2) },
  };
}

// What we send to endpoints.

/** TLS of the client's connection, as an extension of version 2 says it. */
export interface ProxyTls {
  /** `TLSv1.3` */
  readonly version: string;
  readonly cipher: string;
  /** The client has shown a certificate that was verified, on this connection. */
  readonly hasCertificate: boolean;
  /** The name that the client asked for; '' for none. */
  readonly serverName: string;
  /** By ALPN; '' for none. */
  readonly protocol: string;
}

export interface ProxyClient {
  readonly source: ProxyPeer;
  /** Where the client connected to; null where that is not known. */
  readonly destination: ProxyPeer | null;
  readonly tls: ProxyTls | null;
}

/** The header of version 1; of a client without an IP address (a unix socket) it names nobody. */
export function writeV1({ source, destination }: ProxyClient): Buffer {
  const [from, to] = [parseIp(source.address), parseIp(destination?.address ?? '')];
  if (from === null) return Buffer.from('PROXY UNKNOWN\r\n', 'latin1');
  const isSix = source.address.includes(':') || destination?.address.includes(':') === true;
  const text = (ip: Uint8Array | null) => addressText(ip, isSix);
  const ports = `${source.port} ${destination?.port ?? 0}`;
  return Buffer.from(`PROXY TCP${isSix ? 6 : 4} ${text(from)} ${text(to)} ${ports}\r\n`, 'latin1');
}

function addressText(ip: Uint8Array | null, isSix: boolean): string {
  if (ip === null) return isSix ? '::' : '0.0.0.0';
  const text = formatIp(ip);
  return isSix && !text.includes(':') ? `::ffff:${text}` : text;
}

/** The header of version 2; without a client it is LOCAL: the connection is our own. */
export function writeV2(client: ProxyClient | null): Buffer {
  if (client === null) return frameV2(0x20, 0x00, []);
  const { source, destination, tls } = client;
  const [from, to] = [parseIp(source.address), parseIp(destination?.address ?? '')];
  const tlvs = tls === null ? [] : tlsTlvs(tls);
  if (from === null) return frameV2(0x21, 0x00, tlvs);
  const isSix = source.address.includes(':') || destination?.address.includes(':') === true;
  const width = isSix ? 16 : 4;
  const nowhere = Buffer.alloc(16);
  const ports = Buffer.alloc(4);
  ports.writeUInt16BE(source.port, 0);
  ports.writeUInt16BE(destination?.port ?? 0, 2);
  const addresses = [from, to ?? nowhere].map((ip) => Buffer.from(ip.subarray(16 - width)));
  return frameV2(0x21, isSix ? 0x21 : 0x11, [...addresses, ports, ...tlvs]);
}

function frameV2(command: number, family: number, parts: readonly Buffer[]): Buffer {
  const rest = Buffer.concat(parts);
  const head = Buffer.alloc(4);
  head[0] = command;
  head[1] = family;
  head.writeUInt16BE(rest.length, 2);
  return Buffer.concat([SIGNATURE, head, rest]);
}

const TLV_ALPN = 0x01;
const TLV_AUTHORITY = 0x02;
const TLV_SSL = 0x20;
const TLV_SSL_VERSION = 0x21;
const TLV_SSL_CIPHER = 0x23;
const CLIENT_SSL = 0x01;
const CLIENT_CERT_CONN = 0x02;
const CLIENT_CERT_SESS = 0x04;

function tlsTlvs({ version, cipher, hasCertificate, serverName, protocol }: ProxyTls): Buffer[] {
  const certificate = hasCertificate ? CLIENT_CERT_CONN | CLIENT_CERT_SESS : 0;
  const verify = Buffer.alloc(5);
  verify[0] = CLIENT_SSL | certificate;
  // 0 where a certificate was presented and verified.
  verify.writeUInt32BE(hasCertificate ? 0 : 1, 1);
  const inner = [verify, tlv(TLV_SSL_VERSION, version), tlv(TLV_SSL_CIPHER, cipher)];
  const parts = [tlv(TLV_SSL, Buffer.concat(inner))];
  if (protocol !== '') parts.push(tlv(TLV_ALPN, protocol));
  if (serverName !== '') parts.push(tlv(TLV_AUTHORITY, serverName));
  return parts;
}

function tlv(type: number, value: string | Buffer): Buffer {
  const bytes = Buffer.from(value as string);
  const head = Buffer.alloc(3);
  head[0] = type;
  head.writeUInt16BE(bytes.length, 1);
  return Buffer.concat([head, bytes]);
}
