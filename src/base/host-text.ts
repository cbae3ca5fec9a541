// Hosts and ports as text: an IPv6 address is in brackets wherever a port may follow (RFC 3986 section
// 3.2.2). Everywhere else a host is held without them.

/** A host name or IP address as it stands in a URL, or before a port. */
export function formatHost(host: string): string {
  return host.includes(':') ? `[${host}]` : host;
}

/** `10.0.0.1:80`, `[::1]:80`, `name:80`. */
export function formatHostPort(host: string, port: number): string {
  return `${formatHost(host)}:${port}`;
}
