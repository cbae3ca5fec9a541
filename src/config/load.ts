// Puts the configuration together: flags over environment over registry overlay over file over
// defaults, checked as a whole. Returns every problem at once; it throws nothing.
import { basename } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { BOUNDS, type Bound, formatBound } from '../model/bounds.ts';
import { formatListen, mayListen } from '../model/listener.ts';
import type { FollowedRegistry } from '../model/registries/table.ts';
import type { Settings } from '../model/settings.ts';
import { buildSettings } from './build.ts';
import { claimsOf, draftOf } from './draft.ts';
import { type Environment, fromEnvironment } from './environment.ts';
import { fromFlags, portlessServices, type RunFlags } from './flags.ts';
import { overlayProblems } from './overlay-keys.ts';
import { overlayPasswordProblems } from './overlay-passwords.ts';
import type { Part, Problem, Where } from './problem.ts';
import { readRegister, registerContext } from './register.ts';
import { FOLLOWED, FOLLOWED_NAMES } from './registries/table.ts';
import { type ConfigInput, configSchema } from './schema/config.ts';
import { type Hiding, hidingOf } from './secrets.ts';
import { fillEmpty } from './shape.ts';
import { hasPath, isTree, overlay, type Tree, treeAt } from './tree.ts';
import { firstOf, validate } from './validate.ts';
import { readYaml, type YamlText } from './yaml.ts';

const CONSUL = ['registries', 'consul'];
/** What `--service NAME` without a port means. */
const PORT = 80;
const TLS_PORT = 443;

export interface LoadInput {
  readonly flags: RunFlags;
  readonly env: Environment;
  /** The configuration file; null when there is none. */
  readonly file: { readonly path: string; readonly text: string } | null;
  /** The overlay in the registry; null when there is none. */
  readonly kv: { readonly key: string; readonly text: string } | null;
}

export interface LoadResult {
  /** Null exactly when there are problems. */
  readonly settings: Settings | null;
  readonly problems: readonly Problem[];
  /** The configuration as one tree, before defaults: for `check --print`. */
  readonly tree: Tree;
}

/** Reads all layers; problems show nothing secret of them. */
export function loadSettings(input: LoadInput): LoadResult {
  const { env, file, flags, kv } = input;
  const texts = [file?.text ?? '', kv?.text ?? '', ...Object.values(flags).flat()];
  const hide = hidingOf(texts.map(String), env);
  const result = loadLayers(input, hide);
  const problems = result.problems.map(({ where, key, message }) => ({
    where: hide(where),
    key: hide(key),
    message: hide(message),
  }));
  return { ...result, problems };
}

function loadLayers(input: LoadInput, hide: Hiding): LoadResult {
  const file = readFile(input);
  const kv = readOverlay(input.kv);
  const environment = fromEnvironment(input.env);
  const flags = fromFlags(input.flags);
  const problems = [...file.problems, ...kv.problems, ...environment.problems, ...flags.problems];
  const layers: readonly Layer[] = [
    ...[file, kv].map(({ tree, yaml }) => ({ tree, where: yaml?.where ?? (() => null) })),
    ...[environment, flags].map(({ tree, origins }) => ({
      tree,
      where: (path: Path) => originOf(path, origins),
    })),
  ];
  // Settings of Consul's CLI in the environment don't mean that Consul is to be followed.
  const named = FOLLOWED_NAMES.filter((name) => {
    const isGiven = [file, kv, flags].some(({ tree }) => hasPath(tree, ['registries', name]));
    return isGiven || hasPath(environment.tree, ['registries', name, FOLLOWED[name].place]);
  });
  const laid = layers.reduce<Tree>((under, { tree }) => lay(under, tree), environment.usual);
  const whole = withRegistry(withPorts(fill(laid), input.flags), named);
  const tree = withTls(whole, environment.isTls);
  const excess = excessOf(tree);
  problems.push(...excess);
  const where = (path: Path, part: Part) => placeOf(layers.toReversed(), path, part);
  // Of a text that could not be read nothing is known: what seems missing may stand there.
  const isRead = [file, kv].every(
    ({ yaml, problems: found }) => yaml !== null || found.length === 0,
  );
  const isChecked = isRead && excess.length === 0;
  const checked = isChecked ? validate(tree, where, hide) : { input: null, problems: [] };
  const overlaid: string[] = [];
  if (input.kv !== null) {
    const own = [file, environment, flags].reduce<Tree>((under, one) => lay(under, one.tree), {});
    const rules = { input: checked.input, where };
    const found = overlayListeners(tree, withPorts(own, input.flags), rules);
    problems.push(...found.problems, ...overlayPasswordProblems(kv.tree, own, where));
    overlaid.push(...found.added);
  }
  // What a variable should have been there is said once.
  const told = new Set(problems.map((problem) => problem.where));
  const others = checked.problems.filter((one) => !told.has(one.where));
  const all = firstOf(inFileOrder([...problems, ...others]), hide);
  if (checked.input === null || all.length > 0) return { settings: null, problems: all, tree };
  const built = withRegister(buildSettings(checked.input, overlaid), checked.input, input.env);
  const unregistered = built.problems.map((message) => {
    return { where: where(['register'], 'value'), key: 'register', message };
  });
  return { settings: built.settings, problems: unregistered, tree };
}

