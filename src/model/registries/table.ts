// The registries that can be followed, and what the settings of each are. A row here asks for its
// rows in config (config/registries/table.ts and schemas.ts) and for its provider (providers.ts).
import type { ListenRule } from '../listener.ts';
import type { ConsulSettings } from './consul.ts';
import type { DnsSettings } from './dns.ts';
import type { DockerSettings } from './docker.ts';
import type { EtcdSettings } from './etcd.ts';
import type { FileSettings } from './file.ts';
import type { HttpSettings } from './http.ts';
import type { ZookeeperSettings } from './zookeeper.ts';

/** By the key in `registries`. */
export interface RegistrySettings {
  readonly consul: ConsulSettings;
  readonly etcd: EtcdSettings;
  readonly docker: DockerSettings;
  readonly file: FileSettings;
  readonly http: HttpSettings;
  readonly dns: DnsSettings;
  readonly zookeeper: ZookeeperSettings;
}

/** What is followed by a key of `registries`. */
export type FollowedRegistry = keyof RegistrySettings;

/** What `from.registry` may name: also the endpoints of the configuration itself. */
export type RegistryName = FollowedRegistry | 'static';

/** How far a registry is trusted. One whose settings have no such keys is trusted in nothing more. */
export interface RegistryTrust {
  /** Where services that describe themselves may listen; nowhere by default. */
  readonly listenAllow?: readonly ListenRule[];
  /** Networks (CIDR) in which no endpoint may be, whoever registers it; none by default. */
  readonly endpointDeny?: readonly string[];
}

/** How far a registry is trusted that is followed by these settings. */
export function trustOf(settings: Partial<RegistrySettings>, registry: string): RegistryTrust {
  return Object.entries<RegistryTrust>(settings).find(([name]) => name === registry)?.[1] ?? {};
}
