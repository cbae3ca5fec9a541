// How Consul is followed.
import type { ListenRule } from '../listener.ts';
import type { SelfSettings } from './consul-self.ts';
import type { TlsSettings } from './tls.ts';

export interface ConsulSettings {
  /** Agents in fail-over order: http://host:port, https://host:port or unix:///path. */
  readonly addresses: readonly string[];
  readonly token: string;
  /** Read again when it changes; wins over `token`. */
  readonly tokenFile: string;
  /** user:password for HTTP basic authentication. */
  readonly httpAuth: string;
  /** user:password of an agent, by its address; for those that are not here it is `httpAuth`. */
  readonly addressAuth?: Readonly<Record<string, string>>;
  readonly datacenter: string;
  readonly namespace: string;
  readonly partition: string;
  /** Any server may answer, leader or not. */
  readonly stale: boolean;
  /** How long a blocking query waits, ms. */
  readonly waitMs: number;
  /** Time between two executions of a prepared query, ms. */
  readonly queryIntervalMs: number;
  readonly tls: TlsSettings;
  /** Watch the catalog for services that carry our tags. */
  readonly selfDescribed: boolean;
  /** Instances may declare active checks by Registrator's metadata. */
  readonly declaredChecks: boolean;
  /** Tags `PREFIX.key=value` and Meta keys `PREFIX-key`. */
  readonly tagPrefix: string;
  /** Where services that describe themselves may listen. */
  readonly listenAllow: readonly ListenRule[];
  /** Networks (CIDR) in which no endpoint may be, whoever registers it. */
  readonly endpointDeny: readonly string[];
  /** KV key of the configuration overlay; '' turns it off. */
  readonly kvKey: string;
  /** Null where this process does not register itself. */
  readonly registerSelf?: SelfSettings | null;
}
