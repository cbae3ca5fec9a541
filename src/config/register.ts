// What the registrar is to do: the registry by a URI as Registrator takes it, the rest by flags of
// `upriver register` or by `register` of the configuration, and by the variables that the registries'
// own tools know. Returns every problem; throws nothing.
import { messageOf } from '../base/coded-error.ts';
import {
  DEFAULT_SOCKETS,
  type EngineAddress,
  parseEngineAddress,
} from '../model/engine-address.ts';
import type { KeyLayout, RegisterSettings, RegisterTarget } from '../model/register.ts';
import type { EtcdSettings } from '../model/registries/etcd.ts';
import type { RegistrySettings } from '../model/registries/table.ts';
import type { TlsSettings } from '../model/registries/tls.ts';
import { parseTagTemplate } from '../model/tag-template.ts';
import { dockerTls } from './docker-environment.ts';
import type { Environment } from './environment.ts';
import { type RegisterInput, REGISTRY_URIS as URIS } from './schema/register.ts';
import { isTree } from './tree.ts';

export type RegisterResult =
  | { readonly settings: RegisterSettings; readonly problems: readonly [] }
  | { readonly settings: null; readonly problems: readonly string[] };

/** docker-register's own times: each key lives 15 s, and is said again every 10 s. */
const DOCKER_REGISTER = { ttlMs: 15_000, refreshMs: 10_000, prefix: '/backends', port: 4001 };

/** What the rest of the configuration says of registries. */
export interface RegisterContext {
  /** Where it registers if no URI says otherwise. */
  readonly target?: RegisterTarget | undefined;
  readonly engine?: RegisterSettings['docker'] | undefined;
}

/** `docker` is the engine's address; '' for DOCKER_HOST, or the usual sockets. */
export function readRegister(
  input: RegisterInput,
  docker: string,
  env: Environment,
  context: RegisterContext = {},
): RegisterResult {
  const problems: string[] = [];
  const attempt = <T>(read: () => T): T | null => {
    try {
      return read();
    } catch (error) {
      problems.push(messageOf(error));
      return null;
    }
  };
  const fallback = input.to === '' ? context.target : undefined;
  const target = attempt(() => fallback ?? targetOf(input.to, env));
  const engine = attempt(() => context.engine ?? engineOf(docker, env));
  const times = attempt(() => timesOf(input, target));
  attempt(() => parseTagTemplate(input.tags));
  const isGood = problems.length === 0;
  if (!isGood || target === null || engine === null || times === null) {
    return { settings: null, problems };
  }
  const isDockerRegister = target.kind === 'etcd' && target.layout === 'docker-register';
  const settings: RegisterSettings = {
    target,
    docker: engine,
    hostname: input.hostname,
    ip: input.ip || (isDockerRegister ? (env.HOST_IP ?? '') : ''),
    internal: input.internal,
    explicit: input.explicit,
    ipLabel: input.use_ip_from_label,
    tags: input.tags,
    cleanup: input.cleanup,
    deregister: input.deregister,
    deregisterOnExit: input.deregister_on_exit,
    resyncMs: input.resync,
    ...times,
    retryAttempts: input.retry_attempts,
    retryIntervalMs: input.retry_interval,
  };
  return { settings, problems: [] };
}

/** A registration that lives on for a while, and is put off before that is over. */
function timesOf({ ttl, ttl_refresh: refresh }: RegisterInput, target: RegisterTarget | null) {
  const isDockerRegister = target?.kind === 'etcd' && target.layout === 'docker-register';
  if (ttl === 0 && refresh === 0 && isDockerRegister) {
    const { ttlMs, refreshMs } = DOCKER_REGISTER;
    return { ttlMs, refreshMs };
  }
  if ((ttl === 0) !== (refresh === 0)) {
    throw new Error('ttl and ttl-refresh: expected both, or neither');
  }
  if (ttl !== 0 && ttl <= refresh) {
    throw new Error(`ttl: ${ttl / 1000}s: expected more than ttl-refresh (${refresh / 1000}s)`);
  }
  return { ttlMs: ttl, refreshMs: refresh };
}

function engineOf(given: string, env: Environment) {
  const text = given || (env.DOCKER_HOST ?? '');
  const { tree } = dockerTls({ ...env, DOCKER_HOST: text });
  const tls = tlsOf(tree);
  const isTls = tls.certFile !== '';
  const named = text === '' ? [...DEFAULT_SOCKETS] : [text];
  const addresses: EngineAddress[] = named.map((one) => parseEngineAddress(one, isTls));
  return { addresses, tls };
}

