// IP addresses as numbers: the same address has many spellings, and what compares text can be
// fooled. IPv4 is held as IPv4-mapped IPv6, so that both spellings are one address.

/** Sixteen bytes; IPv4 as ::ffff:a.b.c.d. */
export type IpBytes = Uint8Array;

/** Null where the text is no IP address. A zone (`%eth0`) is no part of the address. */
export function parseIp(text: string): IpBytes | null {
  const four = parseFour(text);
  if (four < 0) return parseSix(text.replace(/%.*$/, ''));
  const bytes = new Uint8Array(16);
  bytes[10] = 0xff;
  bytes[11] = 0xff;
  for (let i = 0; i < 4; i += 1) bytes[12 + i] = byteOf(four, i);
  return bytes;
}

const MAPPED = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];

/**
 * An IPv4 address in dots as a number, or -1. A leading zero makes a byte octal for some and wrong for others (the
 * system resolves 012.0.0.1 to 10.0.0.1): such a text is no address here. Asked for each connection: without a
 * pattern or a list.
 */
function parseFour(text: string): number {
  let address = 0;
  let byte = 0;
  let digits = 0;
  let dots = 0;
  for (let i = 0; i < text.length; i += 1) {
    const code = text.charCodeAt(i);
    if (code === DOT) {
      if (digits === 0 || dots === 3) return -1;
      address = address * 256 + byte;
      byte = 0;
      digits = 0;
      dots += 1;
    } else {
      if (digits > 0 && byte === 0) return -1;
      byte = byte * 10 + code - ZERO;
      digits += 1;
      if (code < ZERO || code > NINE || digits > 3 || byte > 255) return -1;
    }
  }
  return dots === 3 && digits > 0 ? address * 256 + byte : -1;
}

/** Byte 0 is the first that is written. */
function byteOf(four: number, i: number): number {
  return (four >>> (24 - 8 * i)) & 0xff;
}

const [DOT, ZERO, NINE] = [0x2e, 0x30, 0x39];

function parseSix(text: string): IpBytes | null {
  const halves = text.split('::');
  if (!text.includes(':') || halves.length > 2) return null;
  const [head, tail] = [groupsOf(halves[0]!), groupsOf(halves[1] ?? '')];
  if (head === null || tail === null) return null;
  const missing = 16 - head.length - tail.length;
  if (halves.length === 1 ? missing !== 0 : missing < 2) return null;
  return Uint8Array.from([...head, ...new Array<number>(missing).fill(0), ...tail]);
}

/** The bytes of groups between colons; the last may be an IPv4 address. */
function groupsOf(text: string): number[] | null {
  if (text === '') return [];
  const groups = text.split(':');
  const bytes: number[] = [];
  for (const [i, group] of groups.entries()) {
    const four = i === groups.length - 1 ? parseFour(group) : -1;
    if (four >= 0) for (let k = 0; k < 4; k += 1) bytes.push(byteOf(four, k));
    else if (/^[0-9a-fA-F]{1,4}$/.test(group)) {
      const value = Number.parseInt(group, 16);
      bytes.push(value >> 8, value & 0xff);
    } else return null;
  }
  return bytes;
}

/** Whether it is IPv4, in either spelling. */
function isFour(ip: IpBytes): boolean {
  for (let i = 0; i < MAPPED.length; i += 1) if (ip[i] !== MAPPED[i]) return false;
  return true;
}

/** 0.0.0.0 or ::, in any spelling: every address of this machine. */
export function isUnspecified(ip: IpBytes): boolean {
  return ip.subarray(isFour(ip) ? 12 : 0).every((byte) => byte === 0);
}

/** The one spelling of an address: dotted where it is IPv4, else as in URLs (RFC 5952). */
export function formatIp(ip: IpBytes): string {
  if (isFour(ip)) return `${ip[12]}.${ip[13]}.${ip[14]}.${ip[15]}`;
  const groups = Array.from({ length: 8 }, (_, i) =>
    ((ip[2 * i]! << 8) | ip[2 * i + 1]!).toString(16),
  );
  return new URL(`http://[${groups.join(':')}]`).hostname.slice(1, -1);
}

/**
 * A host as it would be listened on, in one spelling: '' for every address, an IP address (also of
 * 0, 127.1, 0x7f.1 and the like, which the system takes for addresses), or a lower-case name. Null
 * where the text is no host. An IPv6 address comes without brackets.
 */
export function canonicalHost(text: string): string | null {
  if (text === '' || text === '*') return '';
  const name = text.includes(':') ? text : (URL.parse(`http://${text}`)?.hostname ?? null);
  if (name === null) return null;
  const ip = parseIp(name);
  if (ip !== null) return isUnspecified(ip) ? '' : formatIp(ip);
  return text.includes(':') ? null : name.replace(/\.$/, '');
}

/** The networks of loopback addresses (RFC 1122, section 3.2.1.3; RFC 4291, section 2.5.3). */
export const LOOPBACK: readonly string[] = ['127.0.0.0/8', '::1'];

/** A set of networks, each an address or in CIDR notation. */
export class Networks {
  private readonly list: readonly { readonly ip: IpBytes; readonly bits: number }[];

  /** What is no network is left out: the configuration has been checked. */
  constructor(networks: readonly string[]) {
    this.list = networks.flatMap((text) => {
      const [address = '', length] = text.split('/');
      const ip = parseIp(address);
      if (ip === null) return [];
      const base = address.includes(':') ? 0 : 96;
      return [{ ip, bits: length === undefined ? 128 : base + Number(length) }];
    });
  }

  has(ip: IpBytes): boolean {
    return this.list.some((network) => isWithin(ip, network));
  }
}

function isWithin(ip: IpBytes, network: { readonly ip: IpBytes; readonly bits: number }): boolean {
  const whole = network.bits >> 3;
  for (let i = 0; i < whole; i += 1) if (ip[i] !== network.ip[i]) return false;
  const rest = network.bits & 7;
  return rest === 0 || (ip[whole]! ^ network.ip[whole]!) >> (8 - rest) === 0;
}
