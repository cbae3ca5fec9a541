// One service as the control plane holds it: its policy, its endpoints with every fact about them
// kept apart, and what reconcile made of those. It decides nothing itself.
import type { Ejection } from '../health/ejection.ts';
import type { EffectiveEndpoint, Endpoint } from '../model/endpoint.ts';
import type { Service } from '../model/service.ts';
import type { ServiceSnapshot } from '../model/snapshot.ts';
import { type EndpointFacts, type OperatorWord, reconcile } from './reconcile.ts';

export interface EndpointRecord {
  endpoint: Endpoint;
  readonly slot: number;
  held: string;
  ejection: Ejection | null;
  ejections: number;
  effective: EffectiveEndpoint | null;
}

export class ServiceRecord {
  service: Service;
  readonly slot: number;
  readonly endpoints = new Map<string, EndpointRecord>();
  /** By endpoint id; survives the endpoint, so that one that comes back is what it was. */
  readonly operator = new Map<string, OperatorWord>();
  problems: readonly string[] = [];

  constructor(service: Service, slot: number) {
    this.service = service;
    this.slot = slot;
  }

  /** Decides anew about one endpoint; returns what was decided before, and now. */
  decide(
    record: EndpointRecord,
    facts: Pick<EndpointFacts, 'check' | 'nowMs'>,
  ): { before: EffectiveEndpoint | null; after: EffectiveEndpoint } {
    const before = record.effective;
    const after = reconcile(this.service, {
      endpoint: record.endpoint,
      slot: record.slot,
      held: record.held,
      ejection: record.ejection,
      operator: this.operator.get(record.endpoint.id) ?? null,
      before,
      ...facts,
    });
    record.effective = after;
    return { before, after };
  }

  snapshot(): ServiceSnapshot {
    const endpoints: EffectiveEndpoint[] = [];
    for (const { effective } of this.endpoints.values()) {
      if (effective !== null) endpoints.push(effective);
    }
    return { service: this.service, slot: this.slot, endpoints };
  }
}
