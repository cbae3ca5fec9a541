// Who is asking, and what he may read. Nothing that a proxy passed on counts as coming from the
// machine or the network that the connection comes from, whichever proxy that is: it may be this process.
import { timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { BlockList, isIP, type Socket } from 'node:net';
import { hostname } from 'node:os';
import type { StatsSettings } from '../model/settings.ts';

/** What may be served at all, and under which names. */
export type AccessSettings = Pick<StatsSettings, 'adminToken' | 'readToken' | 'read' | 'hosts'>;

/** Why a request is refused, and with which status. */
export interface Refusal {
  readonly status: 401 | 403;
  readonly error: string;
}

/** Fields that proxies add. Any one of them means that somebody passed the request on. */
const PROXY_FIELDS: ReadonlySet<string> = new Set([
  ...['forwarded', 'via', 'x-real-ip', 'x-client-ip', 'client-ip', 'x-cluster-client-ip'],
  ...['true-client-ip', 'cf-connecting-ip', 'fastly-client-ip', 'x-envoy-external-address'],
  ...['x-original-forwarded-for', 'x-original-host', 'x-request-start', 'x-proxyuser-ip'],
]);

/**
 * Top-level names that no public registry delegates (RFC 6761, RFC 6762, RFC 8375, and those that
 * private networks use): a stranger can't point a name below them to an address of his choice.
 */
const PRIVATE_SUFFIXES =
  /(?:^|\.)(?:localhost|local|internal|intranet|lan|home\.arpa|localdomain|svc|consul)$/;

export class ReadAccess {
  private readonly settings: AccessSettings;
  private readonly networks = new BlockList();

  constructor(settings: AccessSettings) {
    this.settings = settings;
    for (const entry of settings.read) {
      const [address = '', bits] = entry.split('/');
      const family = isIP(address);
      if (family === 0) continue;
      const type = family === 6 ? 'ipv6' : 'ipv4';
      this.networks.addSubnet(address, Number(bits ?? (family === 6 ? 128 : 32)), type);
    }
  }

  /** Why this request may read nothing, or null. Health checks are not asked. */
  refusal(request: IncomingMessage): Refusal | null {
    const { headers } = request;
    const hasToken = this.hasToken(headers);
    // Only who knows the token can send it: a page that borrows our address does not.
    if (hasToken) return null;
    const host = hostOf(headers.host ?? '');
    if (!isTrustedName(host, this.settings.hosts)) {
      const error = `the name ${host} is not served: add it to stats.hosts`;
      return { status: 403, error };
    }
    const { read } = this.settings;
    if (read.includes('any') || this.isAllowedAddress(request)) return null;
    return read.includes('token')
      ? { status: 401, error: 'reading needs a token (stats.read)' }
      : { status: 403, error: 'reading is not allowed from this address (stats.read)' };
  }

  /** Whether it may read because of its address alone. */
  reliesOnAddress({ headers }: IncomingMessage): boolean {
    return !this.settings.read.includes('any') && !this.hasToken(headers);
  }

  private hasToken(headers: IncomingHttpHeaders): boolean {
    const given = tokenIn(headers);
    const { adminToken, readToken } = this.settings;
    // Both are compared, so that the time does not tell which one is set.
    const isAdmin = isSecret(given, adminToken);
    return isSecret(given, readToken) || isAdmin;
  }

  private isAllowedAddress(request: IncomingMessage): boolean {
    if (isProxied(request.headers)) return false;
    if (this.settings.read.includes('loopback') && isThisMachine(request.socket)) return true;
    const address = addressOf(request.socket);
    const family = isIP(address);
    return family !== 0 && this.networks.check(address, family === 6 ? 'ipv6' : 'ipv4');
  }
}

/** Whether a proxy passed the request on. */
export function isProxied(headers: IncomingHttpHeaders): boolean {
  return Object.keys(headers).some(
    (name) => name.startsWith('x-forwarded') || PROXY_FIELDS.has(name),
  );
}

/** The other end's; IPv4 as itself, also on a dual-stack listener. '' for a unix socket. */
export function addressOf({ remoteAddress = '' }: Socket): string {
  return remoteAddress.replace(/^::ffff:(?=\d+\.)/, '');
}

/** From this machine: over loopback, or over a unix socket, which has no address at all. */
export function isLoopback(socket: Socket): boolean {
  const { remoteAddress } = socket;
  if (remoteAddress === undefined) return !socket.destroyed && socket.localPort === undefined;
  return remoteAddress === '::1' || /^(::ffff:)?127\./.test(remoteAddress);
}

/** From this machine: as `isLoopback`, or from the very address that the connection reached. */
export function isThisMachine(socket: Socket): boolean {
  const { remoteAddress, localAddress } = socket;
  return isLoopback(socket) || (remoteAddress !== undefined && remoteAddress === localAddress);
}

/** Whether `given` is this secret, in a time that does not tell how much of it was right. */
export function isSecret(given: string, expected: string): boolean {
  if (expected === '') return false;
  const [a, b] = [Buffer.from(given), Buffer.from(expected)];
  // A wrong length takes as long as a wrong letter.
  return (
    timingSafeEqual(b, a.length === b.length ? a : Buffer.alloc(b.length)) && a.length === b.length
  );
}

/** The host of a Host field, without its port, in lower case. */
export function hostOf(header: string): string {
  if (header.startsWith('[')) return header.slice(1, header.indexOf(']')).toLowerCase();
  return header.replace(/:\d*$/, '').replace(/\.$/, '').toLowerCase();
}

/**
 * A name that a stranger can't point to this machine: an address, a name of this machine or of the
 * private network, or one that is configured (`*.example.com`: any below it). '' is no browser's.
 */
export function isTrustedName(host: string, configured: readonly string[]): boolean {
  if (host === '' || isIP(host) !== 0 || host === hostname().toLowerCase()) return true;
  // One label alone is completed by the resolver's own search list.
  if (/^[a-z0-9_-]+$/.test(host) || PRIVATE_SUFFIXES.test(host)) return true;
  return configured.some((name) =>
    name.startsWith('*.') ? host.endsWith(name.slice(1)) : host === name,
  );
}

/** The token of `Authorization: Bearer TOKEN`, or the password of Basic, which browsers can send. */
function tokenIn({ authorization = '' }: IncomingHttpHeaders): string {
  const basic = /^Basic +(\S+)$/i.exec(authorization)?.[1];
  return basic === undefined ? bearerIn(authorization) : passwordIn(basic);
}

/** The token of `Authorization: Bearer TOKEN`, or ''. */
export function bearerIn(authorization = ''): string {
  return /^Bearer +(\S+)$/i.exec(authorization)?.[1] ?? '';
}

function passwordIn(basic: string): string {
  const text = Buffer.from(basic, 'base64').toString();
  return text.slice(text.indexOf(':') + 1);
}
