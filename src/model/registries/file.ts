// How files with target groups are followed.
import type { ListenRule } from '../listener.ts';

export interface FileSettings {
  /** Files; the last part of a path may have `*` for any text. */
  readonly paths: readonly string[];
  /** Labels `PREFIX.key` and `PREFIX_key` are settings of their service. */
  readonly tagPrefix: string;
  /** Where services that describe themselves may listen. */
  readonly listenAllow: readonly ListenRule[];
  /** Networks (CIDR) in which no endpoint may be. */
  readonly endpointDeny: readonly string[];
}
