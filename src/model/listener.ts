// Where is listened and what is spoken there: addresses, as text and as data, and the policy of each.
import { formatHostPort } from '../base/host-text.ts';
import { canonicalHost, Networks, parseIp } from '../base/ip-address.ts';
import type { AcmeSettings } from './acme.ts';

/** Where we listen: a TCP or UDP port on one or all addresses, or a unix socket. */
export type ListenAddress =
  | { readonly kind: 'tcp' | 'udp'; readonly host: string; readonly port: number }
  | { readonly kind: 'unix'; readonly path: string };

/** Where the certificates of a listener come from. */
export type CertificateSource =
  | { readonly kind: 'pair'; readonly certFile: string; readonly keyFile: string }
  /** NAME.pem with certificate and key, or NAME.crt and NAME.key; followed. */
  | { readonly kind: 'folder'; readonly dir: string }
  /** Ordered from a certificate authority, and renewed. */
  | { readonly kind: 'acme'; readonly acme: AcmeSettings };

/** TLS that a listener terminates. */
export interface ListenTls {
  /** By SNI; the first is the default. */
  readonly certificates: readonly CertificateSource[];
  readonly minVersion: '1.2' | '1.3';
  /** Whether clients are asked for a certificate, and whether one without is refused. */
  readonly clientAuth: 'off' | 'request' | 'require';
  /** Who may issue certificates of clients; '' where they are not asked. */
  readonly clientCaFile: string;
}

/** Strict-Transport-Security (RFC 6797), added to responses over TLS. */
export interface Hsts {
  readonly maxAgeSeconds: number;
  readonly includeSubdomains: boolean;
  readonly preload: boolean;
}

/** What is spoken at an address, beside the service's own protocol. */
export interface ListenPolicy {
  /** Null: plain; `pass`: routed by the ClientHello, not terminated. */
  readonly tls: ListenTls | 'pass' | null;
  /** HTTP/2 by ALPN, and by prior knowledge where there is no TLS. */
  readonly http2: boolean;
  /** Networks (CIDR) whose connections begin with a PROXY protocol header. */
  readonly acceptProxy: readonly string[];
  /** Every request is answered with a redirect to its own URL with https, on this port; 0: none is. */
  readonly redirectHttps: number;
  readonly hsts: Hsts | null;
}

/** An address with what is spoken there. */
export interface ListenSpec extends ListenPolicy {
  readonly address: ListenAddress;
}

/** The policy of an address that was given as text alone. */
export const PLAIN_LISTEN: ListenPolicy = {
  tls: null,
  http2: false,
  acceptProxy: [],
  redirectHttps: 0,
  hsts: null,
};

/**
 * `:80`, `10.0.0.1:80`, `[::1]:80`, `:53/udp` or the socket's path: human-readable, and a key. A port of
 * UDP is another place than the same port of TCP.
 */
export function formatListen(address: ListenAddress): string {
  if (address.kind === 'unix') return address.path;
  const { host, port, kind } = address;
  return `${formatHostPort(host, port)}${kind === 'udp' ? '/udp' : ''}`;
}

/**
 * Reads `80`, `:80`, `10.0.0.1:80`, `[::1]:80` or an absolute path of a unix socket. The host is in
 * its one spelling: '' for every address, an IP address, or a name in lower case.
 * Returns null where the text is none of them or the port isn't 1-65535.
 */
export function parseListen(text: string): ListenAddress | null {
  if (text.startsWith('/')) return isSocketPath(text) ? { kind: 'unix', path: text } : null;
  const match = /^(?:(\[[0-9a-fA-F:.]+\]|[0-9A-Za-z.-]*):)?(\d{1,5})$/.exec(text);
  if (match === null) return null;
  const port = Number(match[2]);
  if (port < 1 || port > 65535) return null;
  const host = canonicalHost((match[1] ?? '').replace(/^\[|\]$/g, ''));
  return host === null ? null : { kind: 'tcp', host, port };
}

/** What the system takes for the path of a socket: sun_path has 108 bytes, the last of which is 0 (unix(7)). */
const SOCKET_PATH_BYTES = 107;

function isSocketPath(path: string): boolean {
  return Buffer.byteLength(path) <= SOCKET_PATH_BYTES && !/\p{Cc}/u.test(path);
}

/** A listener that could not be opened. */
export interface ListenError {
  /** formatListen of the address. */
  readonly listener: string;
  /** The service, or '' for a router. */
  readonly service: string;
  /** EADDRINUSE, EACCES, ... */
  readonly code: string;
  readonly message: string;
}

/** Where services that describe themselves may listen: ports, of any or of some addresses. */
export type ListenRule =
  | {
      readonly kind: 'tcp';
      /** An address or a CIDR network; '' for any. */
      readonly network: string;
      readonly from: number;
      readonly to: number;
    }
  /** Unix sockets in this folder; it ends with a slash. */
  | { readonly kind: 'unix'; readonly folder: string };

/**
 * Reads `80`, `1024-65535`, `127.0.0.1:8000-8100`, `10.0.0.0/8:80`, `[::1]:80` or a folder that ends
 * with a slash. Null where the text is none of them.
 */
export function parseListenRule(text: string): ListenRule | null {
  if (text.startsWith('/')) {
    const isFolder = text.endsWith('/') && !/\/\.{0,2}\//.test(text);
    return isFolder ? { kind: 'unix', folder: text } : null;
  }
  const match = /^(?:(.*):)?(\d{1,5})(?:-(\d{1,5}))?$/.exec(text);
  if (match === null) return null;
  const [from, to] = [Number(match[2]), Number(match[3] ?? match[2])];
  const network = networkOf(match[1] ?? '');
  if (network === null || from < 1 || to > 65535 || from > to) return null;
  return { kind: 'tcp', network, from, to };
}

/** '' for any address; null where the text is no address and no network. */
function networkOf(text: string): string | null {
  if (text === '' || text === '*') return '';
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+?))(?:\/(\d{1,3}))?$/.exec(text);
  const address = match?.[1] ?? match?.[2] ?? '';
  // A zone would not be looked at.
  const ip = address.includes('%') ? null : parseIp(address);
  const bits = match?.[3] ?? '';
  if (ip === null || Number(bits) > (address.includes(':') ? 128 : 32)) return null;
  return bits === '' ? address : `${address}/${bits}`;
}

/** Whether one of the rules allows it. A rule of some addresses does not allow all of them. */
export function mayListen(rules: readonly ListenRule[], address: ListenAddress): boolean {
  return rules.some((rule) => {
    if (address.kind === 'unix') {
      const isPlain = !/\/\.{0,2}(\/|$)/.test(address.path);
      return rule.kind === 'unix' && isPlain && address.path.startsWith(rule.folder);
    }
    if (rule.kind === 'unix' || address.port < rule.from || address.port > rule.to) return false;
    const ip = parseIp(address.host);
    return rule.network === '' || (ip !== null && new Networks([rule.network]).has(ip));
  });
}
