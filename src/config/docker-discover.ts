// The environment of the docker-discover container: ETCD_HOST=host[:port], of etcd's v2 API, with
// its default port. It opened each port that a service named, and so may we: `listen_allow` is all
// ports where no configuration says otherwise.
import { formatHostPort } from '../base/host-text.ts';
import type { Tree } from './tree.ts';

const PORT = 4001;

/** What ETCD_HOST configures; nothing where it is not set. */
export function dockerDiscover(env: Readonly<Record<string, string | undefined>>): {
  readonly tree: Tree;
  /** What holds where no layer says otherwise. */
  readonly usual: Tree;
  /** Dotted place -> the variable it came from. */
  readonly origins: ReadonlyMap<string, string>;
} {
  const { ETCD_HOST: host = '' } = env;
  if (host === '') return { tree: {}, usual: {}, origins: new Map() };
  const hosts = host.split(',').map((one) => withPort(one.trim(), PORT));
  return {
    tree: { registries: { etcd: { address: hosts } } },
    usual: { registries: { etcd: { listen_allow: ['1-65535'] } } },
    origins: new Map([['registries.etcd.address', 'ETCD_HOST']]),
  };
}

/** A host without a port gets this one; what is a URL, or no host, stays as it is. */
function withPort(host: string, port: number): string {
  if (host === '' || /^[a-z]+:\/\//.test(host)) return host;
  const isBare = !/:\d+$/.test(host) || (/^[^[].*:.*:/.test(host) && !host.startsWith('['));
  if (!isBare) return host;
  return host.startsWith('[') ? `${host}:${port}` : formatHostPort(host, port);
}
