// How etcd is followed.
import type { ListenRule } from '../listener.ts';
import type { TlsSettings } from './tls.ts';

export interface EtcdSettings {
  /** Members in fail-over order: http://host:port, https://host:port or unix:///path. */
  readonly addresses: readonly string[];
  /** auto: each API that the members speak. */
  readonly api: 'auto' | 'v2' | 'v3';
  /** Above all keys that are followed, without a slash at its end. */
  readonly prefix: string;
  readonly layout: 'backends' | 'skydns';
  /** '' for no authentication. */
  readonly username: string;
  readonly password: string;
  /** Read again when it changes; wins over `password`. */
  readonly passwordFile: string;
  readonly tls: TlsSettings;
  /** Serve services that have a key `port`. */
  readonly selfDescribed: boolean;
  /** Keys `PREFIX.key` are settings of their service. */
  readonly tagPrefix: string;
  /** Where services that describe themselves may listen. */
  readonly listenAllow: readonly ListenRule[];
  /** Networks (CIDR) in which no endpoint may be, whoever registers it. */
  readonly endpointDeny: readonly string[];
}