function tlsOf(tree: unknown): TlsSettings {
  const registries = isTree(tree) ? tree.registries : {};
  const docker = isTree(registries) ? registries.docker : {};
  const tls = isTree(docker) && isTree(docker.tls) ? docker.tls : {};
  const text = (key: string): string => (typeof tls[key] === 'string' ? tls[key] : '');
  return {
    caFile: text('ca_file'),
    certFile: text('cert_file'),
    keyFile: text('key_file'),
    serverName: '',
    verify: text('verify') !== 'false',
  };
}

interface Parts {
  readonly scheme: string;
  /** `a:1,b:2`; '' for the default. */
  readonly hosts: string;
  /** With its slash; '' for none. */
  readonly path: string;
}

function targetOf(uri: string, env: Environment): RegisterTarget {
  if (uri === '') {
    // docker-register's environment names no registry but its own.
    if (env.ETCD_HOST) return dockerRegister(env.ETCD_HOST, DOCKER_REGISTER.prefix, env);
    throw new Error(`a registry is missing: expected ${URIS}`);
  }
  const [, scheme = '', hosts = '', path = ''] =
    /^([a-z0-9-]+):(?:\/\/([^/]*)(\/.*)?)?$/.exec(uri) ?? [];
  const parts = { scheme, hosts, path };
  switch (scheme) {
    case 'consul':
    case 'consul-tls':
    case 'consul-unix':
      return { kind: 'consul', access: consulAccess(parts, env) };
    case 'consulkv':
    case 'consulkv-tls':
    case 'consulkv-unix':
      return consulKv(parts, env, uri);
    case 'etcd':
    case 'etcd2':
    case 'etcd3':
      return etcdTarget(parts, 'registrator', env);
    case 'skydns2':
      return skydns(parts, env, uri);
    case 'docker-register':
      return dockerRegister(hosts || (env.ETCD_HOST ?? ''), path || DOCKER_REGISTER.prefix, env);
    default:
      throw new Error(`'${uri}': expected ${URIS}`);
  }
}

function consulAccess({ scheme, hosts, path }: Parts, env: Environment) {
  const isTls = scheme.endsWith('-tls') || isSet(env.CONSUL_HTTP_SSL);
  const host = hosts || (env.CONSUL_HTTP_ADDR ?? '') || '127.0.0.1:8500';
  const isUrl = /^[a-z]+:\/\//.test(host);
  const address = scheme.endsWith('-unix')
    ? `unix://${path}`
    : isUrl
      ? host.replace(/\/$/, '')
      : `${isTls ? 'https' : 'http'}://${withPort(host, isTls ? 8501 : 8500)}`;
  if (!address.startsWith('unix:') && URL.parse(address) === null) {
    throw new Error(`'${host}': expected a host and port of Consul`);
  }
  return {
    address,
    token: env.CONSUL_HTTP_TOKEN ?? '',
    tokenFile: env.CONSUL_HTTP_TOKEN_FILE ?? '',
    httpAuth: env.CONSUL_HTTP_AUTH ?? '',
    namespace: env.CONSUL_NAMESPACE ?? '',
    tls: {
      caFile: env.CONSUL_CACERT ?? '',
      certFile: env.CONSUL_CLIENT_CERT ?? '',
      keyFile: env.CONSUL_CLIENT_KEY ?? '',
      serverName: env.CONSUL_TLS_SERVER_NAME ?? '',
      verify: env.CONSUL_HTTP_SSL_VERIFY === undefined || isSet(env.CONSUL_HTTP_SSL_VERIFY),
    },
  };
}

function consulKv(parts: Parts, env: Environment, uri: string): RegisterTarget {
  // consulkv-unix:///path/of/socket:/prefix
  const [, socket = '', behind = ''] = /^(.*?):(\/.*)$/.exec(parts.path) ?? [];
  const isUnix = parts.scheme === 'consulkv-unix';
  const [path, prefix] = isUnix ? [socket, behind] : ['', parts.path];
  const name = prefix.replace(/^\/+|\/+$/g, '');
  if (name === '' || (isUnix && socket === '')) {
    throw new Error(`'${uri}': expected a prefix, as in consulkv://127.0.0.1:8500/services`);
  }
  return { kind: 'consulkv', access: consulAccess({ ...parts, path }, env), prefix: name };
}

