// How the containers of an engine are followed.
import type { EngineAddress } from '../engine-address.ts';
import type { ListenAddress, ListenRule } from '../listener.ts';
import type { TlsSettings } from './tls.ts';

/** Which address of a container is connected to. */
export type ContainerPlace = 'auto' | 'published' | 'container';

export interface DockerSettings {
  /** The first whose socket is there is used. */
  readonly addresses: readonly EngineAddress[];
  readonly tls: TlsSettings;
  readonly place: ContainerPlace;
  /** Where ports are reached that are published on every address; '' for the engine's own host. */
  readonly host: string;
  /** The network whose addresses are taken; '' for each container's own choice. */
  readonly network: string;
  /** Serve containers that carry our labels, or variables of virtual hosts. */
  readonly selfDescribed: boolean;
  /** Check containers as SERVICE_CHECK_* say, where their service has no health. */
  readonly declaredChecks: boolean;
  /** Labels and tags `PREFIX.key=value`. */
  readonly labelPrefix: string;
  /** The router of containers with VIRTUAL_HOST; null for none. */
  readonly virtualHosts: ListenAddress | null;
  readonly listenAllow: readonly ListenRule[];
  readonly endpointDeny: readonly string[];
}
