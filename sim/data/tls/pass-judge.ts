// What the access log says of connections whose TLS is passed on and that got nowhere: all clients of a world say a
// whole ClientHello, with a name that leads to their service.
import type { AccessRecord } from '../../../src/proxy/access-log.ts';
import type { Book } from '../book.ts';
import type { WorldPlan } from '../plan.ts';
import type { Table } from '../table.ts';

/** So long ago a service may have been gone for a connection that is logged now, ms. */
const GONE_MS = 1000;

export class PassJudge {
  private readonly book: Book;
  private readonly table: Table;
  private readonly isNarrow: boolean;
  /** Services by the ports that pass TLS on; strangers to a port have other addresses. */
  private readonly ports = new Map<string, string>();
  private readonly clients = new Set<string>();

  constructor(plan: WorldPlan, book: Book, table: Table) {
    this.book = book;
    this.table = table;
    this.isNarrow = plan.isNarrow;
    for (const { name, port, passes } of plan.services)
      if (passes !== null) this.ports.set(`:${port}`, name);
    for (const { service, address } of plan.tcpClients) this.clients.add(`${service} ${address}`);
  }

  /** A record of the access log. */
  judge({ client, listener, reason }: AccessRecord): void {
    const service = this.ports.get(listener.slice(listener.lastIndexOf(':')));
    if (service === undefined || !this.clients.has(`${service} ${client}`)) return;
    if (reason === 'no-service' && !this.wasGone(service))
      this.book.fault(`${client} is led from ${listener} to no service`, service);
    // By a narrow link a ClientHello may take longer than it has.
    if (reason === 'bad-client-hello' && !this.isNarrow)
      this.book.fault(`the ClientHello of ${client} to ${listener} is not understood`, service);
  }

  private wasGone(service: string): boolean {
    const { nowMs } = this.book;
    return this.table.periods.overlaps(`gone ${service}`, nowMs - GONE_MS, nowMs);
  }
}