function etcdTarget(
  { scheme, hosts, path }: Parts,
  layout: KeyLayout,
  env: Environment,
): RegisterTarget {
  const api = scheme === 'etcd2' ? 'v2' : scheme === 'etcd3' ? 'v3' : 'auto';
  const named = hosts || (env.ETCD_ENDPOINTS ?? '') || '127.0.0.1:2379';
  const etcd = etcdSettings(named, { env, port: 2379, api, prefix: path.replace(/\/+$/, '') });
  return { kind: 'etcd', etcd, layout };
}

/** skydns2 writes by v2, which is what SkyDNS reads. */
function skydns({ hosts, path }: Parts, env: Environment, uri: string): RegisterTarget {
  const domain = path.replace(/^\/+|\/+$/g, '');
  if (domain === '' || domain.includes('/')) {
    throw new Error(`'${uri}': expected a domain, as in skydns2://127.0.0.1:2379/cluster.local`);
  }
  const prefix = `/skydns/${domain.split('.').filter(Boolean).reverse().join('/')}`;
  const named = hosts || '127.0.0.1:2379';
  const etcd = etcdSettings(named, { env, port: 2379, api: 'auto', prefix });
  return { kind: 'etcd', etcd, layout: 'skydns' };
}

function dockerRegister(hosts: string, prefix: string, env: Environment): RegisterTarget {
  if (hosts === '') throw new Error('docker-register: expected a host, or ETCD_HOST');
  const { port } = DOCKER_REGISTER;
  const trimmed = prefix.replace(/\/+$/, '');
  const etcd = etcdSettings(hosts, { env, port, api: 'auto', prefix: trimmed });
  return { kind: 'etcd', etcd, layout: 'docker-register' };
}

interface EtcdParts {
  readonly env: Environment;
  readonly port: number;
  readonly api: EtcdSettings['api'];
  readonly prefix: string;
}

function etcdSettings(hosts: string, { env, port, api, prefix }: EtcdParts): EtcdSettings {
  const isTls = Boolean(env.ETCD_CACERT || env.ETCD_CERT);
  const addresses = hosts.split(',').map((host) => {
    const text = host.trim();
    const url = /^[a-z]+:\/\//.test(text)
      ? text.replace(/\/$/, '')
      : `${isTls ? 'https' : 'http'}://${withPort(text, port)}`;
    if (URL.parse(url) === null || text === '')
      throw new Error(`'${host}': expected host:port of etcd`);
    return url;
  });
  return {
    addresses,
    api,
    prefix,
    layout: 'backends',
    username: env.ETCD_USERNAME ?? '',
    password: env.ETCD_PASSWORD ?? '',
    passwordFile: env.ETCD_PASSWORD_FILE ?? '',
    tls: {
      caFile: env.ETCD_CACERT ?? '',
      certFile: env.ETCD_CERT ?? '',
      keyFile: env.ETCD_KEY ?? '',
      serverName: '',
      verify: true,
    },
    selfDescribed: false,
    tagPrefix: 'upriver',
    listenAllow: [],
    endpointDeny: [],
  };
}

function withPort(host: string, port: number): string {
  return /:\d+$/.test(host) ? host : `${host}:${port}`;
}

function isSet(value = ''): boolean {
  return ['1', 't', 'true', 'TRUE', 'True', 'T'].includes(value);
}

/** The registries that are followed, as those that are registered in: Consul before etcd. */
export function registerContext(registries: Partial<RegistrySettings>): RegisterContext {
  const { consul, docker, etcd } = registries;
  return { target: targetAmong(consul, etcd), engine: docker };
}

function targetAmong(
  consul: RegistrySettings['consul'] | undefined,
  etcd: EtcdSettings | undefined,
): RegisterTarget | undefined {
  if (consul === undefined) {
    return etcd === undefined ? undefined : { kind: 'etcd', etcd, layout: 'registrator' };
  }
  const { addresses, addressAuth = {}, httpAuth, namespace, tls, token, tokenFile } = consul;
  const address = addresses[0] ?? '';
  const access = { address, namespace, tls, token, tokenFile };
  return { kind: 'consul', access: { ...access, httpAuth: addressAuth[address] ?? httpAuth } };
}
