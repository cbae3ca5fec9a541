// Services and their endpoints as others are shown them (view.ts). It reads what the control plane
// knows, and decides nothing.
import { PRIORITY_DEFAULT } from '../model/source.ts';
import type { Comparisons } from './comparisons.ts';
import type { EndpointChecks } from './endpoint-checks.ts';
import { firstProblems } from './problems.ts';
import type { ServiceProblems } from './service-problems.ts';
import { fallbackProblem } from './service-problems.ts';
import type { EndpointRecord, ServiceRecord } from './service-record.ts';
import type { EndpointView, ServiceView } from './view.ts';

export interface ServiceViewsOptions {
  readonly checks: EndpointChecks;
  readonly comparisons: Comparisons;
  readonly problems: ServiceProblems;
  /** What is wrong with the listeners that this service wants. */
  readonly listenProblems: (service: string) => readonly string[];
}

export class ServiceViews {
  private readonly options: ServiceViewsOptions;

  constructor(options: ServiceViewsOptions) {
    this.options = options;
  }

  /** The service as it is shown now, with everything that is wrong with it. */
  of(record: ServiceRecord): ServiceView {
    const { problems: known, listenProblems } = this.options;
    const { name, service, slot, leftOut } = record;
    const endpoints: EndpointView[] = [];
    for (const one of record.endpoints.values()) {
      const view = this.ofEndpoint(record, one);
      if (view !== null) endpoints.push(view);
    }
    const problems = [
      ...known.of(record),
      ...fallbackProblem(record),
      ...listenProblems(name),
      ...firstProblems(leftOut, (id) => `endpoint ${id}: too many endpoints`),
    ];
    const { isPanicking, ejections, priority } = record;
    const shown = { service, slot, endpoints, isPanicking, ejections, problems };
    return { ...shown, priority: priority ?? PRIORITY_DEFAULT };
  }

  /** The same object while nothing has changed: all of them are looked at every second. */
  private ofEndpoint(service: ServiceRecord, record: EndpointRecord): EndpointView | null {
    const { checks, comparisons } = this.options;
    const { effective, ejections, stay, view = null } = record;
    if (effective === null) return null;
    const check = checks.stateOf(service, effective.id)?.last ?? null;
    const { namings } = record.merged;
    const isSame = view?.check === check && view.ejections === ejections && view.stay === stay;
    if (isSame && view.namings === namings && record.viewed === effective) return view;
    record.viewed = effective;
    const compared = () => comparisons.compared(service, effective.slot);
    record.view = { ...effective, namings, check, ejections, stay, compared };
    return record.view;
  }
}