/** The registrar takes what the registries are, and the variables of their own tools. */
function withRegister(
  settings: Settings,
  { register }: ConfigInput,
  env: Environment,
): { readonly settings: Settings | null; readonly problems: readonly string[] } {
  if (register === undefined) return { settings, problems: [] };
  const read = readRegister(register, '', env, registerContext(settings.registries));
  if (read.settings === null) return { settings: null, problems: read.problems };
  return { settings: { ...settings, register: read.settings }, problems: [] };
}

/** The file's tree. An empty file is no configuration: it may be one that is being written. */
function readFile({ file, env }: LoadInput): ReadTree {
  if (file === null) return { tree: {}, yaml: null, problems: [] };
  const name = basename(file.path);
  const read = tooLong(file.text, name, BOUNDS.configFile) ?? readTree(file.text, name, env);
  const isEmpty = read.yaml === null ? read.problems.length === 0 : read.yaml.data === null;
  if (!isEmpty) return read;
  const message = 'the file is empty: expected settings, or {} where none are meant';
  return { tree: {}, yaml: null, problems: [{ where: `${name}:1:1`, key: '', message }] };
}

/** Sorted by line within a file; the rest stays in its order, first. */
function inFileOrder(problems: readonly Problem[]): Problem[] {
  const rank = ({ where }: Problem): readonly [string, number, number] => {
    const [, name = '', line, column] = /^(.*):(\d+):(\d+)$/.exec(where) ?? [];
    return [name, Number(line ?? 0), Number(column ?? 0)];
  };
  return [...problems].sort((one, other) => {
    const [a, b] = [rank(one), rank(other)];
    return a[0] !== b[0] ? (a[0] < b[0] ? -1 : 1) : a[1] - b[1] || a[2] - b[2];
  });
}

type Path = readonly PropertyKey[];

/** One of the sources that are laid over each other. */
interface Layer {
  readonly tree: Tree;
  /** Where the value (or key) at `path` was set, human-readable. */
  readonly where: (path: Path, part: Part) => string | null;
}

/** The place where the value at `path` was set; of what it stands in where it was set nowhere. */
function placeOf(layers: readonly Layer[], path: Path, part: Part): string {
  for (let length = path.length; length > 0; length -= 1) {
    const within = path.slice(0, length);
    const layer = layers.find(({ tree }) => hasPath(tree, within));
    const place = layer?.where(within, length === path.length ? part : 'value');
    if (place != null) return place;
  }
  return 'configuration';
}

/** One layer over those below it. A token that is given wins over a token's file further below. */
function lay(under: Tree, over: Tree): Tree {
  const isToken = hasPath(over, [...CONSUL, 'token']) && !hasPath(over, [...CONSUL, 'token_file']);
  const nothing = { registries: { consul: { token_file: '' } } };
  return overlay(isToken && hasPath(under, CONSUL) ? overlay(under, nothing) : under, over);
}

/** Maps and lists in place of nothing, as far as the schema wants them. */
function fill(tree: Tree): Tree {
  // A map stays a map.
  return fillEmpty(configSchema, tree) as Tree;
}

