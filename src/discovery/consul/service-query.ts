// The questions about services: one path, the parameters of a source, and what scope they are in.
import { encodeSegment } from '../../base/path-text.ts';
import type { ServiceSource } from '../../model/source.ts';

/** The endpoint "List Service Instances for Service" of the Consul API. */
export function healthPath(source: ServiceSource): string {
  return `/v1/health/service/${encodeSegment(source.service)}`;
}

/**
 * Whether a name can stand in the path of a question. Consul undoes escapes before it looks at the
 * path, and then folds segments that are empty, `.` or `..`: another question would be answered. Half
 * of a surrogate pair has no bytes that could be asked for.
 */
export function isAskable(name: string): boolean {
  if (!name.isWellFormed()) return false;
  return name.split('/').every((segment) => segment !== '' && segment !== '.' && segment !== '..');
}

/**
 * Parameters of the health query; without `passing`, so that what gets no traffic is known and
 * shown. `tag` is old but understood by every Consul.
 */
export function healthQuery(source: ServiceSource): Record<string, string> {
  return withoutEmpty({
    tag: source.tag,
    dc: source.datacenter,
    filter: source.filter,
    ns: source.namespace,
    partition: source.partition,
    peer: source.peer,
  });
}

/** The same, asked of the leader, who makes sure with the other servers that it is still that. */
export function consistentQuery(source: ServiceSource): Record<string, string> {
  return { ...healthQuery(source), consistent: '' };
}

/** Parameters that choose a catalog: what is the same for sources that one wide watch can serve. */
export function scopeOf(source: ServiceSource): Record<string, string> {
  return withoutEmpty({
    dc: source.datacenter,
    ns: source.namespace,
    partition: source.partition,
  });
}

function withoutEmpty(values: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== ''));
}
