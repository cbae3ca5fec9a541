// Everything by which the control plane reaches the outside: the program's own, which a simulator
// replaces. What is not among them (stats port, secrets in files) is off in a simulation.
import { hostname, networkInterfaces } from 'node:os';
import { type Clock, systemClock } from './base/clock.ts';
import type { Random } from './base/prng.ts';
import type { HasSocket, OpenEngine } from './containers/transport.ts';
import type { Probe as ProbePort } from './control/port-claims.ts';
import type { KvWatch } from './discovery/consul/kv-watch.ts';
import type { LockWatch } from './discovery/consul/lock-watch.ts';
import type { ConsulProvider } from './discovery/consul/provider.ts';
import type { OpenConsul } from './discovery/consul/transport.ts';
import type { DnsProvider } from './discovery/dns/provider.ts';
import type { Wire } from './discovery/dns/wire.ts';
import type { DockerProvider } from './discovery/docker/provider.ts';
import type { EtcdProvider } from './discovery/etcd/provider.ts';
import type { OpenEtcd } from './discovery/etcd/transport.ts';
import type { Files } from './discovery/file/door.ts';
import type { FileProvider } from './discovery/file/provider.ts';
import { type Resolve, resolveName } from './discovery/host-names.ts';
import type { HttpProvider, OpenHttp } from './discovery/http/provider.ts';
import { addressesOfNames } from './discovery/listen-names.ts';
import type { ZookeeperProvider } from './discovery/zookeeper/provider.ts';
import type { OpenZookeeper } from './discovery/zookeeper/wire.ts';
import type { Probe } from './health/checker.ts';
import { probe } from './health/probe.ts';
import { type Disk, nodeDisk } from './state/disk.ts';
import { nodeThreads } from './supervisor/node-thread.ts';
import { ownerOfPeer, type PeerAddress, type PeerOwner } from './supervisor/peer-process.ts';
import { probeAddress } from './supervisor/port-probe.ts';
import { linuxTables, type SystemTables } from './supervisor/shared-ports.ts';
import type { StartThread } from './supervisor/thread-door.ts';

/** What speaks with Consul, and the way to it. */
export interface ConsulParts {
  readonly ConsulProvider: typeof ConsulProvider;
  readonly KvWatch: typeof KvWatch;
  readonly LockWatch: typeof LockWatch;
  readonly open: OpenConsul;
}

/** The same of etcd. */
export interface EtcdParts {
  readonly EtcdProvider: typeof EtcdProvider;
  readonly open: OpenEtcd;
}

/** What follows the containers of an engine, and the way to it. */
export interface DockerParts {
  readonly DockerProvider: typeof DockerProvider;
  readonly open: OpenEngine;
  readonly hasSocket: HasSocket;
  readonly hostname: string;
}

/** What follows files, and the way to them. */
export interface FileParts {
  readonly FileProvider: typeof FileProvider;
  readonly files: Files;
}

/** What follows URLs, and the way to their servers. */
export interface HttpParts {
  readonly HttpProvider: typeof HttpProvider;
  readonly open: OpenHttp;
}

/** What follows DNS, and the way to its servers. */
export interface DnsParts {
  readonly DnsProvider: typeof DnsProvider;
  readonly openDns: () => Wire;
}

/** What follows ZooKeeper, and the way to its members. */
export interface ZookeeperParts {
  readonly ZookeeperProvider: typeof ZookeeperProvider;
  readonly openZookeeper: OpenZookeeper;
}

