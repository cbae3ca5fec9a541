// Where the running instance is asked: by flag, environment, file, default, as `run` finds where it
// listens. The file is read for that alone: its other problems are none of an operator's command.
import { readFileSync } from 'node:fs';
import { messageOf } from '../base/coded-error.ts';
import { textOf } from '../base/foreign.ts';
import { formatHostPort } from '../base/host-text.ts';
import { safeLine, safeLines } from '../base/safe-text.ts';
import { isTree, type Tree } from '../config/tree.ts';
import { parseListen } from '../model/listener.ts';
import type { ParsedArguments } from './command.ts';

const DEFAULT_ADDRESS = ':1936';
/** Nobody stands between: which certificate is shown there does not matter. */
const LOOPBACK = /^(127\.[\d.]+|::1|localhost)$/;

/** Where a request goes, as node:http takes it. */
export type Place =
  | { readonly socketPath: string }
  | { readonly host: string; readonly port: number };

export interface Instance {
  readonly place: Place;
  /** For messages: `http://127.0.0.1:1936` or the socket's path. */
  readonly name: string;
  /** It is asked over TLS; `unverified`: whoever answers at an address of this machine is believed. */
  readonly tls: 'off' | 'verified' | 'unverified';
  /** Its admin token, or whatever `--token` gave; '' for none. */
  readonly token: string;
  /** Where there is no other: what reads, and changes nothing. */
  readonly readToken: string;
}

/** The instance that is meant, or what is wrong with how it is named. */
export async function instanceOf(
  flags: ParsedArguments['flags'],
  env: Readonly<Record<string, string | undefined>> = process.env,
): Promise<Instance | { readonly problem: string }> {
  const token = textOf(flags.token) || env.UPRIVER_ADMIN_TOKEN || '';
  const readToken = env.UPRIVER_READ_TOKEN || '';
  const given: readonly (readonly [string, unknown])[] = [
    ['--stats', flags.stats],
    ['UPRIVER_STATS', env.UPRIVER_STATS || undefined],
  ];
  const named = given.find(([, value]) => value !== undefined);
  if (named !== undefined)
    return instanceAt({ where: named[0], value: named[1], token, readToken });
  const path = textOf(flags.config) || env.UPRIVER_CONFIG || '';
  if (path === '')
    return instanceAt({ where: 'default', value: DEFAULT_ADDRESS, token, readToken });
  const file = await statsOf(path, env);
  if (typeof file === 'string') return { problem: safeLines(file) };
  return instanceAt({
    where: `${path}: stats.listen`,
    ...listenOf(file.listen),
    token: token || textOf(file.admin_token),
    readToken: readToken || textOf(file.read_token),
  });
}

interface Named {
  /** Where the address was given. */
  readonly where: string;
  readonly value: unknown;
  /** The file says so; otherwise https:// does. */
  readonly isTls?: boolean;
  readonly token: string;
  readonly readToken: string;
}

function instanceAt({
  where,
  value,
  isTls = false,
  ...tokens
}: Named): Instance | { readonly problem: string } {
  const text = String(value);
  if (text === 'off' || value === false) {
    return { problem: `${where}: the stats port is off; there is nothing to ask` };
  }
  const listen = parseListen(text.replace(/^https?:\/\/|^unix:(?:\/\/)?|^\*(?=:)|(?<=\d)\/$/g, ''));
  if (listen === null) {
    const problem = `${where}: '${text}': expected the port, address:port or unix socket of a running instance`;
    return { problem: safeLine(problem) };
  }
  if (listen.kind === 'unix') {
    const tls = isTls ? 'unverified' : 'off';
    return { place: { socketPath: listen.path }, name: listen.path, tls, ...tokens };
  }
  // Every address of the machine: this one among them.
  const host = listen.host === '' || listen.host === '::' ? '127.0.0.1' : listen.host;
  const hasTls = isTls || text.startsWith('https://');
  const tls = !hasTls ? 'off' : LOOPBACK.test(host) ? 'unverified' : 'verified';
  const name = `${hasTls ? 'https' : 'http'}://${formatHostPort(host, listen.port)}`;
  return { place: { host, port: listen.port }, name, tls, ...tokens };
}

/** `stats.listen` as the file has it. */
function listenOf(listen: unknown): { readonly value: unknown; readonly isTls: boolean } {
  if (!isTree(listen)) return { value: listen ?? DEFAULT_ADDRESS, isTls: false };
  const { address, tls = false } = listen;
  return { value: address ?? DEFAULT_ADDRESS, isTls: tls !== false && tls !== 'false' };
}

/** The `stats` of the file; a text says why it can't be read. */
async function statsOf(path: string, env: NodeJS.ProcessEnv): Promise<Tree | string> {
  try {
    const text = readFileSync(path, 'utf8');
    const { readYaml } = await import('../config/yaml.ts');
    const { yaml, problems } = readYaml(text, path, env);
    if (yaml === null)
      return `${problems[0]?.where ?? path}: ${problems[0]?.message ?? 'unreadable'}`;
    const { data } = yaml;
    return isTree(data) && isTree(data.stats) ? data.stats : {};
  } catch (error) {
    return `${path}: ${messageOf(error)}`;
  }
}
