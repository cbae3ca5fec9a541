// One service as the control plane holds it: its policy, its endpoints with every fact about them
// kept apart, and what reconcile made of those. It decides nothing itself.
// What concerns the service as a whole and not one endpoint is counted here as decisions change, so
// that one of them costs nothing for the others.
import type { Timer } from '../base/clock.ts';
import type { Ejection } from '../health/ejection.ts';
import { type EffectiveEndpoint, takesWork } from '../model/endpoint.ts';
import type { Service } from '../model/service.ts';
import type { ServiceSnapshot } from '../model/snapshot.ts';
import { PRIORITY_DEFAULT, sourceKey } from '../model/source.ts';
import type { EjectionKind } from '../model/streak.ts';
import { Failover, type Strength } from './failover.ts';
import type { Merged } from './merge.ts';
import type { PrimaryChoice } from './primary.ts';
import type { EndpointView } from './view.ts';

/** Passive health wanted an endpoint out, and policy let it stay. */
export interface Stay {
  /** What speaks against the endpoint, and why it stays. Human-readable. */
  readonly text: string;
  readonly why: string;
  /** When that was last, ms since the epoch. */
  readonly atMs: number;
  /** Until when it counts if it does not come again. */
  readonly untilMs: number;
}

export interface EndpointRecord {
  /** What its sources say of it, brought together. */
  merged: Merged;
  readonly slot: number;
  /** Why nothing may be sent to it; '' where it may. */
  refused: string;
  /** Null while it is not ejected. */
  ejection: Ejection | null;
  /** The last refusal to eject it; null when there was none in this state. */
  stay: Stay | null;
  /** The last one, over or not: it says how long the next will be. */
  lastEjection: Ejection | null;
  ejections: number;
  /** It has taken work at some time. */
  hasWorked: boolean;
  /** Null before it was decided about. */
  effective: EffectiveEndpoint | null;
  /** What others were shown of it last, and of which decision. */
  view?: EndpointView;
  viewed?: EffectiveEndpoint;
  /** Runs when a decision ends by time alone: an ejection, slow start. */
  timer: Timer | null;
}

/** An endpoint, and whose it is. */
export interface Place {
  readonly service: ServiceRecord;
  readonly record: EndpointRecord;
}

/** The id of the endpoint, by which a service has it once whatever its sources call it. */
export function idOf({ merged }: EndpointRecord): string {
  return merged.endpoint.id;
}

export class ServiceRecord {
  service: Service;
  /** Its row in the ledger. */
  readonly slot: number;
  /** By id. */
  readonly endpoints = new Map<string, EndpointRecord>();
  /** Ejections of its endpoints so far, by why. */
  readonly ejections = new Map<EjectionKind, number>();
  /** Ids of endpoints for which there was no row in the ledger. */
  readonly leftOut = new Set<string>();
  /** Why endpoints may not be used, by id. */
  readonly refusals = new Map<string, string>();

  /** By priority: endpoints that take work, and those that a panic would use besides. */
  readonly strengths = new Map<number, { working: number; spare: number }>();
  isPanicking = false;
  /** The primary, where the service follows it. */
  primary: PrimaryChoice = { id: '', why: 'is not known yet', contested: [] };
  /** Which priority gets the traffic. */
  readonly failover = new Failover();
  /** That priority; null before it was looked for. */
  priority: number | null = null;
  /** Runs when the traffic may go to another priority by time alone. */
  failoverTimer: Timer | null = null;

  constructor(service: Service, slot: number) {
    this.service = service;
    this.slot = slot;
  }

  get name(): string {
    return this.service.name;
  }

  /** What the priority that gets the traffic comes to. */
  get strength(): Strength {
    return this.strengths.get(this.priority ?? PRIORITY_DEFAULT) ?? { working: 0, spare: 0 };
  }

  /** Priorities of all its sources, whether they have endpoints or not. */
  tiers(): Map<number, Strength> {
    const none = { working: 0, spare: 0 };
    const listed = this.service.from.map(({ priority }) => [priority, none] as const);
    return new Map<number, Strength>([...listed, ...this.strengths]);
  }

  /** The id of the endpoint that has this id in the source of this key; undefined where there is none. */
  idOf(key: string, id: string): string | undefined {
    const isIt = ({ merged }: EndpointRecord): boolean =>
      merged.namings.some((naming) => naming.id === id && sourceKey(naming.source) === key);
    const plain = this.endpoints.get(id);
    const record = plain !== undefined && isIt(plain) ? plain : this.endpoints.values().find(isIt);
    return record?.merged.endpoint.id;
  }

  /** Another decision about one endpoint; null for one that is new or gone. */
  recount(before: EffectiveEndpoint | null, after: EffectiveEndpoint | null): void {
    if (before !== null) this.count(before, -1);
    if (after !== null) this.count(after, 1);
  }

  private count(endpoint: EffectiveEndpoint, by: number): void {
    const { priority } = endpoint;
    const strength = this.strengths.get(priority) ?? { working: 0, spare: 0 };
    this.strengths.set(priority, strength);
    if (takesWork(endpoint)) strength.working += by;
    else if (endpoint.isSpare) strength.spare += by;
  }

  /** As workers get it: with the endpoints that `reconcile` has decided about. */
  snapshot(): ServiceSnapshot {
    const endpoints: EffectiveEndpoint[] = [];
    for (const { effective } of this.endpoints.values()) {
      if (effective !== null) endpoints.push(effective);
    }
    const { service, slot, isPanicking } = this;
    const priority = this.priority ?? PRIORITY_DEFAULT;
    return { service, slot, isPanicking, priority, endpoints };
  }
}
