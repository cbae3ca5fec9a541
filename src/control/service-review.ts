// What concerns a service as a whole: which endpoint is its primary, which priority gets the traffic, and
// whether enough of it works.
import type { Clock } from '../base/clock.ts';
import { isPanic } from '../health/panic.ts';
import type { Cause } from '../model/cause.ts';
import type { ChangeLog } from './change-log.ts';
import type { EndpointChecks } from './endpoint-checks.ts';
import { choosePrimary } from './primary.ts';
import { idOf, type Place, type ServiceRecord } from './service-record.ts';

export interface ServiceReviewOptions {
  readonly clock: Clock;
  readonly checks: EndpointChecks;
  readonly changes: ChangeLog;
  /** Names of who holds the lock of this key; null while that is not known. */
  readonly lockHolder: (key: string) => readonly string[] | null;
  /** Decides anew about an endpoint. */
  readonly decide: (place: Place, cause: Cause) => void;
  /** The service is served in another way. */
  readonly onChange: (service: ServiceRecord) => void;
}

export class ServiceReview {
  private readonly options: ServiceReviewOptions;

  constructor(options: ServiceReviewOptions) {
    this.options = options;
  }

  /** Endpoints of the service are others, or do otherwise than before. */
  review(service: ServiceRecord, cause: Cause): void {
    this.reviewPrimary(service, cause);
    this.reviewStrength(service, cause);
  }

  /** Whether another endpoint is the primary now, or none. */
  private reviewPrimary(service: ServiceRecord, cause: Cause): void {
    const { primary: policy } = service.service;
    const { checks, changes, decide, lockHolder } = this.options;
    if (policy === null) return;
    const { primary: before } = service;
    const records = [...service.endpoints.values()];
    const after = choosePrimary({
      policy,
      candidates: records.map(({ merged: { endpoint } }) => {
        return { endpoint, check: checks.stateOf(service, endpoint.id) };
      }),
      before: before.id,
      holder: policy.by === 'lock' ? lockHolder(policy.lock) : null,
    });
    for (const id of after.contested) checks.hurry(service, id);
    if (after.id === before.id && after.why === before.why) return;
    service.primary = after;
    changes.primary(service, cause);
    // The old one first: nothing is sent to two at a time.
    const old = records.filter((record) => idOf(record) !== after.id);
    const chosen = records.filter((record) => idOf(record) === after.id);
    for (const record of [...old, ...chosen]) decide({ service, record }, cause);
  }

  /** The service as a whole: which priority gets the traffic, and whether enough of it works. */
  private reviewStrength(service: ServiceRecord, cause: Cause): void {
    this.reviewPriority(service, cause);
    const { working, spare } = service.strength;
    const isPanicking = isPanic(service.service.panic, { working, spare });
    if (isPanicking === service.isPanicking) return;
    service.isPanicking = isPanicking;
    this.options.changes.panic(service, cause);
  }

  private reviewPriority(service: ServiceRecord, cause: Cause): void {
    const { changes, clock, onChange } = this.options;
    const tiers = service.tiers();
    const { active, inMs } = service.failover.review(
      tiers,
      service.service.failover,
      clock.nowMs(),
    );
    service.failoverTimer?.cancel();
    service.failoverTimer = null;
    if (inMs !== Number.POSITIVE_INFINITY) {
      const text = 'failover: held long enough';
      service.failoverTimer = clock.setTimer(Math.max(1, Math.ceil(inMs)), () => {
        this.reviewStrength(service, { kind: 'failover', text });
      });
    }
    const before = service.priority;
    if (active === before) return;
    service.priority = active;
    onChange(service);
    // The first choice is none between two.
    if (before === null || tiers.size === 1) return;
    changes.failover(service, { before, active, cause });
  }
}
