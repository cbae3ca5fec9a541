// What may have become of a TCP session of an orderly client: each end but one in order needs a cause. Once
// the endpoint has served it, only what concerns that endpoint or the client itself may end it.
import type { Service } from '../../src/model/service.ts';
import type { Request } from './book.ts';
import type { Periods } from './periods.ts';
import type { WorldPlan } from './plan.ts';
import { SETTLE_MS, type ServiceEntry, type Table } from './table.ts';

/** A reset on its way to the client, behind what was sent before it. */
const RESET_MS = 300;

export interface SessionCase {
  readonly request: Request;
  readonly entry: ServiceEntry;
  readonly policies: readonly Service[];
  readonly fromMs: number;
  readonly toMs: number;
}

export class SessionJudge {
  private readonly plan: WorldPlan;
  private readonly table: Table;
  private readonly periods: Periods;

  constructor(plan: WorldPlan, table: Table) {
    this.plan = plan;
    this.table = table;
    this.periods = table.periods;
  }

  /** Why the session may have ended so; '': there is no reason. */
  explain(one: SessionCase): string {
    const { request } = one;
    if (request.end === 'answered' || request.end === 'quit') return request.end;
    const whole = this.explainWhole(one);
    if (whole !== '') return whole;
    // Who has heard its endpoint is on it; of another session neither side may know whose it was.
    const isServed = request.end === 'cut' && request.attempts.length > 0;
    return isServed ? this.explainServed(one) : this.explainUnserved(one);
  }

  /** Why an endpoint may not have had all of a session whose client ended in order both ways; '': no reason. */
  explainLoss(one: SessionCase): string {
    return this.explainWhole(one) || this.explainServed(one);
  }

  private during({ fromMs, toMs }: SessionCase, key: string): boolean {
    return this.periods.overlaps(key, fromMs, toMs);
  }

  /** Its endpoint is left by its sessions just before the client hears of it. */
  private endsAt(name: string, { toMs }: SessionCase): boolean {
    return this.periods.overlaps(`ends ${name}`, toMs - SETTLE_MS - RESET_MS, toMs);
  }

  /** What may end a session in any state. */
  private explainWhole(one: SessionCase): string {
    const { request, policies } = one;
    const lasted = request.endMs - request.startMs;
    if (this.periods.overlaps('grace over', one.fromMs, one.toMs)) return 'grace';
    if (policies.some(({ timeouts }) => lasted >= timeouts.idleTcpMs)) return 'idle';
    // A source with more than half of all gives way before it has said anything.
    return policies.some(({ limits }) => limits.connections < 10_000) ? 'room' : '';
  }

  private explainServed(one: SessionCase): string {
    const { attempts } = one.request;
    if (attempts.some(({ fault }) => fault !== '')) return 'endpoint';
    return attempts.some(({ endpoint }) => this.endsAt(endpoint, one)) ? 'left' : '';
  }

  private explainUnserved(one: SessionCase): string {
    const { request, entry, policies } = one;
    const { name, port } = entry.plan;
    for (const key of [`none ${name}`, `refuse ${name}`, `mute ${name}`, `gone ${name}`]) {
      if (this.during(one, key)) return key;
    }
    if (this.during(one, `listener ${port}`) || this.during(one, 'memory')) return 'change';
    if (this.during(one, 'drain')) return 'drain';
    const endpoints = this.table.endpointsOf(name);
    if (endpoints.some(({ plan }) => plan.rejectShare > 0 || plan.habits.faultShare > 0))
      return 'endpoint';
    if (endpoints.some(({ plan }) => plan.handshakes !== '')) return 'handshake';
    if (endpoints.some(({ plan }) => this.endsAt(plan.name, one))) return 'left';
    if (this.plan.descriptors < 65_536) return 'descriptors';
    // A ClientHello has its time as well.
    if (this.plan.isNarrow && entry.plan.passes !== null) return 'slow';
    if (this.during(one, `crowd ${name} ${request.address}`)) return 'crowd';
    const isLimited = policies.some(
      ({ limits }) => limits.perEndpoint > 0 || limits.requests > 0 || limits.adaptive,
    );
    return isLimited ? 'limit' : '';
  }
}
