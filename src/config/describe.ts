// What a service says of itself in the registry, read as settings. A registrant of a service
// writes it: a setting that is wrong spoils itself alone, and none reaches beyond the service
// (docs/security.md).
import type { z } from 'zod';
import type { Service } from '../model/service.ts';
import { onlySource, plainSource, type ServiceSource } from '../model/source.ts';
import { buildService } from './build.ts';
import { fromPairs } from './flags.ts';
import type { ListenInput } from './schema/listen.ts';
import { buildOwnRoute, ownRouteSchema } from './schema/router.ts';
import { serviceSchema } from './schema/service.ts';
import { parse } from './validate.ts';

type Settings = Readonly<Record<string, string>>;

/** What a service may say of itself: its settings, and a route on a router of the registry. */
const describedSchema = serviceSchema.extend({ route: ownRouteSchema.optional() });
type ServiceInput = z.output<typeof describedSchema>;

const PROBLEMS_MAX = 20;
const NAME_CHARS_MAX = 200;

/**
 * Reads the settings that a service gives itself: `listen`, `health.path`, ... Settings that are
 * wrong are left out, and told; without a good `listen` there is no service.
 */
export function describeService(
  source: ServiceSource,
  given: Settings,
): { readonly service: Service | null; readonly problems: readonly string[] } {
  const settings = unaliased(given);
  const name = servedName(source);
  const unfit = unfitName(name);
  if (unfit !== '') return { service: null, problems: [unfit] };
  const { input, problems } = read(source, settings);
  if (input === null) return { service: null, problems: problems.slice(0, PROBLEMS_MAX) };
  const { protocol } = input;
  let listen = input.listen.map(withoutName);
  if (protocol === 'udp' && listen.some(({ address }) => address.kind === 'unix')) {
    problems.push('tag listen: expected a port or address:port: this is a udp service');
    listen = listen.filter(({ address }) => address.kind !== 'unix');
  }
  const isNamed = problems.some((problem) => problem.startsWith('tag listen:'));
  const route = protocol === 'http' ? input.route : undefined;
  if (protocol !== 'http' && input.route !== undefined) {
    problems.push(`tag route: a ${protocol} service has no routes: expected tag listen`);
  }
  const isNowhere = listen.length === 0 && route === undefined;
  if (isNowhere && !isNamed) problems.push(NO_LISTEN);
  const service = { ...buildService(name, { ...input, listen }), from: onlySource(source) };
  const ownRoute = route && buildOwnRoute(name, unnamed(route));
  return {
    service: isNowhere ? null : ownRoute === undefined ? service : { ...service, ownRoute },
    problems: problems.slice(0, PROBLEMS_MAX),
  };
}

/** As a route calls it, and other programs do. */
const ALIASES: ReadonlyMap<string, string> = new Map([['rewrite_host', 'upstream.host']]);

/** Every setting by its own name; where both are given, that one counts. */
function unaliased(settings: Settings): Settings {
  if (!Object.keys(settings).some((key) => ALIASES.has(key))) return settings;
  const named = Object.entries(settings).map(([key, value]) => [ALIASES.get(key) ?? key, value]);
  const known = Object.entries(settings).filter(([key]) => !ALIASES.has(key));
  return Object.fromEntries([...named, ...known]);
}

/** Registries whose names of services are paths. */
const TREES: readonly string[] = ['etcd', 'zookeeper'];

/** Where the registry is a tree, the name of a service is a path in it. */
function servedName({ registry, service }: ServiceSource): string {
  return TREES.includes(registry) ? service.replaceAll('/', '-') : service;
}

const NO_LISTEN = 'tag listen: is missing: expected a port to serve the service on';

/** Whether a service may give itself this setting, looked at alone. */
export function isGoodSetting(key: string, value: string): boolean {
  return problemOf(ANY_SOURCE, ALIASES.get(key) ?? key, value) === '';
}

const ANY_SOURCE = plainSource('consul', 'any');

/** Everything in one go where all is right; one setting after the other where it is not. */
function read(
  source: ServiceSource,
  settings: Settings,
): { input: ServiceInput | null; problems: string[] } {
  const pairs = Object.entries(settings);
  const whole = parseSettings(source, settings);
  const isRight =
    whole.output !== null &&
    !haveClash(Object.keys(settings)) &&
    pairs.every(([key]) => objection(whole.output!, key) === '');
  if (isRight) return { input: whole.output, problems: [] };
  const problems: string[] = [];
  const good: Record<string, string> = {};
  for (const [key, value] of pairs) {
    const problem = problemOf(source, key, value);
    if (problem === '') good[key] = value;
    else problems.push(problem);
  }
  const balance = hashProblem(parseSettings(source, good).output);
  if (balance !== '') {
    problems.push(balance);
    delete good.balance;
  }
  const { output, problems: others } = parseSettings(source, good);
  return { input: output, problems: [...problems, ...others] };
}

/** `health` and `health.path`: one of them would hide the other. */
function haveClash(keys: readonly string[]): boolean {
  const all = new Set(keys);
  return keys.some((key) => {
    const parts = key.split('.');
    return parts.some((_, i) => i > 0 && all.has(parts.slice(0, i).join('.')));
  });
}

function problemOf(source: ServiceSource, key: string, value: string): string {
  const { output, problems } = parseSettings(source, { [key]: value });
  const [problem = ''] = problems;
  return output === null ? problem : objection(output, key);
}

function parseSettings(source: ServiceSource, settings: Settings) {
  const { accept, registry, service } = source;
  const tree = fromPairs(Object.entries(settings));
  const { output, problems } = parse({
    data: { ...tree, from: { registry, service, accept } },
    where: (path) => `tag ${path.map(String).join('.')}`,
    schema: describedSchema,
  });
  return { output, problems: problems.map(({ where, message }) => `${where}: ${message}`) };
}

