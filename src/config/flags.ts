// What the command line configures. `--service` and `--static` may be given several times.
import { BOUNDS } from '../model/bounds.ts';
import type { FollowedRegistry } from '../model/registries/table.ts';
import type { Problem } from './problem.ts';
import { FOLLOWED, FOLLOWED_NAMES } from './registries/table.ts';
import { LISTEN_KEYS } from './schema/listen.ts';
import { isTree, overlay, type Tree, treeAt } from './tree.ts';

/** One for each registry that is followed: its places. */
type RegistryFlags = { readonly [N in FollowedRegistry]?: readonly string[] | undefined };

/** Values of the flags of `run`, as node:util parseArgs gives them. */
export interface RunFlags extends RegistryFlags {
  readonly register?: string | undefined;
  readonly 'register-self'?: string | undefined;
  readonly static?: readonly string[] | undefined;
  readonly service?: readonly string[] | undefined;
  readonly stats?: string | undefined;
  readonly workers?: string | undefined;
  readonly 'log-level'?: string | undefined;
  readonly 'log-format'?: string | undefined;
  readonly 'access-log'?: string | undefined;
  readonly 'state-file'?: string | undefined;
  readonly 'memory-max'?: string | undefined;
  readonly 'tls-cert'?: readonly string[] | undefined;
  readonly 'tls-key'?: readonly string[] | undefined;
}

const SINGLE = {
  stats: 'stats.listen',
  workers: 'workers',
  'log-level': 'log.level',
  'log-format': 'log.format',
  'access-log': 'log.access',
  'state-file': 'state.file',
  'memory-max': 'memory.max',
} as const;

const SELF = 'registries.consul.register_self';

/** What flags of `upriver run` set. `origins`: dotted place -> the flag that it came from. */
export function fromFlags(flags: RunFlags): {
  readonly tree: Tree;
  readonly problems: readonly Problem[];
  readonly origins: ReadonlyMap<string, string>;
} {
  const origins = new Map<string, string>();
  const problems: Problem[] = [];
  let tree: Tree = {};
  const put = (place: string, value: unknown, flag: string): void => {
    tree = overlay(tree, treeAt(place.split('.'), value));
    origins.set(place, flag);
  };
  for (const [flag, place] of Object.entries(SINGLE)) {
    const value = flags[flag as keyof typeof SINGLE];
    if (value !== undefined) put(place, value, `--${flag}`);
  }
  for (const name of FOLLOWED_NAMES) {
    const places = flags[name];
    if (!places?.length) continue;
    const named = places.filter((place) => place !== '');
    // Without a value it is followed where it is by default.
    if (named.length === 0 && FOLLOWED[name].flag?.isOptional === true) {
      put(`registries.${name}`, {}, `--${name}`);
    } else put(`registries.${name}.${FOLLOWED[name].place}`, places, `--${name}`);
  }
  // Without a URI it registers where services are followed.
  if (flags.register === '') put('register', {}, '--register');
  else if (flags.register !== undefined) put('register.to', flags.register, '--register');
  const fleet = flags['register-self'];
  if (fleet !== undefined) put(`${SELF}.enabled`, true, '--register-self');
  if (fleet) put(`${SELF}.service`, fleet, '--register-self');
  for (const text of flags.static ?? []) {
    const fixed = staticOf(text);
    if (typeof fixed === 'string') {
      problems.push({ where: '--static', key: '', message: fixed });
      continue;
    }
    tree = overlay(tree, { static: { [fixed.name]: fixed.endpoints } });
    origins.set(`static.${fixed.name}`, '--static');
  }
  for (const text of flags.service ?? []) {
    const service = serviceOf(text);
    if (typeof service === 'string') {
      problems.push({ where: '--service', key: '', message: service });
      continue;
    }
    tree = overlay(tree, { services: { [service.name]: service.tree } });
    origins.set(`services.${service.name}`, '--service');
  }
  const pairs = certificatePairs(flags['tls-cert'] ?? [], flags['tls-key'] ?? []);
  if (typeof pairs === 'string') problems.push({ where: '--tls-cert', key: '', message: pairs });
  else if (pairs.length > 0) put('tls.certificates', pairs, '--tls-cert');
  return { tree, problems, origins };
}

/** The n-th certificate has the n-th key, or both are in one file; returns what is wrong as text. */
export function certificatePairs(
  certificates: readonly string[],
  keys: readonly string[],
): readonly Tree[] | string {
  if (keys.length > 0 && keys.length !== certificates.length) {
    return `${certificates.length} certificates and ${keys.length} keys: expected a key for each certificate, or none where its file holds the key too`;
  }
  return certificates.map((file, i) => ({ cert_file: file, key_file: keys[i] ?? file }));
}

/** NAME=HOST:PORT[,HOST:PORT]; returns what is wrong as text. */
function staticOf(text: string): { name: string; endpoints: readonly string[] } | string {
  const at = text.indexOf('=');
  if (at < 1 || at === text.length - 1) return `'${text}': expected NAME=HOST:PORT[,HOST:PORT]`;
  const endpoints = text.slice(at + 1).split(',');
  return { name: text.slice(0, at), endpoints: endpoints.filter((part) => part !== '') };
}

/** NAME[=PORT][,key=value...]; returns what is wrong as text. */
function serviceOf(text: string): { name: string; tree: Tree } | string {
  const [head = '', ...settings] = splitOutsideBrackets(text);
  const at = head.indexOf('=');
  const name = at < 0 ? head : head.slice(0, at);
  if (name === '') return `'${text}': expected NAME[=PORT][,key=value...]`;
  const pairs: [string, string][] = at < 0 ? [] : [['listen', head.slice(at + 1)]];
  for (const setting of settings) {
    const equals = setting.indexOf('=');
    const last = pairs.at(-1);
    if (equals > 0) pairs.push([setting.slice(0, equals), setting.slice(equals + 1)]);
    // `retry.on=connect,502`: what is no setting belongs to the list before it.
    else if (last !== undefined && last[0] !== 'listen') last[1] += `,${setting}`;
    else return `'${setting}' in '${text}': expected key=value`;
  }
  return { name, tree: fromPairs(withListener(pairs)) };
}

type Pair = readonly [string, string];

/** `web=443,tls=true`: keys of a listener stand beside its address. */
function withListener(pairs: readonly Pair[]): readonly Pair[] {
  const isOfListener = (key: string): boolean => LISTEN_KEYS.includes(key.split('.', 1)[0]!);
  if (!pairs.some(([key]) => isOfListener(key))) return pairs;
  return pairs.map(([key, value]): Pair => {
    if (key === 'listen') return ['listen.address', value];
    return [isOfListener(key) ? `listen.${key}` : key, value];
  });
}

/** Names of services that the flags want served without saying where. */
export function portlessServices(flags: RunFlags): string[] {
  return (flags.service ?? [])
    .map(serviceOf)
    .filter((service) => typeof service !== 'string')
    .filter(({ tree }) => !Object.hasOwn(tree, 'listen') || isTree(tree.listen))
    .map(({ name }) => name);
}

/** Dotted keys as a tree: `health.path` is the key `path` of `health`. */
export function fromPairs(pairs: readonly Pair[]): Tree {
  return pairs.reduce<Tree>(
    // No key of the schema is so deep: what is cut off is unknown either way.
    (tree, [key, value]) => overlay(tree, treeAt(key.split('.', BOUNDS.configDepth.max), value)),
    {},
  );
}

/** Commas within parentheses belong to a value. */
function splitOutsideBrackets(text: string): string[] {
  return text.split(/,(?![^(]*\))/);
}
