// How much of each foreign input is taken, in one table: bytes before anything is parsed, items
// before anything is made of them, time where neither tells. What a client or an endpoint of the
// data plane may stretch is a setting of its service (docs/limits.md). Beyond a bound the input is
// refused as a whole with an error that says the bound, and what was there before stays.
// docs/limits.md lists every row: `npm run docs` writes them there.
import { formatBytes } from '../base/bytes.ts';
import { formatDuration } from '../base/duration.ts';

export interface Bound {
  /** Whose input, for people. */
  readonly input: string;
  /** What is counted. */
  readonly what: string;
  readonly max: number;
  readonly unit: 'bytes' | 'items' | 'ms';
  /** What happens beyond it. */
  readonly beyond: string;
}

const STAYS = 'refused; the last known table stays';
const KEEPS = 'refused; the running configuration stays';

export const BOUNDS = {
  http2Streams: {
    input: 'HTTP/2 connection of a client',
    what: 'requests at the same time',
    max: 100,
    unit: 'items',
    beyond: 'further ones are refused with REFUSED_STREAM, and may be sent again',
  },
  http2Window: {
    input: 'HTTP/2 request',
    what: 'content that is taken before an endpoint takes it',
    max: 64 * 1024 - 1,
    unit: 'bytes',
    beyond: 'the connection is closed with FLOW_CONTROL_ERROR',
  },
  http2EndpointStreams: {
    input: 'HTTP/2 connection to an endpoint',
    what: 'requests at the same time, or fewer where the endpoint says so',
    max: 100,
    unit: 'items',
    beyond: 'another connection is opened',
  },
  http2ResponseWindow: {
    input: 'HTTP/2 response',
    what: 'content that is taken before the client takes it',
    max: 256 * 1024,
    unit: 'bytes',
    beyond: 'the connection is closed with FLOW_CONTROL_ERROR',
  },
  introducedConnections: {
    input: 'client connection whose endpoints get PROXY headers (upstream.send_proxy, HTTP)',
    what: 'idle connections to one endpoint that are kept for it',
    max: 4,
    unit: 'items',
    beyond: 'further ones close after their response',
  },
  introducedEndpoints: {
    input: 'the same',
    what: 'endpoints to which connections are kept for it',
    max: 16,
    unit: 'items',
    beyond: 'those to the endpoint that it met first close',
  },
  http2Frames: {
    input: 'HTTP/2 connection of a client',
    what: 'frames in one read of 64 KiB',
    max: 4096,
    unit: 'items',
    beyond: 'the connection is not read for 25 ms',
  },
  configFile: {
    input: 'configuration file',
    what: 'size',
    max: 4 * 1024 ** 2,
    unit: 'bytes',
    beyond: KEEPS,
  },
  overlay: { input: 'KV overlay', what: 'size', max: 512 * 1024, unit: 'bytes', beyond: KEEPS },
  configDepth: {
    input: 'configuration file, KV overlay',
    what: 'depth of nesting',
    max: 32,
    unit: 'items',
    beyond: KEEPS,
  },
  configItems: {
    input: 'configuration file, KV overlay',
    what: 'keys and values, with aliases written out',
    max: 250_000,
    unit: 'items',
    beyond: KEEPS,
  },
  configAliases: {
    input: 'configuration file, KV overlay',
    what: 'aliases',
    max: 1000,
    unit: 'items',
    beyond: KEEPS,
  },
  configVariables: {
    input: 'configuration file',
    what: 'values of variables put in, in all',
    max: 1024 ** 2,
    unit: 'bytes',
    beyond: KEEPS,
  },
  configServices: {
    input: 'configuration, all layers',
    what: 'services',
    max: 4096,
    unit: 'items',
    beyond: KEEPS,
  },
  configRoutes: {
    input: 'configuration, all layers',
    what: 'routes',
    max: 10_000,
    unit: 'items',
    beyond: KEEPS,
  },
  configProblems: {
    input: 'configuration, all layers',
    what: 'problems that are reported',
    max: 100,
    unit: 'items',
    beyond: 'the others are counted',
  },
  configProblem: {
    input: 'configuration, tags of a service',
    what: 'length of a problem',
    max: 1000,
    unit: 'items',
    beyond: 'it is cut',
  },
  configTime: {
    input: 'configuration, all layers',
    what: 'time to read a changed one',
    max: 30_000,
    unit: 'ms',
    beyond: KEEPS,
  },
  configMemory: {
    input: 'configuration, all layers',
    what: 'memory to read a changed one',
    max: 512 * 1024 ** 2,
    unit: 'bytes',
    beyond: KEEPS,
  },
  consulAnswer: {
    input: 'answer of Consul',
    what: 'size',
    max: 64 * 1024 ** 2,
    unit: 'bytes',
    beyond: STAYS,
  },
  consulQuery: {
    input: 'answer of Consul to a prepared query',
    what: 'size',
    max: 8 * 1024 ** 2,
    unit: 'bytes',
    beyond: STAYS,
  },
  consulItems: {
    input: 'answer of Consul',
    what: 'services, nodes or checks',
    max: 50_000,
    unit: 'items',
    beyond: STAYS,
  },
  consulItem: {
    input: 'answer of Consul',
    what: 'size of one instance, check, or list of a node',
    max: 8 * 1024 ** 2,
    unit: 'bytes',
    beyond: STAYS,
  },
  consulInstances: {
    input: 'answer of Consul about a service',
    what: 'instances',
    max: 10_000,
    unit: 'items',
    beyond: STAYS,
  },
  consulKey: {
    input: 'answer of Consul about the KV overlay',
    what: 'size, in base64',
    max: 1024 ** 2,
    unit: 'bytes',
    beyond: KEEPS,
  },
  consulError: {
    input: 'answer of Consul other than 200',
    what: 'size that is read',
    max: 4096,
    unit: 'bytes',
    beyond: 'the rest is not read',
  },
  consulName: {
    input: 'instance in Consul',
    what: 'length of its id, node and address',
    max: 512,
    unit: 'bytes',
    beyond: 'the instance is left out',
  },
  consulTags: {
    input: 'instance in Consul',
    what: 'tags, and keys of Meta',
    max: 256,
    unit: 'items',
    beyond: 'the others are not read',
  },
  consulTag: {
    input: 'instance in Consul',
    what: 'length of a tag, or of a key or value of Meta',
    max: 4096,
    unit: 'bytes',
    beyond: 'it is not read',
  },
  consulChecks: {
    input: 'instance in Consul',
    what: 'checks',
    max: 256,
    unit: 'items',
    beyond: 'the instance is left out',
  },
  consulOutput: {
    input: 'check in Consul',
    what: 'length of its output and notes that is read',
    max: 1024,
    unit: 'bytes',
    beyond: 'the rest is not read',
  },
  etcdAnswer: {
    input: 'answer of etcd',
    what: 'size: of all keys by v2, of a page of 1,000 by v3',
    max: 16 * 1024 ** 2,
    unit: 'bytes',
    beyond: STAYS,
  },
  etcdEvents: {
    input: 'watch of etcd v3',
    what: 'size of the events of one message',
    max: 16 * 1024 ** 2,
    unit: 'bytes',
    beyond: 'the keys are listed again',
  },
  etcdError: {
    input: 'answer of etcd other than 200',
    what: 'size that is read',
    max: 4096,
    unit: 'bytes',
    beyond: 'the rest is not read',
  },
  etcdKeys: {
    input: 'keys below the prefix in etcd',
    what: 'keys and directories',
    max: 50_000,
    unit: 'items',
    beyond: STAYS,
  },
  etcdKey: {
    input: 'key in etcd',
    what: 'length behind the prefix',
    max: 1024,
    unit: 'items',
    beyond: 'the key is left out',
  },
  etcdDepth: {
    input: 'key in etcd',
    what: 'parts between slashes, behind the prefix',
    max: 16,
    unit: 'items',
    beyond: 'the key is left out',
  },
  etcdValue: {
    input: 'key of a service in etcd, or by from.kv in Consul',
    what: 'length of its value',
    max: 4096,
    unit: 'items',
    beyond: 'the key is left out, and that is a problem of its service',
  },
  listedInstances: {
    input: 'service in a registry other than Consul, or by from.kv',
    what: 'instances',
    max: 10_000,
    unit: 'items',
    beyond: 'the others are left out, and that is a problem of the service',
  },
  containerList: {
    input: 'list of a container engine',
    what: 'size',
    max: 32 * 1024 ** 2,
    unit: 'bytes',
    beyond: STAYS,
  },
  containers: {
    input: 'list of a container engine',
    what: 'containers',
    max: 10_000,
    unit: 'items',
    beyond: STAYS,
  },
  containerInspection: {
    input: 'answer of a container engine about a container or a network',
    what: 'size',
    max: 4 * 1024 ** 2,
    unit: 'bytes',
    beyond: 'the container is left out',
  },
  containerEvent: {
    input: 'events of a container engine',
    what: 'size of one',
    max: 256 * 1024,
    unit: 'bytes',
    beyond: 'the stream is opened again, and everything listed',
  },
  containerLabels: {
    input: 'container',
    what: 'labels, and variables of its environment, each',
    max: 1024,
    unit: 'items',
    beyond: 'the others are not read',
  },
  containerText: {
    input: 'container',
    what: 'length of a label or variable',
    max: 16 * 1024,
    unit: 'bytes',
    beyond: 'it is not read',
  },
  containerServices: {
    input: 'container',
    what: 'ports that become services',
    max: 256,
    unit: 'items',
    beyond: 'the others are left out',
  },
  registryAnswer: {
    input: 'answer of a registry that is registered in',
    what: 'size',
    max: 16 * 1024 ** 2,
    unit: 'bytes',
    beyond: 'refused; the call is tried again',
  },
  listedServices: {
    input: 'target groups of a file or URL',
    what: 'services',
    max: 10_000,
    unit: 'items',
    beyond: 'the others are left out, and that is logged',
  },
  listedName: {
    input: 'target groups of a file or URL',
    what: 'length of the name of a service',
    max: 512,
    unit: 'items',
    beyond: 'the group is left out, and that is logged',
  },
  targetFile: {
    input: 'file with target groups',
    what: 'size',
    max: 8 * 1024 ** 2,
    unit: 'bytes',
    beyond: STAYS,
  },
  targetYaml: {
    input: 'file with target groups in YAML',
    what: 'size',
    max: 256 * 1024,
    unit: 'bytes',
    beyond: 'refused, for reading it takes long: JSON may be larger',
  },
  targetAnswer: {
    input: 'target groups of a URL',
    what: 'size',
    max: 8 * 1024 ** 2,
    unit: 'bytes',
    beyond: STAYS,
  },
  targetError: {
    input: 'answer of a URL for target groups other than 200',
    what: 'size that is read',
    max: 4096,
    unit: 'bytes',
    beyond: 'the rest is not read',
  },
  dnsName: {
    input: 'name in an answer of a DNS server',
    what: 'size, with what its pointers lead to',
    max: 255,
    unit: 'bytes',
    beyond: STAYS,
  },
  dnsAliases: {
    input: 'answer of a DNS server',
    what: 'aliases (CNAME) from the name that was asked for to its records',
    max: 16,
    unit: 'items',
    beyond: 'the name counts as one without records',
  },
  selfTags: {
    input: 'registration of this process in Consul',
    what: 'tags',
    max: 1000,
    unit: 'items',
    beyond: 'the others are left out, and that is logged',
  },
  zookeeperAnswer: {
    input: 'answer of ZooKeeper',
    what: 'size (as of jute.maxbuffer)',
    max: 4 * 1024 ** 2,
    unit: 'bytes',
    beyond: STAYS,
  },
  zookeeperNodes: {
    input: 'znodes below the path in ZooKeeper',
    what: 'znodes',
    max: 50_000,
    unit: 'items',
    beyond: STAYS,
  },
  zookeeperDepth: {
    input: 'znodes below the path in ZooKeeper',
    what: 'levels that are read',
    max: 8,
    unit: 'items',
    beyond: 'what is deeper is not read',
  },
  zookeeperValue: {
    input: 'znode of an instance in ZooKeeper',
    what: 'size of its data',
    max: 64 * 1024,
    unit: 'bytes',
    beyond: 'it is left out, and that is a problem of its service',
  },
  problems: {
    input: 'table',
    what: 'problems of one kind that are shown',
    max: 10,
    unit: 'items',
    beyond: 'the others are counted',
  },
  tokenFile: {
    input: 'files of tokens',
    what: 'size',
    max: 16 * 1024,
    unit: 'bytes',
    beyond: 'refused; a token that was read before stays',
  },
  tlsFile: {
    input: 'certificates, keys and CA files',
    what: 'size',
    max: 4 * 1024 ** 2,
    unit: 'bytes',
    beyond: 'refused; the connection fails with that error',
  },
  certificateFile: {
    input: 'certificates and keys of listeners, CA files',
    what: 'size',
    max: 1024 ** 2,
    unit: 'bytes',
    beyond: 'refused; the certificate in use stays',
  },
  certificates: {
    input: 'folder of certificates',
    what: 'certificates',
    max: 1000,
    unit: 'items',
    beyond: 'refused; the certificates in use stay',
  },
  stateFile: {
    input: 'state file',
    what: 'size',
    max: 128 * 1024 ** 2,
    unit: 'bytes',
    beyond: 'the file is ignored, and that is logged',
  },
  stateLines: {
    input: 'state file',
    what: 'sources and checks',
    max: 100_000,
    unit: 'items',
    beyond: 'the file is ignored, and that is logged',
  },
  checkAnswer: {
    input: 'answer to a health check other than HTTP',
    what: 'size',
    max: 16 * 1024,
    unit: 'bytes',
    beyond: 'the check fails',
  },
  checkExpect: {
    input: 'health.send, health.expect',
    what: 'length',
    max: 1024,
    unit: 'bytes',
    beyond: KEEPS,
  },
  adminBody: {
    input: 'request to the stats port',
    what: 'size of its body that is kept',
    max: 1024,
    unit: 'bytes',
    beyond: '413',
  },
} as const satisfies Readonly<Record<string, Bound>>;

/** The bound as people write it: `4MiB`, `4,096`, `30s`. */
export function formatBound({ max, unit }: Bound): string {
  if (unit === 'bytes') return formatBytes(max);
  return unit === 'ms' ? formatDuration(max) : max.toLocaleString('en-US');
}

/** What is said of an answer beyond the bound. */
export function excessOf(bound: Bound): string {
  return `answered more than is taken: ${bound.what} is at most ${formatBound(bound)}`;
}
