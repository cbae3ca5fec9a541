// What a service at its limit of connections serves: the requests that endpoints have at one moment come
// from no more connections than the limit allows. A client has one connection at a time.
import type { Attempt, Book, Request } from './book.ts';
import type { Periods } from './periods.ts';
import type { ServiceEntry, Table } from './table.ts';

const UNLIMITED = 10_000;

export class ConnectionOracle {
  private readonly book: Book;
  private readonly table: Table;
  private readonly periods: Periods;
  /** By service, by client: what an endpoint has seen of it last. */
  private readonly served = new Map<string, Map<string, Request>>();

  constructor(book: Book, table: Table) {
    this.book = book;
    this.table = table;
    this.periods = table.periods;
  }

  /** An endpoint has got a request. */
  onSeen({ request }: Attempt): void {
    if (request === null) return;
    const entry = this.table.services.get(request.service)!;
    if (!this.isJudged(entry)) return;
    const { name } = entry.plan;
    let clients = this.served.get(name);
    if (clients === undefined) {
      clients = new Map();
      this.served.set(name, clients);
    }
    clients.set(request.client, request);
    let count = 0;
    for (const one of clients.values()) if (isServed(one)) count += 1;
    const most = entry.policy.limits.connections;
    if (count > most) this.book.fault(`${name} serves ${count} connections, ${most} may be`, name);
  }

  /** Where nothing but the answer ends a request, so that it lasts until the actors know of its end. */
  private isJudged({ plan, policy, policies }: ServiceEntry): boolean {
    const { limits, timeouts, retry } = policy;
    return (
      policies.length === 1 &&
      limits.connections < UNLIMITED &&
      limits.bodyBytes === 0 &&
      timeouts.requestMs === 0 &&
      retry.hedge === null &&
      !this.book.isForgiven(plan.name) &&
      !['memory', 'drain', `gone ${plan.name}`].some((key) => this.periods.has(key)) &&
      this.table.endpointsOf(plan.name).every(({ plan: { name, habits, rejectShare } }) => {
        return habits.faultShare === 0 && rejectShare === 0 && !this.book.unsteady.has(name);
      })
    );
  }
}

/** Its client waits for it, and the endpoint that has it has not answered it yet. */
function isServed({ end, isOrderly, isUpgrade, attempts }: Request): boolean {
  return end === 'open' && isOrderly && !isUpgrade && attempts.at(-1)!.doneMs < 0;
}
