// What the control plane knows that is worth keeping over a restart (state/ writes it): what registries
// said, and what the checks had come to.
import type { Kept, KeptChecks } from '../model/kept.ts';
import { sourceKey } from '../model/source.ts';
import type { EndpointChecks } from './endpoint-checks.ts';
import { predecessorsOf } from './predecessors.ts';
import type { ServiceRecord } from './service-record.ts';
import type { Sources } from './sources.ts';
import type { Table } from './table.ts';

/**
 * What is to be kept of these sources, and of what services still have of others; what is configured is
 * no registry's word.
 */
export function keptSources(
  sources: Sources,
  table: Table,
  records: Iterable<ServiceRecord>,
): Kept['sources'] {
  const left = predecessorsOf(records, {
    isAnswered: (key) => sources.admitted(key) !== null,
    servedBy: (key) => table.servedBy(key),
  });
  return [...sources.kept(), ...left]
    .filter(({ source }) => source.registry !== 'static')
    .map((kept) => {
      const order = table.orderOfSource(sourceKey(kept.source));
      return order === null ? kept : { ...kept, order };
    });
}

/** The same of checks, of services whose endpoints have any. */
export function keptChecks(records: Iterable<ServiceRecord>, checks: EndpointChecks): KeptChecks[] {
  const kept = [...records].map((record) => checksOf(record, checks));
  return kept.filter(({ up, down }) => up.length + down.length > 0);
}

function checksOf(record: ServiceRecord, checks: EndpointChecks): KeptChecks {
  const up: string[] = [];
  const down: string[] = [];
  for (const [id, { merged }] of record.endpoints) {
    const check = checks.stateOf(record, id);
    if (check?.isKnown !== true) continue;
    // After the restart it may have the id that another of its sources gives it.
    const names = new Set([id, ...merged.namings.map((naming) => naming.id)]);
    (check.isUp ? up : down).push(...names);
  }
  return { service: record.name, up, down };
}
