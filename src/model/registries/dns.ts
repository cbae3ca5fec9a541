// How DNS servers are followed.

/** Where a server answers, by UDP and TCP. */
export interface DnsServer {
  /** An IP address, or a host name that the system resolves. */
  readonly address: string;
  readonly port: number;
}

export interface DnsSettings {
  /** In fail-over order. */
  readonly servers: readonly DnsServer[];
  /** tcp: always TCP, whose answers are whole. udp: UDP, and TCP where an answer is marked as cut. */
  readonly transport: 'tcp' | 'udp';
  /** For one question to one server. */
  readonly timeoutMs: number;
  /** Networks (CIDR) in which no endpoint may be. */
  readonly endpointDeny: readonly string[];
}

/** What is asked for a service: SRV records of a name, or with a port its addresses. */
export interface DnsQuestion {
  /** Lower case, without a dot at its end. */
  readonly name: string;
  /** Null for SRV, whose records say the port. */
  readonly port: number | null;
}

/** What `from.service` asks: `NAME` or `NAME:PORT`; null where that is no name of DNS. */
export function dnsQuestionOf(service: string): DnsQuestion | null {
  const match = /^([^:]+?)\.?(?::(\d{1,5}))?$/.exec(service);
  const name = match?.[1]?.toLowerCase() ?? '';
  const port = match?.[2] === undefined ? null : Number(match[2]);
  if (!isDnsName(name) || (port !== null && (port < 1 || port > 65_535))) return null;
  // An address is no name, and would be asked for as one.
  return /^[\d.]+$/.test(name) ? null : { name, port };
}

/** Labels of 1 to 63 letters, digits, - and _, 253 in all, without a dot at the end. */
export function isDnsName(name: string): boolean {
  return name.length <= 253 && name.split('.').every((label) => /^[a-z0-9_-]{1,63}$/i.test(label));
}
