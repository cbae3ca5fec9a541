// Puts the configuration together: flags over environment over registry overlay over file over
// defaults, checked as a whole. Returns every problem at once; it throws nothing.
import { basename } from 'node:path';
import { BOUNDS, type Bound, formatBound } from '../model/bounds.ts';
import type { Service, ServiceSource } from '../model/service.ts';
import type { Settings } from '../model/settings.ts';
import { buildService, buildSettings } from './build.ts';
import { type Environment, fromEnvironment } from './environment.ts';
import { fromFlags, fromPairs, portlessServices, type RunFlags } from './flags.ts';
import { overlayProblems } from './overlay-keys.ts';
import type { Problem } from './problem.ts';
import { configSchema, serviceSchema } from './schema.ts';
import { fillEmpty } from './shape.ts';
import { hasPath, isTree, overlay, type Tree } from './tree.ts';
import { firstOf, parse, validate } from './validate.ts';
import { readYaml, type YamlText } from './yaml.ts';

const CONSUL = ['registries', 'consul'];
/** What `--service NAME` without a port means. */
const PORT = 80;
const CONSUL_ADDRESS = [...CONSUL, 'address'];

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

export function loadSettings(input: LoadInput): LoadResult {
  const file = readFile(input.file, input.env);
  const kv = readOverlay(input.kv);
  const environment = fromEnvironment(input.env);
  const flags = fromFlags(input.flags);
  const problems = [...file.problems, ...kv.problems, ...environment.problems, ...flags.problems];
  const layers: readonly Layer[] = [
    ...[file, kv].map(({ tree, yaml }) => ({ tree, where: yaml?.where ?? (() => null) })),
    ...[environment, flags].map(({ tree, origins }) => ({
      ...{ tree, where: (path: Path) => originOf(path, origins) },
    })),
  ];
  // Settings of Consul's CLI in the environment don't mean that Consul is to be followed.
  const isNamed =
    [file, kv, flags].some((layer) => hasPath(layer.tree, CONSUL)) ||
    hasPath(environment.tree, CONSUL_ADDRESS);
  const laid = layers.reduce<Tree>((under, { tree }) => lay(under, tree), {});
  const whole = withRegistry(withPorts(fill(laid), input.flags), isNamed);
  const tree = withTls(whole, environment.isTls);
  problems.push(...excessOf(tree));
  if (problems.length > 0) return { settings: null, problems: firstOf(problems), tree };
  const where = (path: Path, isKey: boolean) => placeOf(layers.toReversed(), path, isKey);
  const checked = validate(tree, where);
  if (checked.input === null) return { settings: null, problems: checked.problems, tree };
  return { settings: buildSettings(checked.input), problems: [], tree };
}

type Path = readonly PropertyKey[];

/** One of the sources that are laid over each other. */
interface Layer {
  readonly tree: Tree;
  /** Where the value (or key) at `path` was set, for people. */
  readonly where: (path: Path, isKey: boolean) => string | null;
}

/** The place where the value at `path` was set; of what it stands in where it was set nowhere. */
function placeOf(layers: readonly Layer[], path: Path, isKey: boolean): string {
  for (let length = path.length; length > 0; length -= 1) {
    const part = path.slice(0, length);
    const layer = layers.find(({ tree }) => hasPath(tree, part));
    const place = layer?.where(part, isKey && length === path.length);
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
    .filter((name) => !routed.has(name) && !hasPath(tree, ['services', name, 'listen']))
    .reduce((under, name) => overlay(under, { services: { [name]: { listen: PORT } } }), tree);
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function readFile(file: LoadInput['file'], env: Environment): ReadTree {
  const { text, path } = file ?? { text: '', path: '' };
  const name = basename(path);
  return tooLong(text, name, BOUNDS.configFile) ?? readTree(text, name, env);
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
  const problems =
    yaml === null ? [] : overlayProblems(tree, (path, isKey) => yaml.where(path, isKey));
  return problems.length > 0 ? { ...read, problems } : read;
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
  if (!isTree(yaml.data)) {
    const problem = { where: `${name}:1:1`, key: '', message: 'expected a map of settings' };
    return { tree: {}, yaml: null, problems: [problem] };
  }
  return { tree: yaml.data, yaml, problems };
}

/**
 * Fills in which registry is meant where nobody said: a service with static endpoints uses those;
 * with nothing else to follow, Consul on its usual address is followed.
 */
function withRegistry(tree: Tree, isNamed: boolean): Tree {
  const { registries = {}, static: statics = {}, services = {} } = tree;
  // What is no map is told by the schema.
  if (!isTree(registries) || !isTree(statics) || !isTree(services)) return tree;
  const filled = Object.entries(services).map(([name, service]) => [
    name,
    isTree(service) ? withSource(name, service, statics) : service,
  ]);
  const whole = { ...tree, services: Object.fromEntries(filled) };
  if (isNamed) return whole;
  const isAlone = filled.length === 0 && Object.keys(statics).length === 0;
  if (isAlone || filled.some(([, service]) => !isStatic(service))) {
    return overlay(whole, { registries: { consul: registries.consul ?? {} } });
  }
  const { consul: _, ...others } = registries;
  return { ...whole, registries: others };
}

function withSource(name: string, service: Tree, statics: Tree): Tree {
  const { from = {} } = service;
  if (!isTree(from) || from.registry !== undefined) return service;
  const source = typeof from.service === 'string' ? from.service : name;
  const registry = { from: { registry: 'static' } };
  return Object.hasOwn(statics, source) ? overlay(service, registry) : service;
}

function isStatic(service: unknown): boolean {
  return isTree(service) && isTree(service.from) && service.from.registry === 'static';
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

/** Reads the settings that a service gives itself in the registry: `listen`, `health.path`, ... */
export function describeService(
  source: ServiceSource,
  settings: Readonly<Record<string, string>>,
): { readonly service: Service | null; readonly problems: readonly string[] } {
  const tree = fromPairs(Object.entries(settings));
  const { accept, registry, service: name } = source;
  const where = (path: Path) => `tag ${path.map(String).join('.')}`;
  const data = { ...tree, from: { registry, service: name, accept } };
  const { output, problems } = parse({ data, where, schema: serviceSchema });
  if (output === null) {
    return {
      service: null,
      problems: problems.map(({ where, message }) => `${where}: ${message}`),
    };
  }
  const service = { ...buildService(name, output), from: source };
  return service.listen.length > 0
    ? { service, problems: [] }
    : {
        service: null,
        problems: ['tag listen: is missing: expected a port to serve the service on'],
      };
}
