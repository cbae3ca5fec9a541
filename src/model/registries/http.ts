// How URLs with target groups are followed.
import type { ListenRule } from '../listener.ts';
import type { TlsSettings } from './tls.ts';

export interface HttpSettings {
  /** Each has a list of its own; together they are what is there. */
  readonly urls: readonly string[];
  readonly intervalMs: number;
  /** The service of groups without a label that names one; '' for none. */
  readonly service: string;
  /** Sent as a bearer token; '' for none. */
  readonly token: string;
  /** Read again when it changes; wins over `token`. */
  readonly tokenFile: string;
  readonly tls: TlsSettings;
  /** Labels `PREFIX.key` and `PREFIX_key` are settings of their service. */
  readonly tagPrefix: string;
  /** Where services that describe themselves may listen. */
  readonly listenAllow: readonly ListenRule[];
  /** Networks (CIDR) in which no endpoint may be, whoever names it. */
  readonly endpointDeny: readonly string[];
}