export interface Doors {
  readonly clock: Clock;
  readonly random: Random;
  /** Called where Consul is followed, as often as it is. */
  readonly loadConsul: () => Promise<ConsulParts>;
  readonly loadEtcd: () => Promise<EtcdParts>;
  readonly loadDocker: () => Promise<DockerParts>;
  readonly loadFile: () => Promise<FileParts>;
  readonly loadHttp: () => Promise<HttpParts>;
  readonly loadDns: () => Promise<DnsParts>;
  readonly loadZookeeper: () => Promise<ZookeeperParts>;
  /** Host names in the place of addresses. */
  readonly resolve: Resolve;
  /** The addresses of the host names that are listened on, by name. Never rejects. */
  readonly resolveListens: (hosts: readonly string[]) => Promise<Map<string, string[]>>;
  /** One active check of one endpoint. */
  readonly probe: Probe;
  /** Who has an address that is to be listened on. */
  readonly probePort: ProbePort;
  /** Whose the other end of a connection of this machine is. */
  readonly ownerOfPeer: (peer: PeerAddress) => Promise<PeerOwner>;
  /** Every address of this machine. */
  readonly localAddresses: () => readonly string[];
  /** The system's tables of sockets. */
  readonly sockets: SystemTables;
  readonly disk: Disk;
  readonly startThread: StartThread;
  /** Bytes that the process has taken. */
  readonly residentBytes: () => number;
}

export const nodeDoors: Doors = {
  clock: systemClock,
  random: Math.random,
  loadConsul,
  loadEtcd,
  loadDocker,
  loadFile,
  loadHttp,
  loadDns,
  loadZookeeper,
  resolve: resolveName,
  resolveListens: addressesOfNames,
  probe,
  probePort: probeAddress,
  ownerOfPeer,
  localAddresses: () =>
    Object.values(networkInterfaces()).flatMap((list = []) => list.map(({ address }) => address)),
  sockets: linuxTables,
  disk: nodeDisk,
  startThread: nodeThreads(),
  residentBytes: () => process.memoryUsage.rss(),
};

// What speaks with Consul (and its HTTP client) is loaded where Consul is followed: 4 MiB.
async function loadConsul(): Promise<ConsulParts> {
  const [{ ConsulProvider }, { KvWatch }, { LockWatch }, { HttpPools }] = await Promise.all([
    import('./discovery/consul/provider.ts'),
    import('./discovery/consul/kv-watch.ts'),
    import('./discovery/consul/lock-watch.ts'),
    import('./reach/http-pools.ts'),
  ]);
  return {
    ConsulProvider,
    KvWatch,
    LockWatch,
    open: (tls, onProtocol) => new HttpPools(tls, onProtocol),
  };
}

async function loadEtcd(): Promise<EtcdParts> {
  const [{ EtcdProvider }, { HttpPools }] = await Promise.all([
    import('./discovery/etcd/provider.ts'),
    import('./reach/http-pools.ts'),
  ]);
  return { EtcdProvider, open: (tls) => new HttpPools(tls) };
}

async function loadDocker(): Promise<DockerParts> {
  const [{ DockerProvider }, { openEngine, hasSocket }] = await Promise.all([
    import('./discovery/docker/provider.ts'),
    import('./containers/door.ts'),
  ]);
  return { DockerProvider, open: openEngine, hasSocket, hostname: hostname() };
}

async function loadFile(): Promise<FileParts> {
  const [{ FileProvider }, { nodeFiles }] = await Promise.all([
    import('./discovery/file/provider.ts'),
    import('./discovery/file/door.ts'),
  ]);
  return { FileProvider, files: nodeFiles };
}

async function loadHttp(): Promise<HttpParts> {
  const [{ HttpProvider }, { HttpPools }] = await Promise.all([
    import('./discovery/http/provider.ts'),
    import('./reach/http-pools.ts'),
  ]);
  return { HttpProvider, open: (tls) => new HttpPools(tls) };
}

async function loadDns(): Promise<DnsParts> {
  const [{ DnsProvider }, { NodeWire }] = await Promise.all([
    import('./discovery/dns/provider.ts'),
    import('./discovery/dns/door.ts'),
  ]);
  return { DnsProvider, openDns: () => new NodeWire() };
}

async function loadZookeeper(): Promise<ZookeeperParts> {
  const [{ ZookeeperProvider }, { openZookeeper }] = await Promise.all([
    import('./discovery/zookeeper/provider.ts'),
    import('./discovery/zookeeper/door.ts'),
  ]);
  return { ZookeeperProvider, openZookeeper };
}
