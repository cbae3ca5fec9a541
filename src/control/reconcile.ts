// What becomes of an endpoint: the one place where the registry's word, our checks, ejection, the
// operator and slow start are put together. Pure: same facts, same answer, the same object even.
import type { Ejection } from '../health/ejection.ts';
import type { CheckState } from '../health/rise-fall.ts';
import type { EffectiveEndpoint, EndpointState } from '../model/endpoint.ts';
import type { Service } from '../model/service.ts';
import type { Merged } from './merge.ts';
import type { OperatorWord } from './operator.ts';

/** Why an endpoint is down of which nothing is known yet. */
const AWAITS_CHECK = 'waits for its first check';

/** Whether the endpoint is down for want of its first check; null: it has no state yet. */
export function awaitsCheck(effective: EffectiveEndpoint | null): boolean {
  return effective?.reason === AWAITS_CHECK;
}

export interface EndpointFacts {
  /** What its sources say of it. */
  readonly merged: Pick<Merged, 'endpoint' | 'held' | 'accept' | 'priority'>;
  readonly slot: number;
  /** Why nothing may be sent to it at all; '' where it may. */
  readonly refused: string;
  /** Null where the service has no active check. */
  readonly check: CheckState | null;
  /** Null where it is not ejected now. */
  readonly ejection: Ejection | null;
  readonly operator: OperatorWord | null;
  /** Why it gets nothing though it works: it is not the primary. '' where it may. */
  readonly standby?: string;
  /** It has taken work at some time. */
  readonly hasWorked: boolean;
  /** What was decided last; null for a new endpoint. */
  readonly before: EffectiveEndpoint | null;
  /** ms since the epoch. */
  readonly nowMs: number;
}

interface Verdict {
  readonly state: EndpointState;
  readonly reason: string;
  /** Decided by our own checks. */
  readonly isOurs?: boolean;
}

/** Decides; returns `facts.before` itself where nothing has changed. */
export function reconcile(service: Service, facts: EndpointFacts): EffectiveEndpoint {
  const { before, nowMs, operator, slot } = facts;
  const { endpoint, priority } = facts.merged;
  const weight = operator?.weight ?? endpoint.weight;
  const verdict = barred(facts, weight) ?? { state: 'up', reason: good(facts) };
  const slowStartFromMs = verdict.state === 'up' ? slowStart(service, facts) : 0;
  const state = slowStartFromMs > 0 ? 'slow-start' : verdict.state;
  const reason = state === 'slow-start' && verdict.reason === '' ? 'warming up' : verdict.reason;
  const sinceMs = before !== null && before.state === state ? before.sinceMs : nowMs;
  const { id, address, port } = endpoint;
  const { standby = '' } = facts;
  const isStandby = standby !== '';
  const isSpare = verdict.isOurs === true && facts.hasWorked && weight > 0 && !isStandby;
  const found = { state, reason, sinceMs, isSpare, isStandby, slowStartFromMs, priority };
  const { hostName } = endpoint;
  const named = hostName === undefined ? {} : { hostName };
  const after = { id, address, port, ...named, weight, slot, ...found };
  return before !== null && isSame(before, after) ? before : after;
}

/** Why it may not take new work, the weightiest reason first; null where it may. */
function barred(facts: EndpointFacts, weight: number): Verdict | null {
  const { check, ejection, merged, operator, refused, standby = '' } = facts;
  const { accept, endpoint } = merged;
  const { status } = endpoint;
  if (refused !== '') return { state: 'down', reason: refused };
  if (operator?.state === 'maint') return { state: 'maint', reason: 'operator: maintenance' };
  const isAccepted = accept.includes(status);
  if (status === 'maintenance' && !isAccepted) {
    return { state: 'maint', reason: told('maintenance', endpoint.statusText) };
  }
  if (operator?.state === 'drain') return { state: 'drain', reason: 'operator: drain' };
  if (!isAccepted) return { state: 'down', reason: told(status, endpoint.statusText) };
  if (check !== null && !check.isUp) {
    const text = check.last === null ? AWAITS_CHECK : `check: ${check.last.text}`;
    return { state: 'down', reason: text, isOurs: true };
  }
  if (ejection !== null) return { state: 'ejected', reason: ejection.text, isOurs: true };
  if (standby !== '') return { state: 'down', reason: standby };
  if (weight === 0) return { state: 'drain', reason: whyNoWork(facts) };
  return null;
}

/** The registry may say why it gives no weight: a container that is about to end. */
function whyNoWork({ merged, operator }: EndpointFacts): string {
  const { endpoint } = merged;
  const isTold = operator?.weight === undefined || operator.weight === null;
  const text = isTold && endpoint.status === 'passing' ? endpoint.statusText : '';
  return text === '' ? 'weight 0' : `registry: ${text}`;
}

/** What is worth saying of an endpoint that takes work. */
function good({ merged }: EndpointFacts): string {
  const { endpoint, held } = merged;
  if (held !== '') return held;
  return endpoint.status === 'passing' ? '' : told(endpoint.status, endpoint.statusText);
}

function told(status: string, text: string): string {
  return text === '' ? `registry: ${status}` : `registry: ${status}: ${text}`;
}

/** When slow start began: now for an endpoint that takes up work, 0 where it is over. */
function slowStart(service: Service, { before, nowMs }: EndpointFacts): number {
  if (service.slowStartMs === 0) return 0;
  if (before?.state === 'up') return 0;
  const fromMs = before?.state === 'slow-start' ? before.slowStartFromMs : nowMs;
  return nowMs - fromMs < service.slowStartMs ? fromMs : 0;
}

function isSame(a: EffectiveEndpoint, b: EffectiveEndpoint): boolean {
  return (
    a.id === b.id &&
    a.address === b.address &&
    a.port === b.port &&
    a.hostName === b.hostName &&
    a.weight === b.weight &&
    a.state === b.state &&
    a.reason === b.reason &&
    a.sinceMs === b.sinceMs &&
    a.slot === b.slot &&
    a.isSpare === b.isSpare &&
    a.isStandby === b.isStandby &&
    a.slowStartFromMs === b.slowStartFromMs &&
    a.priority === b.priority
  );
}
