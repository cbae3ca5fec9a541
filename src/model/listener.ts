import { canonicalHost } from '../base/ip-address.ts';

/** Where we listen: a TCP port on one or all addresses, or a unix socket. */
export type ListenAddress =
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
  | { readonly kind: 'unix'; readonly path: string };

/** `:80`, `10.0.0.1:80`, `[::1]:80` or the socket's path: for people, and as a key. */
export function formatListen(address: ListenAddress): string {
  if (address.kind === 'unix') return address.path;
  const host = address.host.includes(':') ? `[${address.host}]` : address.host;
  return `${host}:${address.port}`;
}

/**
 * Reads `80`, `:80`, `10.0.0.1:80`, `[::1]:80` or an absolute path of a unix socket. The host is in
 * its one spelling: '' for every address, an IP address, or a name in lower case.
 * Returns null where the text is none of them or the port isn't 1-65535.
 */
export function parseListen(text: string): ListenAddress | null {
  if (text.startsWith('/')) return { kind: 'unix', path: text };
  const match = /^(?:(\[[0-9a-fA-F:.]+\]|[0-9A-Za-z.-]*):)?(\d{1,5})$/.exec(text);
  if (match === null) return null;
  const port = Number(match[2]);
  if (port < 1 || port > 65535) return null;
  const host = canonicalHost((match[1] ?? '').replace(/^\[|\]$/g, ''));
  return host === null ? null : { kind: 'tcp', host, port };
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
