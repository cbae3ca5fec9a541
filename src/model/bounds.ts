// How much of each foreign input is taken, in one table: bytes before anything is parsed, items
// before anything is made of them, time where neither tells. What a client or an endpoint of the
// data plane may stretch is a setting of its service (docs/limits.md). Beyond a bound the input is
// refused as a whole with an error that says the bound, and what was there before stays.
// The rows are in bounds/, by area. docs/limits.md lists every row: `npm run docs` writes them there.
import { formatBytes } from '../base/bytes.ts';
import { formatDuration } from '../base/duration.ts';
import type { Bound } from './bounds/bound.ts';
import { CERTIFICATES } from './bounds/certificates.ts';
import { CHECKS } from './bounds/checks.ts';
import { CONFIGURATION } from './bounds/configuration.ts';
import { CONSUL } from './bounds/consul.ts';
import { CONTAINERS } from './bounds/containers.ts';
import { DATA_PLANE } from './bounds/data-plane.ts';
import { DNS } from './bounds/dns.ts';
import { ETCD } from './bounds/etcd.ts';
import { FILES } from './bounds/files.ts';
import { SERVICES } from './bounds/services.ts';
import { TARGET_GROUPS } from './bounds/target-groups.ts';
import { ZOOKEEPER } from './bounds/zookeeper.ts';

export type { Bound } from './bounds/bound.ts';

export const BOUNDS = {
  ...DATA_PLANE,
  ...CONFIGURATION,
  ...CONSUL,
  ...ETCD,
  ...ZOOKEEPER,
  ...DNS,
  ...CONTAINERS,
  ...TARGET_GROUPS,
  ...SERVICES,
  ...FILES,
  ...CERTIFICATES,
  ...CHECKS,
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
