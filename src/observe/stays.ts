// Why an endpoint that fails requests gets more of them all the same, in words: what an operator
// asks when `explain` shows failures and the state `up`. '' where there is nothing to say.
import type { Compared, EndpointView } from '../control/view.ts';
import type { Service } from '../model/service.ts';

/** Below this share failures are not worth a word. */
const SHARE_MIN = 0.01;

export interface StayFacts {
  readonly service: Service;
  readonly isPanicking: boolean;
  /** ms since the epoch. */
  readonly nowMs: number;
  readonly compared: Compared | null;
}

/** '' where there is nothing to say. */
export function whyItStays(endpoint: EndpointView, facts: StayFacts): string {
  const { service, isPanicking, nowMs, compared } = facts;
  const { state, stay, isSpare } = endpoint;
  if (state === 'ejected' || state === 'down') {
    return isPanicking && isSpare ? panicText(service) : '';
  }
  if (state !== 'up' && state !== 'slow-start') return '';
  if (stay !== null && nowMs < stay.untilMs) return `${stay.text}; not ejected: ${stay.why}`;
  if (compared === null || compared.own.faults < SHARE_MIN * compared.own.requests) return '';
  return compared.own.faults === 0 ? '' : uncertain(service, compared);
}

function panicText({ panic }: Service): string {
  const gets = panic.spread === 'all' ? 'its share of the requests' : 'what the others cannot take';
  const share = `${Math.round(panic.threshold * 100)}%`;
  return `gets ${gets}: panic, fewer than ${share} of the endpoints work (panic.threshold)`;
}

function uncertain({ passive, balance }: Service, compared: Compared): string {
  const { peers, peerCount, evidence, evidenceMin } = compared;
  if (passive.successRate === null) {
    return balance.policy === 'hash'
      ? "not compared with its peers: with balance hash one client's errors are one endpoint's (passive.success_rate.enabled: true compares)"
      : 'not compared with its peers: passive.success_rate is off';
  }
  if (peerCount === 0) return 'no other endpoint got requests to compare it with';
  if (evidence > 0) {
    return `evidence of 10^${Math.floor(evidence)} that it does worse than its peers, ejected from 10^${evidenceMin} on`;
  }
  const alike = `${peers.faults} of ${peers.requests} failed`;
  return `its peers do not do much better: ${alike}`;
}
