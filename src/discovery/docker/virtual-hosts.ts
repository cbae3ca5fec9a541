// The routes that a container asks for by the variables of nginx-proxy: VIRTUAL_HOST, VIRTUAL_PORT,
// VIRTUAL_PATH, VIRTUAL_DEST. Containers that name the same host and path are endpoints of one service,
// as they share one upstream there. Pure.
import type { Container } from '../../containers/container.ts';
import { settingOf } from '../../containers/metadata.ts';

export interface VirtualHost {
  /** Of the service: the host, and the path with `~` for each slash. */
  readonly name: string;
  readonly host: string;
  readonly path: string;
  /** Within the container. */
  readonly port: number;
  /** Prefix taken off the path, and put in its place; '' for none. */
  readonly strip: string;
  readonly prefix: string;
}

export interface VirtualHosts {
  readonly hosts: readonly VirtualHost[];
  /** What can't be served as it is asked for. */
  readonly problems: readonly string[];
}

const NONE: VirtualHosts = { hosts: [], problems: [] };
const PORT = 80;
/** Hosts of one container. */
const HOSTS_MAX = 64;
const HOST = /^(?:\*\.)?[a-z0-9](?:[a-z0-9_.-]*[a-z0-9])?$/;
const PATH = /^\/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*$/;

/**
 * None without VIRTUAL_HOST, or where a variable asks for what is not supported; a name that is no host is left out.
 * The latter two are problems.
 */
export function virtualHostsOf(container: Container): VirtualHosts {
  const say = (name: string) => settingOf(container, name).trim();
  if (say('VIRTUAL_HOST_MULTIPORTS') !== '') {
    return refused('VIRTUAL_HOST_MULTIPORTS is not supported: expected VIRTUAL_HOST');
  }
  const asked = say('VIRTUAL_HOST');
  if (asked === '') return NONE;
  const protocol = say('VIRTUAL_PROTO') || 'http';
  if (protocol !== 'http') return refused(`VIRTUAL_PROTO=${protocol}: expected http`);
  const path = say('VIRTUAL_PATH') || '/';
  if (!PATH.test(path)) return refused(`VIRTUAL_PATH=${path}: expected a path such as /api`);
  const dest = say('VIRTUAL_DEST');
  if (dest !== '' && !PATH.test(dest)) return refused(`VIRTUAL_DEST=${dest}: expected a path`);
  const port = portOf(container, say('VIRTUAL_PORT'));
  if (port === null) return refused(`VIRTUAL_PORT=${say('VIRTUAL_PORT')}: expected a port`);
  const hosts: VirtualHost[] = [];
  const problems: string[] = [];
  for (const text of asked.split(',').slice(0, HOSTS_MAX)) {
    const host = text.trim().toLowerCase().replace(/\.$/, '');
    if (host === '') continue;
    if (!HOST.test(host)) problems.push(`VIRTUAL_HOST=${host}: expected a name or *.name`);
    else hosts.push({ name: nameOf(host, path), host, path, port, ...rewriteOf(path, dest) });
  }
  return { hosts, problems };
}

/** The port that is said, the only one that is exposed, or 80. */
function portOf({ exposed, ports }: Container, said: string): number | null {
  if (said !== '') {
    const port = Number(said);
    return Number.isInteger(port) && port >= 1 && port <= 65_535 ? port : null;
  }
  const open = new Set([...exposed, ...ports.keys()].filter((one) => one.endsWith('/tcp')));
  const [only = ''] = open;
  return open.size === 1 ? Number.parseInt(only, 10) : PORT;
}

/** What stands in the place of the path that is asked for; nothing where nothing is said. */
function rewriteOf(path: string, dest: string): Pick<VirtualHost, 'strip' | 'prefix'> {
  const [strip, prefix] = [path, dest].map((one) => one.replace(/\/+$/, '')) as [string, string];
  return dest === '' ? { strip: '', prefix: '' } : { strip, prefix };
}

function nameOf(host: string, path: string): string {
  return host + path.replace(/\/+$/, '').replaceAll('/', '~');
}

function refused(problem: string): VirtualHosts {
  return { hosts: [], problems: [problem] };
}
