// The ledger's counters against what the actors saw, when all is quiet. A client that left can't tell
// how its request ended: such requests make a span of what is right, all others make it exact.

import { EndpointColumn, ServiceColumn } from '../../src/ledger/layout.ts';
import type { Ledger } from '../../src/ledger/ledger.ts';
import { reasons } from '../../src/model/reason.ts';
import type { Service } from '../../src/model/service.ts';
import type { SimNetwork } from '../net/sim-network.ts';
import type { Attempt, Book, Request } from './book.ts';
import { onlyRefuses } from './h2/habits.ts';
import { type EndpointPlan, ROUTER_PORT, type WorldPlan } from './plan.ts';
import type { ServiceEntry, Table } from './table.ts';

/** What a connection may be told before its first request. */
const EARLY = [
  'too-many-connections',
  'client-header-timeout',
  'client-connections',
  'bad-proxy-header',
  // Of a connection, or of a stream that the client resets at once.
  'http2-error',
  'http2-flood',
];

export interface AuditOptions {
  readonly ledger: Ledger;
  readonly plan: WorldPlan;
  readonly book: Book;
  readonly table: Table;
  readonly network: SimNetwork;
}

/** What is known of one service's requests. */
interface Seen {
  readonly requests: readonly Request[];
  /** By endpoint, of all services. */
  readonly attemptsAt: ReadonlyMap<string, readonly Attempt[]>;
  /** Requests of which nobody knows how they ended. */
  readonly unknown: number;
}

export class Audit {
  private readonly options: AuditOptions;

  constructor(options: AuditOptions) {
    this.options = options;
  }

  run(): void {
    const { book, plan, table } = this.options;
    if (book.hasForgiven) return;
    const requestsOf = groupBy(book.requests.values(), ({ service }) => service);
    const attemptsAt = groupBy(book.attempts, ({ endpoint }) => endpoint);
    for (const entry of table.services.values()) {
      const requests = requestsOf.get(entry.plan.name) ?? [];
      const unknown = requests.filter((request) => isUnknown(request)).length;
      const seen = { requests, attemptsAt, unknown };
      // While the listener led nowhere, its requests were counted nowhere.
      const hasGone = table.periods.has(`gone ${entry.plan.name}`);
      if (!hasGone && plan.descriptors === 65_536) this.checkService(entry, seen);
      this.checkEndpoints(entry, seen);
    }
  }

  private checkService(entry: ServiceEntry, seen: Seen): void {
    const { ledger } = this.options;
    const { slot, name, protocol } = entry.plan;
    const total = (column: number): number => ledger.serviceTotal(slot, column);
    const { requests, unknown } = seen;
    const known = requests.length - unknown;
    // What was malformed behind a router is nobody's; a refused connection is counted with no request.
    const nobodys = requests.filter((one) => one.port === ROUTER_PORT && !one.isOrderly).length;
    const refused = EARLY.reduce((sum, code) => sum + ledger.reasonTotal(slot, indexOf(code)), 0);
    this.between(`requests of ${name}`, total(ServiceColumn.requests), [
      known - nobodys,
      requests.length + refused,
    ]);
    const buckets = ledger.serviceBuckets(slot).reduce((sum, count) => sum + count, 0);
    this.between(`durations of ${name}`, buckets, [
      total(ServiceColumn.requests),
      total(ServiceColumn.requests),
    ]);
    if (protocol === 'tcp') return;
    this.checkStatuses(entry, seen, nobodys);
    this.checkBytes(entry, seen);
    this.checkReasons(entry, seen, nobodys);
    const tunnels = requests.filter(({ status }) => status === 101).length;
    this.between(`upgrades of ${name}`, total(ServiceColumn.upgrades), [
      tunnels,
      tunnels + unknown,
    ]);
    this.between(`hedges won of ${name}`, total(ServiceColumn.hedgesWon), [
      0,
      total(ServiceColumn.hedges),
    ]);
  }

  private checkStatuses(
    { plan: { slot, name } }: ServiceEntry,
    { requests, unknown }: Seen,
    nobodys: number,
  ): void {
    const { ledger } = this.options;
    const counts = new Map<number, number>();
    for (const { status } of requests)
      if (status > 0) counts.set(status, (counts.get(status) ?? 0) + 1);
    for (let status = 100; status < 600; status += 1) {
      const told = ledger.statusTotal(slot, status);
      const count = counts.get(status) ?? 0;
      if (told === 0 && count === 0) continue;
      const isOurs = status >= 400;
      this.between(`answers ${status} of ${name}`, told, [
        isOurs ? count - nobodys : count,
        count +
          unknown +
          (isOurs
            ? unknown + 1000 * Number(status === 503 || status === 408 || status === 429)
            : 0),
      ]);
    }
  }

