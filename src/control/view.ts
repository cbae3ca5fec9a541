// What others may read of the control plane, and the one door by which they may change something.
import type { Compared } from '../health/fault-history.ts';
import type { CheckResult } from '../health/rise-fall.ts';
import type { EffectiveEndpoint } from '../model/endpoint.ts';
import type { Service } from '../model/service.ts';
import type { EjectionKind } from '../model/streak.ts';
import type { EventLog } from './events.ts';
import type { Naming } from './merge.ts';
import type { Stay } from './service-record.ts';

export type { Compared } from '../health/fault-history.ts';
export type { CheckResult } from '../health/rise-fall.ts';
export type { EventLog, TableEvent } from './events.ts';
export type { Naming } from './merge.ts';
export type { OperatorCommand } from './operator.ts';

export interface EndpointView extends EffectiveEndpoint {
  /** The sources that name it, the one that is believed first. */
  readonly namings: readonly Naming[];
  /** The last active check; null where there is none. */
  readonly check: CheckResult | null;
  readonly ejections: number;
  /** Why it was not ejected though it failed; null where that did not happen. */
  readonly stay: Stay | null;
  /** Its failures beside those of its peers; null where none of them failed of late. */
  readonly compared: () => Compared | null;
}

export interface ServiceView {
  readonly service: Service;
  readonly slot: number;
  readonly endpoints: readonly EndpointView[];
  /** Panic mode: unhealthy endpoints get traffic too. */
  readonly isPanicking: boolean;
  /** Endpoints of this priority get the traffic. */
  readonly priority: number;
  /** Ejections so far by kind, those of endpoints that left included. */
  readonly ejections: ReadonlyMap<EjectionKind, number>;
  /** What is wrong with the service itself: a listener that can't be opened, settings. */
  readonly problems: readonly string[];
}

export interface TableView {
  /** In order of their names. */
  services(): readonly ServiceView[];
  service(name: string): ServiceView | null;
  readonly version: number;
  readonly events: EventLog;
  /** What is wrong with services that are not served, by name. */
  unserved(): ReadonlyMap<string, readonly string[]>;
  /** Problems of no one service that is served. */
  problems(): readonly string[];
  /** Seconds from a registry's answer to live in all workers, one bucket bound each, and counts. */
  readonly convergence: Convergence;
}

export interface Convergence {
  /** Upper bounds in seconds; the last bucket has none. */
  readonly bounds: readonly number[];
  /** One count per bound, and one for everything above. */
  readonly counts: readonly number[];
  readonly sumSeconds: number;
}
