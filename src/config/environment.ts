// What the environment configures: our own variables, and Consul's as its own CLI reads them.
import { closest } from '../base/closest.ts';
import { dockerDiscover } from './docker-discover.ts';
import { dockerTls } from './docker-environment.ts';
import { drCon } from './dr-con.ts';
import { certificatePairs } from './flags.ts';
import type { Problem } from './problem.ts';
import { FOLLOWED, FOLLOWED_NAMES } from './registries/table.ts';
import { overlay, type Tree, treeAt } from './tree.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

/** Variable -> place in the configuration. */
const VARIABLES: Readonly<Record<string, string>> = {
  UPRIVER_STATS: 'stats.listen',
  UPRIVER_ADMIN_TOKEN: 'stats.admin_token',
  UPRIVER_READ_TOKEN: 'stats.read_token',
  UPRIVER_WORKERS: 'workers',
  UPRIVER_LOG_LEVEL: 'log.level',
  UPRIVER_LOG_FORMAT: 'log.format',
  UPRIVER_ACCESS_LOG: 'log.access',
  UPRIVER_STATE_FILE: 'state.file',
  UPRIVER_MEMORY_MAX: 'memory.max',
  UPRIVER_SHUTDOWN_GRACE: 'shutdown.grace',
  UPRIVER_REGISTER_SELF: 'registries.consul.register_self.enabled',
  ...Object.fromEntries(
    FOLLOWED_NAMES.flatMap((name) =>
      Object.entries(FOLLOWED[name].variables).map(([variable, key]) => [
        variable,
        `registries.${name}.${key}`,
      ]),
    ),
  ),
};

/** Ours that are no keys of the configuration: flags of the command line alone. */
const OTHERS = ['UPRIVER_CONFIG', 'UPRIVER_TAKEOVER', 'UPRIVER_TLS_CERT', 'UPRIVER_TLS_KEY'];

/** What the launcher tells the program. */
const INTERNAL = ['UPRIVER_LIFELINE'];

/**
 * What Kubernetes, and links of Docker, put into the environment for a Service that is called
 * upriver or upriver-something. A plain port there is none of theirs: UPRIVER_STATS_PORT=1937.
 */
function isLink(name: string, value: string): boolean {
  const parts = /_(SERVICE_(HOST|PORT)(_\w+)?|PORT_\d+_\w+_(ADDR|PORT|PROTO)|ENV_\w+)$/;
  if (parts.test(name)) return true;
  if (name.endsWith('_NAME')) return value.startsWith('/');
  return /_PORT(_\d+_\w+)?$/.test(name) && /^(tcp|udp|sctp):\/\//.test(value);
}

/** Switches of Consul's CLI, which knows more words for yes and no than we do. */
const SWITCHES = ['CONSUL_HTTP_SSL', 'CONSUL_HTTP_SSL_VERIFY'];
const YES = ['1', 't', 'T', 'TRUE', 'true', 'True'];
const NO = ['0', 'f', 'F', 'FALSE', 'false', 'False'];

/** What other set-ups use and this version can't do: silence would be worse. */
const UNSUPPORTED: Readonly<Record<string, string>> = {
  CONSUL_CAPATH: 'a folder of certificates is not yet supported; name a file by CONSUL_CACERT',
};

export interface FromEnvironment {
  readonly tree: Tree;
  /** What holds where no layer says otherwise. */
  readonly usual: Tree;
  readonly problems: readonly Problem[];
  /** Dotted place -> the variable it came from. */
  readonly origins: ReadonlyMap<string, string>;
  /** Whether CONSUL_HTTP_SSL is on. */
  readonly isTls: boolean;
}

/** What variables set, by the names that upriver and the programs that it replaces give them. */
export function fromEnvironment(env: Environment): FromEnvironment {
  const articles = drCon(env);
  const discover = dockerDiscover(env);
  const origins = new Map([...articles.origins, ...discover.origins]);
  const problems = [...articles.problems, ...problemsOf(env)];
  let tree = overlay(articles.tree, discover.tree);
  for (const [variable, place] of Object.entries(VARIABLES)) {
    const value = env[variable];
    if (value === undefined || value === '') continue;
    tree = overlay(tree, treeAt(place.split('.'), normal(variable, value)));
    origins.set(place, variable);
  }
  const pairs = certificatePairs(filesOf(env.UPRIVER_TLS_CERT), filesOf(env.UPRIVER_TLS_KEY));
  if (typeof pairs === 'string') {
    problems.push({ where: 'UPRIVER_TLS_CERT', key: '', message: pairs });
  } else if (pairs.length > 0) {
    tree = overlay(tree, { tls: { certificates: pairs } });
    origins.set('tls.certificates', 'UPRIVER_TLS_CERT');
  }
  const docker = dockerTls(env);
  tree = overlay(tree, docker.tree);
  for (const [place, variable] of docker.origins) origins.set(place, variable);
  const { usual } = discover;
  return { tree, usual, problems, origins, isTls: YES.includes(env.CONSUL_HTTP_SSL ?? '') };
}

function problemsOf(env: Environment): Problem[] {
  const tell = (where: string, message: string): Problem => ({ where, key: '', message });
  const unsupported = Object.entries(UNSUPPORTED)
    // A file wins over a folder in Consul's CLI as well.
    .filter(([variable]) => env[variable] && !(variable === 'CONSUL_CAPATH' && env.CONSUL_CACERT))
    .map(([variable, message]) => tell(variable, message));
  const unclear = SWITCHES.filter((variable) => {
    const value = env[variable] ?? '';
    return value !== '' && !YES.includes(value) && !NO.includes(value);
  }).map((variable) => tell(variable, `"${env[variable]}": expected true or false`));
  return [...unsupported, ...unclear, ...unknown(env).map((one) => tell(one, hintFor(one)))];
}

/** Variables with our prefix that nothing reads: a misspelt one would be ignored without a word. */
function unknown(env: Environment): string[] {
  return Object.keys(env).filter((name) => {
    const value = env[name];
    if (!name.startsWith('UPRIVER_') || value === undefined || isLink(name, value)) return false;
    return ![...Object.keys(VARIABLES), ...OTHERS, ...INTERNAL].includes(name);
  });
}

function hintFor(variable: string): string {
  const known = [...Object.keys(VARIABLES), ...OTHERS].filter((one) => one.startsWith('UPRIVER_'));
  const meant = closest(variable, known);
  return meant === null
    ? `unknown variable; known are ${known.join(', ')}`
    : `unknown variable; did you mean ${meant}?`;
}

/** Names of files by commas. */
function filesOf(list: string | undefined): string[] {
  return (list ?? '').split(',').filter((file) => file !== '');
}

function normal(variable: string, value: string): string {
  if (!SWITCHES.includes(variable)) return value;
  return NO.includes(value) ? 'false' : 'true';
}
