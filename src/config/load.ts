// Puts the configuration together: flags over environment over registry overlay over file over
// defaults, checked as a whole. Returns every problem at once; it throws nothing.
import { basename } from 'node:path';
import type { Service, ServiceSource } from '../model/service.ts';
import type { Settings } from '../model/settings.ts';
import { buildService, buildSettings } from './build.ts';
import { type Environment, fromEnvironment } from './environment.ts';
import { fromFlags, fromPairs, type RunFlags } from './flags.ts';
import type { Problem } from './problem.ts';
import { serviceSchema } from './schema.ts';
import { hasPath, isTree, overlay, type Tree } from './tree.ts';
import { problemsOf, validate } from './validate.ts';
import { readYaml, type YamlText } from './yaml.ts';

const CONSUL = ['registries', 'consul'];
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
  const file = readTree(input.file?.text ?? '', basename(input.file?.path ?? ''), input.env);
  const kv = readTree(input.kv?.text ?? '', `kv ${input.kv?.key ?? ''}`, input.env);
  const environment = fromEnvironment(input.env);
  const flags = fromFlags(input.flags);
  const problems = [...file.problems, ...kv.problems, ...environment.problems, ...flags.problems];
  const layers = [file.tree, kv.tree, environment.tree, flags.tree];
  // Settings of Consul's CLI in the environment don't mean that Consul is to be followed.
  const isNamed =
    [file, kv, flags].some((layer) => hasPath(layer.tree, CONSUL)) ||
    hasPath(environment.tree, CONSUL_ADDRESS);
  const tree = withTls(withRegistry(layers.reduce(overlay), isNamed), environment.isTls);
  if (problems.length > 0) return { settings: null, problems, tree };
  const where = (path: readonly PropertyKey[], isKey: boolean): string =>
    originOf(path, flags.origins) ??
    originOf(path, environment.origins) ??
    placeIn(kv, path, isKey) ??
    placeIn(file, path, isKey) ??
    'configuration';
  const checked = validate(tree, where);
  if (checked.input === null) return { settings: null, problems: checked.problems, tree };
  return { settings: buildSettings(checked.input), problems: [], tree };
}

interface ReadTree {
  readonly tree: Tree;
  readonly yaml: YamlText | null;
  readonly problems: readonly Problem[];
}

function readTree(text: string, name: string, env: Environment): ReadTree {
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
  const statics = isTree(tree.static) ? tree.static : {};
  const services = isTree(tree.services) ? tree.services : {};
  const filled = Object.entries(services).map(([name, service]) => {
    if (!isTree(service) && service !== null && service !== undefined) return [name, service];
    const from = isTree(service) && isTree(service.from) ? service.from : {};
    const source = typeof from.service === 'string' ? from.service : name;
    const isStatic = from.registry === undefined && Object.hasOwn(statics, source);
    return [
      name,
      isStatic ? overlay(service ?? {}, { from: { registry: 'static' } }) : (service ?? {}),
    ];
  });
  const named = Object.keys(services).length > 0 ? { services: Object.fromEntries(filled) } : {};
  const whole = { ...tree, ...named };
  const registries = isTree(tree.registries) ? tree.registries : {};
  const needsConsul = filled.some(
    ([, service]) =>
      !(isTree(service) && isTree(service.from) && service.from.registry === 'static'),
  );
  const isAlone = filled.length === 0 && Object.keys(statics).length === 0;
  if (isNamed) return whole;
  if (needsConsul || isAlone) {
    const { consul } = registries;
    return overlay(whole, { registries: { consul: isTree(consul) ? consul : {} } });
  }
  const { consul: _, ...others } = registries;
  return isTree(tree.registries) ? { ...whole, registries: others } : whole;
}

/** CONSUL_HTTP_SSL without an address means the usual one. */
function withTls(tree: Tree, isTls: boolean): Tree {
  if (!isTls || !hasPath(tree, CONSUL) || hasPath(tree, CONSUL_ADDRESS)) return tree;
  return overlay(tree, { registries: { consul: { address: ['https://127.0.0.1:8500'] } } });
}

function originOf(
  path: readonly PropertyKey[],
  origins: ReadonlyMap<string, string>,
): string | null {
  for (let length = path.length; length > 0; length -= 1) {
    const origin = origins.get(path.slice(0, length).map(String).join('.'));
    if (origin !== undefined) return origin;
  }
  return null;
}

function placeIn(read: ReadTree, path: readonly PropertyKey[], isKey: boolean): string | null {
  const parent = path.slice(0, -1);
  if (read.yaml === null || !(hasPath(read.tree, path) || hasPath(read.tree, parent))) return null;
  return read.yaml.where(path, isKey);
}

/** Reads the settings that a service gives itself in the registry: `listen`, `health.path`, ... */
export function describeService(
  source: ServiceSource,
  settings: Readonly<Record<string, string>>,
): { readonly service: Service | null; readonly problems: readonly string[] } {
  const tree = fromPairs(Object.entries(settings));
  const { accept, registry, service: name } = source;
  const result = serviceSchema.safeParse({ ...tree, from: { registry, service: name, accept } });
  if (!result.success) {
    const where = (path: readonly PropertyKey[]) => `tag ${path.map(String).join('.')}`;
    const found = problemsOf(result.error, { data: tree, where, schema: serviceSchema });
    return { service: null, problems: found.map(({ where, message }) => `${where}: ${message}`) };
  }
  const service = { ...buildService(name, result.data), from: source };
  return service.listen.length > 0
    ? { service, problems: [] }
    : {
        service: null,
        problems: ['tag listen: is missing: expected a port to serve the service on'],
      };
}