  private checkReasons(
    { plan: { slot, name }, policies }: ServiceEntry,
    { requests, unknown }: Seen,
    nobodys: number,
  ): void {
    const { ledger } = this.options;
    const counts = new Map<string, number>();
    for (const { reason } of requests) {
      if (reason !== '') counts.set(reason, (counts.get(reason) ?? 0) + 1);
    }
    const wereCut = requests.filter(({ end }) => end === 'cut');
    // The answer may have begun when the body turns out to be too large: then it is cut.
    // Whoever leaves without close_notify breaks off what has not ended, though it has the answer.
    const left = requests.filter(
      ({ secure = null, attempts }) =>
        secure !== null && attempts.some(({ isWholeByLength }) => isWholeByLength === true),
    ).length;
    const cutOver = wereCut.filter(({ body }) => isTooLarge(body, policies)).length;
    // It may also have begun when client and endpoint fall silent, and the client owes more of its body.
    const cutSilent = wereCut.filter((one) => lastsToBodyTimeout(one, policies)).length;
    const cutBy: Record<string, number> = {
      'body-too-large': cutOver,
      'client-body-timeout': cutSilent,
    };
    for (const { code, index, status } of reasons) {
      const count = counts.get(code) ?? 0;
      const told = ledger.reasonTotal(slot, index);
      const least = status >= 400 ? count - nobodys : count;
      // A connection that is refused before its first request counts as well.
      const isEarly = EARLY.includes(code);
      const mayCut = status === 0 || code === 'request-timeout';
      const cut = mayCut ? wereCut.length : (cutBy[code] ?? 0);
      const most = count + unknown + cut + (code === 'client-closed' ? left : 0);
      this.between(`${code} of ${name}`, told, [least, isEarly ? Number.POSITIVE_INFINITY : most]);
    }
  }

  private checkBytes({ plan: { slot, name } }: ServiceEntry, { requests, unknown }: Seen): void {
    const { ledger } = this.options;
    const isExact =
      unknown === 0 && requests.every(({ end, isOrderly }) => isOrderly && end !== 'cut');
    let out = 0;
    let into = 0;
    for (const request of requests) {
      if (request.end !== 'answered' || request.isUpgrade) continue;
      out += request.gotBytes;
      if (request.attempts.some(({ hasWhole }) => hasWhole)) into += request.body.length;
    }
    const most = (least: number): number =>
      isExact && requests.every(({ isUpgrade, end }) => !isUpgrade && end === 'answered')
        ? least
        : Number.POSITIVE_INFINITY;
    const told = ledger.serviceTotal(slot, ServiceColumn.bytesOut);
    this.between(`bytes out of ${name}`, told, [out, most(out)]);
    const toldIn = ledger.serviceTotal(slot, ServiceColumn.bytesIn);
    this.between(`bytes into ${name}`, toldIn, [into, Number.POSITIVE_INFINITY]);
  }

  private checkEndpoints(entry: ServiceEntry, seen: Seen): void {
    const { ledger, network, table } = this.options;
    const { name, protocol, slot: serviceSlot } = entry.plan;
    let repeated = 0;
    const hadTrouble = this.hadTrouble(entry, seen);
    for (const { plan } of table.endpointsOf(name)) {
      const { slot } = plan;
      const total = (column: number): number => ledger.endpointTotal(slot, column);
      const mine = seen.attemptsAt.get(plan.name) ?? [];
      const connects = network.connects.get(plan.port) ?? 0;
      const attempts = total(EndpointColumn.attempts);
      repeated += total(EndpointColumn.retries);
      this.between(`attempts of ${plan.name}`, attempts, [
        mine.length,
        hadTrouble ? Number.POSITIVE_INFINITY : mine.length,
      ]);
      const toldConnects = total(EndpointColumn.connects);
      if (protocol === 'http')
        this.between(`connects of ${plan.name}`, toldConnects, [connects, connects]);
      else
        this.between(`connects of ${plan.name}`, toldConnects, [
          hadTrouble ? 0 : mine.length,
          connects,
        ]);
      const asksTunnels = seen.requests.some(({ isUpgrade }) => isUpgrade);
      this.checkFailures(entry, plan, { total, asksTunnels });
      if (protocol === 'http') this.checkClasses(plan.name, total, mine);
    }
    let told = 0;
    for (const { index } of reasons) told += ledger.retryTotal(serviceSlot, index);
    this.between(`retries of ${name}`, repeated, [told, told]);
  }