/** Why a service may not give itself the setting `key` of `input`, whose value is a good one. */
function objection(input: ServiceInput, key: string): string {
  const [first = '', second = '', ...rest] = key.split('.');
  if (first === 'from') return `tag ${key}: where endpoints come from is no matter of tags`;
  if (first === 'listen') {
    // What is spoken there is the operator's to say.
    if (key !== first) return `tag ${key}: expected tag listen, with a port or address:port alone`;
    return input.listen.map(listenProblem).find((one) => one !== '') ?? '';
  }
  if (key === 'primary.lock' || (key === 'primary.by' && input.primary.by === 'lock')) {
    return `tag ${key}: which keys are read is no matter of tags`;
  }
  if (first === 'health' && /^password/.test(second)) {
    return `tag ${key}: passwords, and files of this machine, are no matter of tags`;
  }
  if (first === 'route') return routeProblem(input, second, rest);
  if (first === 'upstream' && second === 'tls') {
    if (/_file$/.test(rest[0] ?? ''))
      return `tag ${key}: files of this machine are no matter of tags`;
    if (rest[0] === 'verify' && !input.upstream.tls.verify) {
      return `tag ${key}: whom to trust is no matter of tags`;
    }
  }
  if (first === 'balance') return hashProblem(input);
  if (first === 'http' && second === 'trusted_proxies') {
    return `tag ${key}: whom to trust is no matter of tags`;
  }
  if (first === 'http' && /_headers$/.test(second)) return fieldProblem(input, second, rest);
  const bound = BOUNDS.find((one) => one.key === key);
  if (bound === undefined || bound.read(input) <= bound.max) return '';
  return `tag ${key}: ${bound.read(input)}: a tag may set ${bound.max} at most`;
}

function hashProblem(input: ServiceInput | null): string {
  const on = input?.balance.hash?.on ?? 'source';
  const protocol = input?.protocol ?? 'http';
  if (protocol === 'http' || on === 'source') return '';
  return `tag balance: a ${protocol} service has no ${on}: expected hash(source)`;
}

/** A name could be resolved to another address than the one that was looked at. */
function listenProblem({ address }: ListenInput): string {
  if (address.kind === 'unix' || !/[a-z]/.test(address.host) || address.host.includes(':'))
    return '';
  if (address.host === LOCALHOST) return '';
  return `tag listen: ${JSON.stringify(address.host)}: expected a port or IP address and port`;
}

function routeProblem({ route }: ServiceInput, key: string, rest: readonly string[]) {
  const listen = route?.listen ?? [];
  if (key === 'listen' && (rest.length > 0 || listen.length !== 1)) {
    return 'tag route.listen: expected one port or address:port';
  }
  const { kind } = listen[0]?.address ?? {};
  if (kind === 'unix') return 'tag route.listen: expected a port or address:port';
  return listen.map(listenProblem).find((one) => one !== '') ?? '';
}

const LOCALHOST = 'localhost';

function unnamed(route: NonNullable<ServiceInput['route']>) {
  return { ...route, listen: route.listen.map(withoutName) };
}

function withoutName(listen: ListenInput): ListenInput {
  const { address } = listen;
  const isName = address.kind === 'tcp' && address.host === LOCALHOST;
  return isName ? { ...listen, address: { ...address, host: '127.0.0.1' } } : listen;
}

/**
 * Fields that name the client and where it came from: set by the proxy, or trusted by those
 * behind it. What frames a message is no matter of any rule (model/field-rules.ts).
 */
const TRUSTED =
  /^(forwarded|via|x-forwarded(-.*)?|x-original-.*|x-real-ip|(x-)?(cluster-)?client-ip|true-client-ip|[a-z]+-(client|connecting)-ip|x-envoy-.*|x-upriver-.*|x-client-cert-.*|x-request-id|origin|referer|sec-.*|proxy-.*)$/;

function fieldProblem(input: ServiceInput, group: string, names: readonly string[]): string {
  const rules = input.http[group as 'request_headers'];
  const renamed = /^rename/.test(group) ? Object.values(rules) : [];
  // A dot may be part of a field's name.
  const told = [names.join('.'), ...Object.keys(rules), ...renamed];
  const bad = told.find((name) => TRUSTED.test(name.toLowerCase().replaceAll('_', '-')));
  if (bad === undefined) return '';
  return `tag http.${group}: ${JSON.stringify(bad)}: who is trusted by this field is no matter of tags`;
}

/** What a registration may make the process hold for it; the configuration may say more. */
const BOUNDS: readonly {
  readonly key: string;
  readonly read: (input: ServiceInput) => number;
  readonly max: number;
}[] = [
  { key: 'retry.body', read: ({ retry }) => retry.body, max: 1024 ** 2 },
  { key: 'limits.header_bytes', read: ({ limits }) => limits.header_bytes, max: 256 * 1024 },
  { key: 'limits.target_bytes', read: ({ limits }) => limits.target_bytes, max: 64 * 1024 },
  { key: 'limits.queue', read: ({ limits }) => limits.queue, max: 10_000 },
  { key: 'limits.idle_upstream', read: ({ limits }) => limits.idle_upstream, max: 1000 },
];

/** Why a service of this name can't be served; '' where it can. The rule of configured names. */
function unfitName(name: string): string {
  const isFit = name !== '' && name.length <= NAME_CHARS_MAX && !/[\s/\p{C}]/u.test(name);
  if (isFit && name !== '.' && name !== '..') return '';
  return `a name without white space, slash or control characters is expected, of ${NAME_CHARS_MAX} characters at most`;
}
