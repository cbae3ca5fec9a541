// The place of one client connection among those that its service may have: of all clients together, and
// of one address. Counts hold over all workers.
import { hashText } from '../balance/hash.ts';
import { ServiceColumn } from '../ledger/layout.ts';
import type { WorkerLedger } from '../ledger/ledger.ts';
import { type Reason, reason } from '../model/reason.ts';
import type { WorkerContext } from './context.ts';
import type { LiveListener } from './listener.ts';
import type { LiveService } from './live-service.ts';
import type { Wire } from './network.ts';

const TOO_MANY_CONNECTIONS = reason('too-many-connections');
const CLIENT_CONNECTIONS = reason('client-connections');
const OUT_OF_DESCRIPTORS = reason('out-of-descriptors');

/** What has the connections, or sessions, some of which may give way. */
export interface Roomy {
  makeRoom(service: LiveService | null, address: string): boolean;
}

export class ConnectionPlace {
  /** The service that counts the connection; null: none does, or no more. */
  service: LiveService | null = null;
  private readonly ledger: WorkerLedger;
  /** Of service and address, where the service limits those of one address. */
  private client = -1;

  constructor(ledger: WorkerLedger) {
    this.ledger = ledger;
  }

  /**
   * Takes in a connection that has just come in by `listener`: counts it where that has one service,
   * and makes room where descriptors run out. Null, or why it is refused; `leave` follows in either case.
   */
  enter(wire: Wire, listener: LiveListener, { network, room }: WorkerContext): Reason | null {
    const { service } = listener;
    const refused = service === null ? null : this.take(service, listener, wire.remoteAddress);
    if (refused !== null || !network.isFromReserve(wire.descriptor)) return refused;
    listener.makeRoom(null, wire.remoteAddress);
    room.closeIdle('EMFILE');
    return OUT_OF_DESCRIPTORS;
  }

  /**
   * Counts the connection, which came in by `listener` from `address`, among those of `service`. Null,
   * or why it is one too many; `leave` follows in either case.
   */
  take(service: LiveService, listener: Roomy, address: string): Reason | null {
    const { ledger } = this;
    const { slot } = service;
    const { connections, connectionsPerClient } = service.service.limits;
    this.service = service;
    ledger.addService(slot, ServiceColumn.connections, 1);
    const count = ledger.openConnection(slot);
    if (connectionsPerClient > 0) {
      this.client = hashText(`${slot} ${address}`);
      if (ledger.openClient(this.client) > connectionsPerClient) return CLIENT_CONNECTIONS;
    }
    const hasRoom = count <= connections || listener.makeRoom(service, address);
    return hasRoom ? null : TOO_MANY_CONNECTIONS;
  }

  leave(): void {
    const { service, client } = this;
    if (service === null) return;
    this.service = null;
    this.ledger.closeConnection(service.slot);
    if (client >= 0) this.ledger.closeClient(client);
    this.client = -1;
  }
}