/** `--service NAME` without a port means port 80, unless another layer or a router serves it. */
function withPorts(tree: Tree, flags: RunFlags): Tree {
  const routes = list(tree.routers).flatMap(routesOf);
  const routed = new Set(routes.map((route) => isTree(route) && route.service));
  return portlessServices(flags)
    .filter((name) => !routed.has(name) || hasPath(tree, ['services', name, 'listen']))
    .reduce(
      (under, name) => overlay(under, treeAt(['services', name], withPort(under, name))),
      tree,
    );
}

function withPort({ services }: Tree, name: string): Tree {
  const service = isTree(services) ? services[name] : undefined;
  const listen = isTree(service) ? service.listen : undefined;
  if (listen === undefined) return { listen: PORT };
  if (!isTree(listen) || listen.address !== undefined) return {};
  const isPlain = listen.tls === undefined || String(listen.tls) === 'false';
  return { listen: { address: isPlain ? PORT : TLS_PORT } };
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

/** Null where the text is no longer than the bound. */
function tooLong(text: string, name: string, bound: Bound): ReadTree | null {
  if (Buffer.byteLength(text) <= bound.max) return null;
  const message = `expected at most ${formatBound(bound)}`;
  return { tree: {}, yaml: null, problems: [{ where: name, key: '', message }] };
}

/** The overlay: nothing of the environment goes in, and it sets what an overlay may, no more. */
function readOverlay(kv: LoadInput['kv']): ReadTree {
  if (kv === null) return { tree: {}, yaml: null, problems: [] };
  const name = `kv ${kv.key}`;
  const excess = tooLong(kv.text, name, BOUNDS.overlay);
  const read = excess ?? readTree(kv.text, name, null);
  const { tree, yaml } = read;
  const refused =
    yaml === null ? [] : overlayProblems(tree, (path, part) => yaml.where(path, part));
  // Nothing of it counts: what is said of the rest without it may be wrong.
  return refused.length > 0 ? { tree: {}, yaml: null, problems: refused } : read;
}

interface OverlayListeners {
  /** Keys of those that are there by the overlay alone. */
  readonly added: readonly string[];
  /** Of them, those that a service could not take by its tags either; and what it changes. */
  readonly problems: readonly Problem[];
}

function overlayListeners(whole: Tree, own: Tree, { input, where }: Checked): OverlayListeners {
  const allowed = input?.registries.consul?.listen_allow;
  if (allowed === undefined) return { added: [], problems: [] };
  const known = new Map(
    claimsOf(draftOf(own)).map(({ address, listen }) => [formatListen(address), listen] as const),
  );
  const added: string[] = [];
  const problems = claimsOf(draftOf(whole)).flatMap(({ address, listen, path }) => {
    const name = formatListen(address);
    const before = known.get(name);
    if (before === undefined) added.push(name);
    const isSame = before !== undefined && isDeepStrictEqual(before, listen);
    if (isSame || (before === undefined && mayListen(allowed, address))) return [];
    const why =
      before === undefined
        ? 'is not allowed in the overlay by registries.consul.listen_allow'
        : 'is in the configuration already: the overlay must not change what is spoken there';
    return [{ where: where(path, 'value'), key: path.join('.'), message: `${name} ${why}` }];
  });
  return { added, problems };
}

interface Checked {
  readonly input: ConfigInput | null;
  readonly where: Where;
}

/** More services or routes than there may be, over all layers. */
function excessOf({ services, routers }: Tree): Problem[] {
  const counts = [
    ['services', BOUNDS.configServices, isTree(services) ? Object.keys(services).length : 0],
    ['routers', BOUNDS.configRoutes, list(routers).flatMap(routesOf).length],
  ] as const;
  return counts
    .filter(([, bound, count]) => count > bound.max)
    .map(([key, bound, count]) => {
      const message = `${count} ${bound.what}: expected at most ${formatBound(bound)}`;
      return { where: 'configuration', key, message };
    });
}

function routesOf(router: unknown): readonly unknown[] {
  return isTree(router) ? list(router.routes) : [];
}

interface ReadTree {
  readonly tree: Tree;
  readonly yaml: YamlText | null;
  readonly problems: readonly Problem[];
}

function readTree(text: string, name: string, env: Environment | null): ReadTree {
  if (text.trim() === '') return { tree: {}, yaml: null, problems: [] };
  const { yaml, problems } = readYaml(text, name, env);
  if (yaml === null) return { tree: {}, yaml, problems };
  if (yaml.data === null) return { tree: {}, yaml, problems };
  if (!isTree(yaml.data)) {
    const problem = { where: `${name}:1:1`, key: '', message: 'expected a map of settings' };
    return { tree: {}, yaml: null, problems: [...problems, problem] };
  }
  return { tree: yaml.data, yaml, problems };
}

/**
 * Fills in the registry where none is named: a service with static endpoints uses those;
 * others use Consul where it is configured, or the one registry that is; with nothing else to
 * follow, Consul on its usual address is followed.
 */
function withRegistry(tree: Tree, named: readonly FollowedRegistry[]): Tree {
  const { registries = {}, static: statics = {}, services = {} } = tree;
  // What is no map is told by the schema.
  if (!isTree(registries) || !isTree(statics) || !isTree(services)) return tree;
  const [only, ...others] = named;
  const usual = only === undefined || others.length > 0 ? 'consul' : only;
  const filled = Object.entries(services).map(([name, service]) => [
    name,
    isTree(service) ? withSources(name, service, { statics, usual }) : service,
  ]);
  const whole = { ...tree, services: Object.fromEntries(filled) };
  const isAlone = filled.length === 0 && Object.keys(statics).length === 0;
  const isConsulMeant =
    named.length === 0 && (isAlone || filled.some(([, service]) => !isStatic(service)));
  // What the environment says of a registry that is not followed is for others.
  const followed = Object.entries(registries).filter(([name]) => {
    const isKnown = FOLLOWED_NAMES.some((known) => known === name);
    return !isKnown || named.some((one) => one === name) || (isConsulMeant && name === 'consul');
  });
  const left = { ...whole, registries: Object.fromEntries(followed) };
  const consul = { registries: { consul: registries.consul ?? {} } };
  return isConsulMeant ? overlay(left, consul) : left;
}

interface Meant {
  readonly statics: Tree;
  /** What is meant where nothing is said, and there are no static endpoints of that name. */
  readonly usual: FollowedRegistry;
}

function withSources(name: string, service: Tree, meant: Meant): Tree {
  const { from = {} } = service;
  const whole = Array.isArray(from)
    ? from.map((one) => withRegistryOf(name, one, meant))
    : withRegistryOf(name, from, meant);
  return whole === from ? service : { ...service, from: whole };
}

/** One of the sources of a service, with its registry. */
function withRegistryOf(name: string, given: unknown, { statics, usual }: Meant): unknown {
  const from = given ?? {};
  if (!isTree(from) || from.registry !== undefined) return given;
  const source = typeof from.service === 'string' ? from.service : name;
  const registry = Object.hasOwn(statics, source) ? 'static' : usual;
  // The schema's own default is not written out.
  return registry === 'consul' ? given : { ...from, registry };
}

function isStatic(service: unknown): boolean {
  if (!isTree(service)) return false;
  return [service.from].flat().every((from) => isTree(from) && from.registry === 'static');
}

/**
 * CONSUL_HTTP_SSL means https, as in Consul's own CLI: for an address without a scheme, and for
 * http as well. Without an address it means the usual one.
 */
function withTls(tree: Tree, isTls: boolean): Tree {
  if (!isTls || !hasPath(tree, CONSUL)) return tree;
  const { address } = (tree.registries as { consul: Tree }).consul;
  const given = address === undefined ? ['127.0.0.1:8500'] : [address].flat();
  const secured = given.map((one) =>
    typeof one !== 'string' || /^(https|unix):/.test(one)
      ? one
      : `https://${one.replace(/^http:\/\//, '')}`,
  );
  return overlay(tree, { registries: { consul: { address: secured } } });
}

function originOf(path: Path, origins: ReadonlyMap<string, string>): string | null {
  for (let length = path.length; length > 0; length -= 1) {
    const origin = origins.get(path.slice(0, length).map(String).join('.'));
    if (origin !== undefined) return origin;
  }
  return null;
}
