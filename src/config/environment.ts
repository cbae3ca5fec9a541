// What the environment configures: our own variables, and Consul's as its own CLI reads them.
import { consulUrl } from './build.ts';
import { drCon } from './dr-con.ts';
import type { Problem } from './problem.ts';
import { overlay, type Tree, treeAt } from './tree.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

/** Variable -> place in the configuration. */
const VARIABLES: Readonly<Record<string, string>> = {
  UPRIVER_STATS: 'stats.listen',
  UPRIVER_ADMIN_TOKEN: 'stats.admin_token',
  UPRIVER_WORKERS: 'workers',
  UPRIVER_LOG_LEVEL: 'log.level',
  UPRIVER_LOG_FORMAT: 'log.format',
  UPRIVER_ACCESS_LOG: 'log.access',
  UPRIVER_SHUTDOWN_GRACE: 'shutdown.grace',
  CONSUL_HTTP_TOKEN: 'registries.consul.token',
  CONSUL_HTTP_TOKEN_FILE: 'registries.consul.token_file',
  CONSUL_HTTP_AUTH: 'registries.consul.http_auth',
  CONSUL_HTTP_SSL_VERIFY: 'registries.consul.tls.verify',
  CONSUL_CACERT: 'registries.consul.tls.ca_file',
  CONSUL_CLIENT_CERT: 'registries.consul.tls.cert_file',
  CONSUL_CLIENT_KEY: 'registries.consul.tls.key_file',
  CONSUL_TLS_SERVER_NAME: 'registries.consul.tls.server_name',
  CONSUL_NAMESPACE: 'registries.consul.namespace',
  CONSUL_PARTITION: 'registries.consul.partition',
};

/** Registries of other set-ups that this version does not follow. */
const UNSUPPORTED = ['ETCD_HOST', 'ETCD_ENDPOINTS'];

/** Variables that select Consul even without an address. */
const CONSUL_VARIABLE = /^CONSUL_/;

export function fromEnvironment(env: Environment): {
  readonly tree: Tree;
  readonly problems: readonly Problem[];
  /** Dotted place -> the variable it came from. */
  readonly origins: ReadonlyMap<string, string>;
  /** Whether CONSUL_HTTP_SSL is on. */
  readonly isTls: boolean;
} {
  const isTls = ['1', 'true'].includes(env.CONSUL_HTTP_SSL ?? '');
  const origins = new Map<string, string>();
  const articles = drCon(env);
  let tree = articles.tree;
  if (env.SERVICE !== undefined) origins.set('services', 'SERVICE');
  for (const [variable, place] of Object.entries(VARIABLES)) {
    const value = env[variable];
    if (value === undefined || value === '') continue;
    tree = overlay(tree, treeAt(place.split('.'), normal(variable, value)));
    origins.set(place, variable);
  }
  if (env.CONSUL_HTTP_ADDR) {
    const address = [consulUrl(env.CONSUL_HTTP_ADDR, isTls)];
    tree = overlay(tree, { registries: { consul: { address } } });
    origins.set('registries.consul.address', 'CONSUL_HTTP_ADDR');
  }
  const unsupported = UNSUPPORTED.filter((variable) => env[variable]).map((variable) => ({
    where: variable,
    key: '',
    message: 'etcd is not supported by this version; unset the variable',
  }));
  return { tree, problems: [...articles.problems, ...unsupported], origins, isTls };
}

/** Consul takes 0 and 1 for its switches. */
function normal(variable: string, value: string): string {
  if (!CONSUL_VARIABLE.test(variable)) return value;
  if (variable !== 'CONSUL_HTTP_SSL_VERIFY') return value;
  return value === '0' ? 'false' : value === '1' ? 'true' : value;
}
