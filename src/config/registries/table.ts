// The registries as the command line, the environment and `from` know them: which keys of `from`
// each takes, and which flag and variables set its settings. What those may be is in schemas.ts.
import type { FollowedRegistry, RegistryName } from '../../model/registries/table.ts';
import type { SourceKey } from '../../model/source.ts';

export interface RegistryRow {
  /** As people call it. */
  readonly title: string;
  /** Keys of `from` that it takes beside `registry` and `service`. */
  readonly from: readonly SourceKey[];
}

export interface FollowedRow extends RegistryRow {
  /**
   * The key that says where it is. A flag or variable that sets it has the registry followed;
   * another does not.
   */
  readonly place: string;
  /** The flag of `run` that sets `place`, if there is one: its name is the registry's. */
  readonly flag: {
    readonly value: string;
    /** It may stand without a value: the default is meant. */
    readonly isOptional?: boolean;
    readonly environment: string;
    readonly help: string;
  } | null;
  /** Variables of the environment, and the key below `registries.NAME` that each sets. */
  readonly variables: Readonly<Record<string, string>>;
}

/** What is followed by a key of `registries`; the first is meant where nothing is said at all. */
export const FOLLOWED: { readonly [N in FollowedRegistry]: FollowedRow } = {
  consul: {
    title: 'Consul',
    from: [
      'tag',
      'datacenter',
      'filter',
      'namespace',
      'partition',
      'peer',
      'kv',
      'query',
      'accept',
    ],
    place: 'address',
    flag: {
      value: 'URL',
      environment: 'CONSUL_HTTP_ADDR',
      help: 'a Consul agent; more are a fail-over list',
    },
    variables: {
      CONSUL_HTTP_ADDR: 'address',
      CONSUL_HTTP_TOKEN: 'token',
      CONSUL_HTTP_TOKEN_FILE: 'token_file',
      CONSUL_HTTP_AUTH: 'http_auth',
      CONSUL_HTTP_SSL_VERIFY: 'tls.verify',
      CONSUL_CACERT: 'tls.ca_file',
      CONSUL_CLIENT_CERT: 'tls.cert_file',
      CONSUL_CLIENT_KEY: 'tls.key_file',
      CONSUL_TLS_SERVER_NAME: 'tls.server_name',
      CONSUL_NAMESPACE: 'namespace',
      CONSUL_PARTITION: 'partition',
    },
  },
  etcd: {
    title: 'etcd',
    from: [],
    place: 'address',
    flag: {
      value: 'URL',
      environment: 'ETCD_ENDPOINTS',
      help: 'a member of etcd; more are a fail-over list',
    },
    variables: {
      ETCD_ENDPOINTS: 'address',
      ETCD_USERNAME: 'username',
      ETCD_PASSWORD: 'password',
      ETCD_PASSWORD_FILE: 'password_file',
      ETCD_CACERT: 'tls.ca_file',
      ETCD_CERT: 'tls.cert_file',
      ETCD_KEY: 'tls.key_file',
    },
  },
  docker: {
    title: 'Docker',
    from: ['tag', 'accept'],
    place: 'address',
    flag: {
      value: 'SOCKET',
      isOptional: true,
      environment: 'DOCKER_HOST',
      help: 'containers of Docker or Podman, by its socket or tcp://host:port',
    },
    variables: { DOCKER_HOST: 'address' },
  },
  file: { title: 'files', from: [], place: 'path', flag: null, variables: {} },
  http: { title: 'HTTP', from: [], place: 'url', flag: null, variables: {} },
  dns: {
    title: 'DNS',
    from: [],
    place: 'address',
    flag: { value: 'ADDR', environment: '', help: 'a DNS server; more are a fail-over list' },
    variables: {},
  },
  zookeeper: {
    title: 'ZooKeeper',
    from: [],
    place: 'address',
    flag: {
      value: 'HOSTS',
      environment: '',
      help: 'members of ZooKeeper, host:port with commas between them',
    },
    variables: {},
  },
};

/** Everything that `from.registry` may name. */
export const REGISTRIES: { readonly [N in RegistryName]: RegistryRow } = {
  ...FOLLOWED,
  static: { title: 'static endpoints', from: [] },
};

// Their own keys, in their order.
export const REGISTRY_NAMES = Object.keys(REGISTRIES) as [RegistryName, ...RegistryName[]];
export const FOLLOWED_NAMES = Object.keys(FOLLOWED) as FollowedRegistry[];

/** The registries that take this key of `from`. */
export function takers(key: SourceKey): RegistryName[] {
  return REGISTRY_NAMES.filter((name) => REGISTRIES[name].from.includes(key));
}
