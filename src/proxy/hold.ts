// The count of one attempt, or session, as in flight on an endpoint.
// Invariant: `endpoint` is set exactly while the ledger counts it.
import { assert } from '../base/assert.ts';
import { EndpointColumn } from '../ledger/layout.ts';
import type { WorkerLedger } from '../ledger/ledger.ts';
import type { LiveEndpoint } from './live-endpoint.ts';
import type { LiveService } from './live-service.ts';

export class Hold {
  endpoint: LiveEndpoint | null = null;
  private readonly ledger: WorkerLedger;
  private live!: LiveService;
  /** It is counted as an attempt. */
  private isCounted = false;

  constructor(ledger: WorkerLedger) {
    this.ledger = ledger;
  }

  /**
   * Counts it on `endpoint` of `live`, unless that has as many as it may have: another worker may have taken the
   * last place since this one looked. False: nothing is counted. `count` or `leave` counts the attempt.
   */
  take(endpoint: LiveEndpoint, live: LiveService): boolean {
    assert(this.endpoint === null, 'an attempt is on one endpoint at a time');
    const max = live.service.limits.perEndpoint;
    const { ledger } = this;
    if (ledger.acquire(endpoint.slot) >= max && max > 0) {
      ledger.release(endpoint.slot);
      return false;
    }
    this.endpoint = endpoint;
    this.live = live;
    this.isCounted = false;
    return true;
  }

  /** The attempt is made: counts it, once. */
  count(): void {
    if (this.isCounted) return;
    this.isCounted = true;
    this.ledger.addEndpoint(this.endpoint!.slot, EndpointColumn.attempts, 1);
  }

  /**
   * Nothing was tried: the endpoint has chosen another protocol, or this process had no descriptor or port left. It
   * is no attempt, and placed again.
   */
  forgo(): void {
    this.isCounted = true;
  }

  /** Takes the count back. A request that waits may be placed before this returns. */
  leave(): void {
    const { endpoint } = this;
    if (endpoint === null) return;
    this.count();
    this.endpoint = null;
    this.ledger.release(endpoint.slot);
    this.live.placeFreed();
  }
}
