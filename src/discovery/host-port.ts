// Hosts and ports as registries write them: pure.
import { parseIp } from '../base/ip-address.ts';

const LABEL = /^[a-z0-9_][a-z0-9_-]{0,62}$/i;
const NAME_MAX = 253;

/** `IP:PORT`, `[IPv6]:PORT` or `HOST:PORT`, the host in lower case; null for anything else. */
export function readHostPort(text: string): { host: string; port: number } | null {
  const match = /^(?:\[([^\]]*)\]|(.*)):(\d{1,5})$/s.exec(text);
  const host = match?.[1] ?? match?.[2] ?? '';
  const port = portOf(match?.[3] ?? '');
  const isBracketed = match?.[1] !== undefined;
  if (port === null || !isHost(host) || (isBracketed && !host.includes(':'))) return null;
  return { host: host.toLowerCase(), port };
}

/** A port from 1 to 65535, also as text; null for anything else. */
export function portOf(value: unknown): number | null {
  if (typeof value === 'string' && !/^\d{1,5}$/.test(value)) return null;
  const port = typeof value === 'string' ? Number(value) : value;
  return typeof port === 'number' && Number.isInteger(port) && port >= 1 && port <= 65_535
    ? port
    : null;
}

/** Whether this is an IP address, without brackets, or may be a host name. */
export function isHost(host: string): boolean {
  if (host.includes(':')) return parseIp(host) !== null && !host.includes('%');
  // Digits and dots alone are an address, or a wrong one.
  if (/^[\d.]*$/.test(host)) return parseIp(host) !== null && !/(^|\.)0\d/.test(host);
  const labels = host.replace(/\.$/, '').split('.');
  return host.length <= NAME_MAX && labels.every((label) => LABEL.test(label));
}
