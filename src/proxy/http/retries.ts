// What becomes of a request whose try has failed: whether it is tried again, and what that costs. The rule
// itself is retry.ts; here are the facts of one exchange, and what is counted.
import type { Reason } from '../../model/reason.ts';
import { reason } from '../../model/reason.ts';
import type { LiveEndpoint } from '../live-endpoint.ts';
import type { Placement } from '../placement.ts';
import type { Attempts } from './attempts.ts';
import type { ClientSide } from './client-side.ts';
import type { Tried } from './endpoint-side.ts';
import type { HttpPlane } from './plane.ts';
import type { RequestCopy } from './request-copy.ts';
import { retryVerdict } from './retry.ts';

const STALE = reason('stale-connection');
const RETRY_STATUS = reason('retry-status');

/** The exchange whose request it is. */
export interface RetriesOwner extends Tried {
  readonly client: ClientSide;
  readonly isRepeatable: boolean;
  /** A tunnel was asked for and did not begin: its endpoint must not take it for a complete one. */
  readonly isUnopened: boolean;
}

/** What an exchange is made of, as far as tries go. */
export interface RetriesParts {
  readonly attempts: Attempts;
  readonly placement: Placement;
  readonly copy: RequestCopy;
}

export class Retries {
  private readonly owner: RetriesOwner;
  private readonly plane: HttpPlane;
  private readonly attempts: Attempts;
  private readonly placement: Placement;
  private readonly copy: RequestCopy;

  constructor(owner: RetriesOwner, plane: HttpPlane, parts: RetriesParts) {
    this.owner = owner;
    this.plane = plane;
    this.attempts = parts.attempts;
    this.placement = parts.placement;
    this.copy = parts.copy;
  }

  /**
   * The try that counts has failed for `why`: ends it, and says what follows. `spare`: a second try is
   * under way and is the one now; `again`: another is to be made; `over`: none is.
   */
  failed(why: Reason, detail: string): 'spare' | 'again' | 'over' {
    const { attempts, owner } = this;
    const { current } = attempts;
    const { outcomes } = owner.live;
    const endpoint = current.endpoint!;
    // A stale connection says nothing of the endpoint: it may be asked again, on a fresh one.
    if (why === STALE) attempts.needsFresh = true;
    else this.placement.noteTried(endpoint);
    // All that is counted on the endpoint is counted before the try is no longer in flight on it.
    const status = why === RETRY_STATUS ? Number(detail) : 0;
    if (why.blamesEndpoint) outcomes.failed(endpoint, why, status);
    const isLeftToSpare = attempts.hasSpare;
    const mayGoAgain = !isLeftToSpare && this.mayGoAgain(why);
    if (mayGoAgain) outcomes.retried(endpoint, why);
    attempts.drop(current, owner.isUnopened);
    this.copy.rescue();
    if (isLeftToSpare) return 'spare';
    return mayGoAgain ? 'again' : 'over';
  }

  private mayGoAgain(why: Reason): boolean {
    const verdict = this.verdictOn(why);
    if (verdict !== 'charged') return verdict === 'free';
    return this.owner.live.retryBudget.spend(this.plane.context.wheel.nowMs);
  }

  /** What the rule says of a failure for `why` at this moment. */
  verdictOn(why: Reason): 'no' | 'free' | 'charged' {
    const { client, isRepeatable, service } = this.owner;
    return retryVerdict(why, service.retry, {
      isIdempotent: isRepeatable,
      isUnsent: this.attempts.current.sentMs === 0,
      hasResponseBegun: client.hasBegun,
      isReplayable: this.copy.isWhole,
      attempts: this.placement.attempts,
      hasUntried: this.placement.mayTryOther,
    });
  }

  /** Whether another endpoint is asked in place of one that answered with a status of `retry.on`. */
  mayRetryStatus(endpoint: LiveEndpoint): boolean {
    const { isRepeatable, live, service } = this.owner;
    this.placement.noteTried(endpoint);
    return (
      isRepeatable &&
      this.copy.isWhole &&
      this.placement.attempts < service.retry.attempts &&
      this.placement.mayTryOther &&
      // Out of budget, the endpoint's own answer says more than one of ours.
      live.retryBudget.has(this.plane.context.wheel.nowMs)
    );
  }
}
