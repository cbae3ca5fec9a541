// What people are told of endpoints and services: one event and one line of the log for each change
// that they can see.
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import type { Cause } from '../model/cause.ts';
import type { EffectiveEndpoint } from '../model/endpoint.ts';
import type { EventLog } from './events.ts';
import { idOf, type Place, type ServiceRecord } from './service-record.ts';

export interface ChangeLogOptions {
  readonly clock: Clock;
  readonly log: Logger;
  readonly events: EventLog;
}

/** Another decision about an endpoint; null for one that is new, or gone. */
export interface EndpointChange {
  readonly before: EffectiveEndpoint | null;
  readonly after: EffectiveEndpoint | null;
  readonly cause: Cause;
}

/** Lines about endpoints in one change of a service. */
const LINES_MAX = 100;

/** Lines that a long change has left, and endpoints that got none. */
export interface Lines {
  left: number;
  more: number;
}

export function linesOf(): Lines {
  return { left: LINES_MAX, more: 0 };
}

export class ChangeLog {
  private readonly options: ChangeLogOptions;

  constructor(options: ChangeLogOptions) {
    this.options = options;
  }

  /** An event, and a line of the log as long as `lines` has some left. */
  endpoint({ service, record }: Place, change: EndpointChange, lines?: Lines): void {
    const { before, after, cause } = change;
    const reason = reasonOf(before, after);
    if (reason === null) return;
    const { events, clock, log } = this.options;
    const names = { service: service.name, endpoint: idOf(record) };
    const step = { from: before?.state ?? '', to: after?.state ?? '', reason };
    events.add({ atMs: clock.wallMs(), ...names, ...step, cause });
    if (lines !== undefined) {
      if (lines.left === 0) {
        lines.more += 1;
        return;
      }
      lines.left -= 1;
    }
    const fields = { ...names, ...step, cause: `${cause.kind}: ${cause.text}` };
    const isBad = step.to === 'down' || step.to === 'ejected';
    if (isBad && after?.isStandby !== true) log.warn(fields, `endpoint ${step.to}`);
    else log.info(fields, `endpoint ${step.to || 'gone'}`);
  }

  /** Endpoints of a long change for which there was no line. */
  more(service: ServiceRecord, { lines, cause }: { lines: Lines; cause: Cause }): void {
    if (lines.more === 0) return;
    const fields = { service: service.name, endpoints: lines.more };
    const said = { ...fields, cause: `${cause.kind}: ${cause.text}` };
    this.options.log.info(said, 'more endpoints changed with these');
  }

  /** Passive health wanted the endpoint out, and policy lets it stay. */
  notEjected({ service, record }: Place, text: string, why: string): void {
    const { effective } = record;
    if (effective === null) return;
    const { clock, events, log } = this.options;
    const names = { service: service.name, endpoint: idOf(record) };
    const { state } = effective;
    const reason = `not ejected: ${why}`;
    const cause = { kind: 'ejection', text } as const;
    events.add({ atMs: clock.wallMs(), ...names, from: state, to: state, reason, cause });
    log.warn(
      { ...names, reason, cause: `ejection: ${text}` },
      'endpoint fails, but is not ejected',
    );
  }

  /** Another endpoint is the primary of the service, or none is. */
  primary(service: ServiceRecord, cause: Cause): void {
    const { events, clock, log } = this.options;
    const { name, primary } = service;
    const { id, why } = primary;
    const step = { from: 'primary', to: id === '' ? 'no-primary' : 'primary', reason: why };
    events.add({ atMs: clock.wallMs(), service: name, endpoint: id, ...step, cause });
    const fields = { service: name, endpoint: id, cause: `${cause.kind}: ${cause.text}` };
    if (id === '') log.warn({ ...fields, reason: why }, 'no primary: the service gets no traffic');
    else log.info(fields, 'primary changed');
  }

  /** Panic has begun, or is over. */
  panic(service: ServiceRecord, cause: Cause): void {
    const { isPanicking, strength } = service;
    const { working, spare } = strength;
    const reason = `${working} of ${working + spare} endpoints work`;
    const [from, to] = isPanicking ? ['served', 'panic'] : ['panic', 'served'];
    const fields = this.ofService(service, { from, to, reason, cause });
    const { log } = this.options;
    if (isPanicking) log.warn(fields, 'panic mode: unhealthy endpoints get traffic too');
    else log.info(fields, 'panic is over');
  }

  /** The traffic has gone from one priority to another. */
  failover(service: ServiceRecord, step: { before: number; active: number; cause: Cause }): void {
    const { before, active, cause } = step;
    const { working = 0 } = service.tiers().get(active) ?? {};
    const isWorse = active > before;
    const reason = isWorse
      ? `no endpoint of priority ${before} works, ${working} of priority ${active} do`
      : `${working} endpoints of priority ${active} work`;
    const [from, to] = [`priority ${before}`, `priority ${active}`];
    const fields = this.ofService(service, { from, to, reason, cause });
    const { log } = this.options;
    if (isWorse) log.warn(fields, 'failover: another priority gets the traffic');
    else log.info(fields, 'failover is over: the traffic is back');
  }

  /** An event about a service as a whole; returns what the log says of it. */
  private ofService(
    { name }: ServiceRecord,
    step: { from: string; to: string; reason: string; cause: Cause },
  ) {
    const { events, clock } = this.options;
    events.add({ atMs: clock.wallMs(), service: name, endpoint: '', ...step });
    const { reason, cause } = step;
    return { service: name, reason, cause: `${cause.kind}: ${cause.text}` };
  }
}

/** What to say of a change; null where people see none. */
function reasonOf(
  before: EffectiveEndpoint | null,
  after: EffectiveEndpoint | null,
): string | null {
  if (after === null) return '';
  if (before?.state !== after.state || before.reason !== after.reason) return after.reason;
  return before.weight === after.weight ? null : `weight ${before.weight} -> ${after.weight}`;
}