  /** Something kept requests from arriving: attempts are then more than were seen. */
  private hadTrouble(entry: ServiceEntry, { requests }: Seen): boolean {
    const { book, table, plan } = this.options;
    return (
      plan.descriptors < 65_536 ||
      table.periods.has('drain') ||
      entry.policies.some(
        ({ retry, timeouts }) => retry.hedge !== null || timeouts.requestMs > 0,
      ) ||
      table.periods.has(`down ${entry.plan.name}`) ||
      requests.some(
        ({ isOrderly, end }) => !isOrderly || end === 'quit' || end === 'cut' || end === 'gone',
      ) ||
      table
        .endpointsOf(entry.plan.name)
        .some(
          ({ plan: one }) =>
            one.habits.faultShare > 0 ||
            one.habits.idleCloseMs > 0 ||
            (one.isH2c && one.habits.h2.ageMs > 0) ||
            one.rejectShare > 0 ||
            book.unsteady.has(one.name),
        ) ||
      requests.some(({ call }) => call && call.deadlineMs > 0) ||
      // An endpoint that takes no WebSockets is tried, and asked for none.
      requests.some(({ isUpgrade }) => isUpgrade && entry.plan.isH2c) ||
      // A body that grows too large ends an attempt that may not have arrived.
      requests.some(({ reason }) => reason === 'body-too-large') ||
      // A kept connection may be closed in the moment of its reuse.
      requests.some((request) => request.attempts.length > 1)
    );
  }

  private checkFailures(
    { policies }: ServiceEntry,
    { name, habits, rejectShare, protocol }: EndpointPlan,
    { total, asksTunnels }: { total: (column: number) => number; asksTunnels: boolean },
  ): void {
    const parts =
      total(EndpointColumn.connectFailures) +
      total(EndpointColumn.resets) +
      total(EndpointColumn.timeouts);
    const { book, plan } = this.options;
    const isBlameless =
      protocol === 'http' &&
      // Who waits for a word on WebSockets loses its connection by GOAWAY, also by that of an endpoint in order.
      !(asksTunnels && (habits.faultShare > 0 || habits.h2.ageMs > 0)) &&
      (habits.faultShare === 0 || onlyRefuses(habits)) &&
      rejectShare === 0 &&
      !book.unsteady.has(name) &&
      !plan.isNarrow &&
      plan.descriptors === 65_536 &&
      policies.every(({ retry }) => retry.onStatus.size === 0);
    const most = isBlameless ? 0 : Number.POSITIVE_INFINITY;
    this.between(`failures of ${name}`, total(EndpointColumn.failures), [parts, most]);
  }

  private checkClasses(
    name: string,
    total: (column: number) => number,
    mine: readonly Attempt[],
  ): void {
    const columns = [
      EndpointColumn.responses1xx,
      EndpointColumn.responses2xx,
      EndpointColumn.responses3xx,
      EndpointColumn.responses4xx,
      EndpointColumn.responses5xx,
    ];
    const sent = [0, 0, 0, 0, 0];
    const got = [0, 0, 0, 0, 0];
    for (const { status, answeredMs, request, tag } of mine) {
      if (answeredMs < 0) continue;
      const i = Math.floor(status / 100) - 1;
      sent[i]! += 1;
      if (request!.answeredBy === tag) got[i]! += 1;
    }
    columns.forEach((column, i) => {
      this.between(`answers ${i + 1}xx of ${name}`, total(column), [got[i]!, sent[i]!]);
    });
  }

  private between(what: string, told: number, [least, most]: readonly [number, number]): void {
    if (told >= least && told <= most) return;
    const expected = least === most ? `${least}` : `${least} to ${most}`;
    this.options.book.fault(`${what}: the ledger says ${told}, ${expected} would be right`);
  }
}

function groupBy<T>(list: Iterable<T>, keyOf: (one: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const one of list) {
    const key = keyOf(one);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [one]);
    else group.push(one);
  }
  return groups;
}

/** Nobody saw how it ended: the client left, or its connection did. */
function isUnknown({ end, status, isOrderly }: Request): boolean {
  return (
    (status === 0 && end !== 'answered') || (!isOrderly && end !== 'own' && end !== 'answered')
  );
}

function isTooLarge({ length }: Buffer, policies: readonly Service[]): boolean {
  return policies.some(({ limits: { bodyBytes } }) => bodyBytes > 0 && length > bodyBytes);
}

function lastsToBodyTimeout({ startMs, endMs }: Request, policies: readonly Service[]): boolean {
  return policies.some(({ timeouts }) => endMs - startMs >= timeouts.idleBodyMs);
}

function indexOf(code: string): number {
  return reasons.findIndex((one) => one.code === code);
}
