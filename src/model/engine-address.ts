// Where a container engine is reached: what DOCKER_HOST and `registries.docker.address` may say.
// Pure. Docker's own command line reads unix://, tcp:// and the variables of TLS in the same way.
import { CodedError } from '../base/coded-error.ts';
import { hideCredentials } from '../base/safe-text.ts';

export interface EngineAddress {
  /** unix:///run/docker.sock, http://host:port or https://host:port: for logs, and as a key. */
  readonly url: string;
  /** '' for TCP. */
  readonly socketPath: string;
  /** '' for a unix socket. */
  readonly host: string;
}

/** Sockets that are tried where no address is given, the first one that is there. */
export const DEFAULT_SOCKETS: readonly string[] = [
  '/var/run/docker.sock',
  // Where Registrator and docker-gen are given the socket inside their container.
  '/tmp/docker.sock',
  '/run/podman/podman.sock',
];

const EXPECTED =
  'unix:///path/of/socket, a path, tcp://host:port, http://host:port or https://host:port';
const PORT = { http: 2375, https: 2376 } as const;

/** Reads an address; `isTls` says what tcp:// stands for. Throws CodedError 'bad-address'. */
export function parseEngineAddress(text: string, isTls = false): EngineAddress {
  if (text.startsWith('/')) return unixAddress(text);
  const [, scheme = '', rest = ''] = /^([a-z]+):\/\/(.*)$/i.exec(text) ?? ['', '', text];
  switch (scheme.toLowerCase()) {
    case 'unix':
      return unixAddress(`/${rest.replace(/^\/+/, '')}`);
    case '':
      // A word alone is more likely something else that was meant.
      if (!/:\d+\/?$/.test(rest)) throw bad(text);
      return tcpAddress(text, rest, isTls ? 'https' : 'http');
    case 'tcp':
      return tcpAddress(text, rest, isTls ? 'https' : 'http');
    case 'http':
    case 'https':
      return tcpAddress(text, rest, scheme.toLowerCase() === 'https' ? 'https' : 'http');
    default:
      throw bad(text);
  }
}

function unixAddress(path: string): EngineAddress {
  // Longer ones can't be connected to (sun_path), and bytes after a NUL would be cut off.
  if (path === '/' || Buffer.byteLength(path) > 107 || path.includes('\0')) {
    throw new CodedError('bad-address', `'${path}': expected the path of a unix socket`);
  }
  return { url: `unix://${path}`, socketPath: path, host: '' };
}

function tcpAddress(text: string, rest: string, scheme: 'http' | 'https'): EngineAddress {
  const url = URL.parse(`${scheme}://${rest}`);
  const isPlain = url !== null && /^\/?$/.test(url.pathname + url.search + url.hash);
  if (!isPlain || url.hostname === '' || url.username !== '' || url.password !== '') {
    throw bad(text);
  }
  // A port that is the scheme's own is not in `url.port`.
  const isNamed = /:\d+\/?$/.test(rest);
  const port = url.port || (isNamed ? (scheme === 'https' ? '443' : '80') : PORT[scheme]);
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  return { url: `${scheme}://${url.hostname}:${port}`, socketPath: '', host };
}

function bad(text: string): CodedError {
  return new CodedError('bad-address', `'${hideCredentials(text)}': expected ${EXPECTED}`);
}
