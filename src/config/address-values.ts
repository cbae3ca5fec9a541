// Where something is, as zod types (see values.ts): listeners, endpoints, registries, networks, files and URLs.
import { isIP } from 'node:net';
import { z } from 'zod';
import { parseEngineAddress } from '../model/engine-address.ts';
import {
  type ListenAddress,
  type ListenRule,
  parseListen,
  parseListenRule,
} from '../model/listener.ts';
import { isZnodeName } from '../model/registries/zookeeper.ts';
import {
  AGENT,
  anyForm,
  ENGINE,
  ENSEMBLE_MEMBER,
  HOST_PORT,
  LISTEN,
  LISTEN_RULE,
  NETWORK,
  numberForm,
  READER,
  SERVED_NAME,
  textForm,
} from './forms.ts';
import { parsed } from './values.ts';

export const listenAddress = parsed<ListenAddress>({
  parse: parseListen,
  expected: 'a port, address:port or the path of a unix socket',
  form: anyForm(numberForm(1, 65535), textForm(LISTEN)),
});

export const listenRule = parsed<ListenRule>({
  parse: parseListenRule,
  expected:
    'a port, a range such as 1024-65535, either after an address or network and a colon, or a folder for unix sockets such as /run/upriver/',
  form: anyForm(numberForm(1, 65535), textForm(LISTEN_RULE)),
});

/** `host:port`, an IPv6 host in brackets. */
export const hostPort = parsed({
  parse: parseHostPort,
  expected: 'host:port',
  form: textForm(HOST_PORT),
});

function parseHostPort(text: string): { address: string; port: number } | null {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:[\]]+)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port < 1 || port > 65535) return null;
  return { address: match[1] ?? match[2]!, port };
}

const ZOOKEEPER_PORT = 2181;

/** A member of ZooKeeper: `host`, `host:port`, and at the end of a connect string `/chroot`. */
export const ensembleMember = parsed({
  parse: (text) => {
    const [, member = '', port = String(ZOOKEEPER_PORT), chroot = ''] =
      /^(\[[^\]]*\]|[^\s:[\]/,]+)(?::(\d{1,5}))?(\/[^\s,]*)?$/.exec(text) ?? [];
    // A port alone is no host.
    const at = /^\d+$/.test(member) ? null : parseHostPort(`${member}:${port}`);
    const names = chroot.split('/').filter((name) => name !== '');
    return at === null || !names.every(isZnodeName) ? null : { ...at, chroot: names.join('/') };
  },
  expected: 'host:port, the last one with a path where there is a chroot',
  form: textForm(ENSEMBLE_MEMBER),
});

/** A fixed endpoint: `host:port`, or `host:port weight=5`. */
export const staticEndpoint = parsed({
  parse: (text) => {
    const match = /^(\S+)(?: +weight=(\d{1,6}))?$/.exec(text);
    const at = match === null ? null : parseHostPort(match[1]!);
    return at === null ? null : { ...at, weight: Number(match![2] ?? 1) };
  },
  expected: 'host:port or host:port weight=N',
  form: textForm(`${HOST_PORT}(?: +weight=\\d{1,6})?`),
});

/** A CIDR network or a single address, without a zone: which interface a peer comes by is not looked at. */
export const network = parsed({
  parse: (text) => {
    if (text.includes('%')) return null;
    const [address = '', bits, ...others] = text.split('/');
    const bitsMax = { 0: -1, 4: 32, 6: 128 }[isIP(address)] ?? -1;
    const isBits = bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= bitsMax);
    return bitsMax > 0 && isBits && others.length === 0 ? text : null;
  },
  expected: 'an address or a network such as 10.0.0.0/8',
  form: textForm(NETWORK),
});

/** Who may read the stats port. */
export const reader = parsed({
  parse: (text) =>
    ['any', 'loopback', 'token'].includes(text) || network.safeParse(text).success ? text : null,
  expected: 'any, loopback, token, an address or a network such as 10.0.0.0/8',
  form: textForm(READER),
});

/** A name that the stats port is served under, or `*.` and a domain; lower case. */
export const servedName = z
  .string()
  .regex(
    new RegExp(`^(?:${SERVED_NAME})$`),
    'expected a host name such as lb.example.com or *.example.com',
  )
  .meta({ form: textForm(SERVED_NAME) })
  .transform((text) => text.toLowerCase());

/** Where an agent answers: `host:port`, a URL without a path, or a unix socket. */
export const agentAddress = parsed({
  parse: parseAgent,
  expected: 'host:port, http://host:port, https://host:port or unix:///path',
  form: textForm(AGENT),
});

/** The path of a file with target groups: `*` stands in its last part alone. */
export const targetPath = z
  .string()
  .regex(/^(?:[^*\0]*\/)?[^/\0]+$/, 'expected the path of a file, whose last part alone may have *')
  .meta({ form: textForm('(?:[^*\\0]*/)?[^/\\0]+') });

/** An http or https URL without user and fragment. */
export const targetUrl = parsed<{ readonly url: string }>({
  parse: (text) => {
    const url = /^https?:\/\//.test(text) ? URL.parse(text) : null;
    if (url === null || url.username !== '' || url.password !== '' || url.hash !== '') return null;
    return { url: url.href };
  },
  expected: 'http://HOST/PATH or https://HOST/PATH, without user and fragment',
  form: textForm('https?://[^@#]+'),
}).transform(({ url }) => url);

/** Where a container engine answers, as DOCKER_HOST says it. */
export const engineAddress = parsed({
  parse: (text) => {
    try {
      parseEngineAddress(text);
      return text;
    } catch {
      return null;
    }
  },
  expected: 'unix:///path, a path, tcp://host:port, http://host:port or https://host:port',
  form: textForm(ENGINE),
});

function parseAgent(text: string): string | null {
  if (text.startsWith('unix://')) return text.length > 'unix://'.length ? text : null;
  const isUrl = /^https?:\/\//.test(text);
  if (!isUrl && !/^[^/@?#]+:\d+$/.test(text)) return null;
  const url = URL.parse(isUrl ? text : `http://${text}`);
  return url !== null && url.pathname === '/' && url.search === '' && url.hash === ''
    ? text.replace(/\/$/, '')
    : null;
}
