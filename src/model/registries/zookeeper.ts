// How ZooKeeper is followed.
import type { ListenRule } from '../listener.ts';
import type { TlsSettings } from './tls.ts';

/** Where a member of an ensemble takes clients. */
export interface ZookeeperServer {
  /** An IP address, or a host name that the system resolves. */
  readonly address: string;
  readonly port: number;
}

export interface ZookeeperSettings {
  /** The members. One is asked at a time, a random one first. */
  readonly servers: readonly ZookeeperServer[];
  /** Above all services, `/` or without a slash at its end. */
  readonly path: string;
  /** Of the scheme digest; '' for no authentication. */
  readonly username: string;
  readonly password: string;
  /** Read again when it changes; wins over `password`. */
  readonly passwordFile: string;
  /** Asked for; the members decide within their bounds. */
  readonly sessionTimeoutMs: number;
  /** Null for plain TCP. */
  readonly tls: TlsSettings | null;
  /** Serve services whose instances have labels of ours. */
  readonly selfDescribed: boolean;
  /** Labels `PREFIX.key`. */
  readonly tagPrefix: string;
  /** Where services that describe themselves may listen. */
  readonly listenAllow: readonly ListenRule[];
  /** Networks (CIDR) in which no endpoint may be, whoever registers it. */
  readonly endpointDeny: readonly string[];
}

/** Whether this may stand in a path, between slashes. */
export function isZnodeName(name: string): boolean {
  return name !== '' && name !== '.' && name !== '..' && !FORBIDDEN.test(name);
}

/** What else a member refuses, it says. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const FORBIDDEN = /[\0-\x1f\x7f-\x9f/]/;

/** The parts of a service's name in its path; null where it can't be one. Slashes around it don't count. */
export function znodeNamesOf(service: string): readonly string[] | null {
  const names = service.split('/').filter((name) => name !== '');
  return names.length > 0 && names.every(isZnodeName) ? names : null;
}
