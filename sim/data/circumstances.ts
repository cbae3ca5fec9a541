// What was going on around a request: what the endpoints of its service may have done to it by what they are, and
// which periods it fell into. No verdicts: those are the judge's.
import type { ReasonCode } from '../../src/model/reason.ts';
import type { Service } from '../../src/model/service.ts';
import type { AnswerFault, Book, Request } from './book.ts';
import { onlyRefuses } from './h2/habits.ts';
import type { Periods } from './periods.ts';
import type { EndpointEntry, ServiceEntry, Table } from './table.ts';
import type { HandshakeFault } from './tls/upstream-rules.ts';

export const NO_ANSWER: ReadonlySet<AnswerFault> = new Set<AnswerFault>([
  'silent',
  'stalls',
  'interim-flood',
]);

/** A request that has ended, its service, and the time around it in which a cause may lie. */
export interface Case {
  readonly request: Request;
  readonly entry: ServiceEntry;
  readonly policies: readonly Service[];
  readonly fromMs: number;
  readonly toMs: number;
}

export class Circumstances {
  private readonly book: Book;
  private readonly table: Table;
  private readonly periods: Periods;
  private readonly isNarrow: boolean;

  /** `isNarrow`: the network delays and cuts small. */
  constructor({ book, table, isNarrow }: { book: Book; table: Table; isNarrow: boolean }) {
    this.book = book;
    this.table = table;
    this.periods = table.periods;
    this.isNarrow = isNarrow;
  }

  /** Whether a period of this name was going on meanwhile. */
  during(one: Case, key: string): boolean {
    return this.periods.overlaps(key, one.fromMs, one.toMs);
  }

  has(one: Case, faults: ReadonlySet<AnswerFault>): boolean {
    return one.request.attempts.some(({ fault }) => faults.has(fault));
  }

  /** An endpoint of the service ends connections that no request is on, or that it has just accepted. */
  isUnreliable({ entry }: Case): boolean {
    return this.table
      .endpointsOf(entry.plan.name)
      .some(
        ({ plan: { habits, rejectShare } }) =>
          rejectShare > 0 || (habits.faultShare > 0 && !onlyRefuses(habits)),
      );
  }

  /** An endpoint of the service has TLS that is broken; `faults`: in one of these ways. */
  failsHandshakes({ entry }: Case, ...faults: readonly HandshakeFault[]): boolean {
    return this.table
      .endpointsOf(entry.plan.name)
      .some(
        ({ plan: { handshakes } }) =>
          handshakes !== '' && (faults.length === 0 || faults.includes(handshakes)),
      );
  }

  /** A handshake with an endpoint may take longer than a connection: it is silent, or its link is narrow. */
  isSlow(one: Case): boolean {
    const isNarrow = this.isNarrow && one.entry.plan.upstream !== null;
    // Garbage may look like the beginning of a record that never comes.
    return isNarrow || this.failsHandshakes(one, 'silent', 'garbage');
  }

  closesIdle({ entry }: Case): boolean {
    // By HTTP/2 it says that it has done nothing for what comes too late.
    if (entry.plan.isH2c && entry.plan.upstream?.isAuto !== true) return false;
    return this.table.endpointsOf(entry.plan.name).some(({ plan }) => plan.habits.idleCloseMs > 0);
  }

  /** What is asked for is no WebSocket, or there is an endpoint that takes none. */
  takesNone({ request, entry }: Case, code: ReasonCode): boolean {
    const isOther = request.websocketKey === undefined;
    if (code === 'unsupported-protocol' || isOther) return isOther;
    return this.table.endpointsOf(entry.plan.name).some(({ plan }) => !plan.habits.h2.takesTunnels);
  }

  /** Packets of the connection were lost; one that is shared may have been opened for an earlier request. */
  wasMute({ entry: { plan }, fromMs, toMs, policies }: Case): boolean {
    const earlierMs = Math.max(...policies.map(({ timeouts }) => timeouts.connectMs));
    return this.periods.overlaps(`mute ${plan.name}`, fromMs - (plan.isH2c ? earlierMs : 0), toMs);
  }

  refuses({ entry }: Case): boolean {
    return this.table
      .endpointsOf(entry.plan.name)
      .some(({ plan: { habits, rejectShare } }) => rejectShare + habits.faultShare > 0);
  }

  /** An endpoint of HTTP/2 gives up connections in order: what crosses its GOAWAY goes elsewhere. */
  leaves({ entry }: Case): boolean {
    return this.table
      .endpointsOf(entry.plan.name)
      .some(({ plan: { isH2c, habits } }) => isH2c && habits.h2.ageMs + habits.idleCloseMs > 0);
  }

  /** A new connection may take fewer streams than the one before, and more may wait for it. */
  takesFewer({ entry }: Case): boolean {
    return this.table
      .endpointsOf(entry.plan.name)
      .some(({ plan: { isH2c, habits } }) => isH2c && habits.h2.streamsMax > 0);
  }

  isSteady({ plan, state, isThere, weight }: EndpointEntry): boolean {
    const isFine = plan.habits.faultShare === 0 && plan.rejectShare === 0;
    return isFine && state === 'up' && isThere && weight > 0 && !this.book.unsteady.has(plan.name);
  }

  resetsIdle(endpoint: string): boolean {
    const { habits } = this.table.endpoints.get(endpoint)!.plan;
    return habits.faultShare > 0 && habits.faults.includes('resets-idle');
  }

  /** Who takes turns says nothing while the endpoint does not: which of them is silent can't be seen. */
  waitsInVain(one: Case): boolean {
    return one.request.call?.takesTurns === true && this.has(one, NO_ANSWER);
  }
}
