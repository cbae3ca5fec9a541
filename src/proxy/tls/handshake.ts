// A client connection whose TLS handshake is under way. It counts among the connections of its listener
// and service, and has as long as a request head may take. Then it is handed on, whole.
import { TimerEntry, type TimerOwner } from '../../base/timer-wheel.ts';
import { WorkerColumn } from '../../ledger/layout.ts';
import { CHALLENGE_PROTOCOL } from '../../model/acme.ts';
import type { WorkerContext } from '../context.ts';
import { ConnectionPlace } from '../limits/connection-place.ts';
import type { Drainable, LiveListener, Neighbours } from '../listener.ts';
import type { LiveService } from '../live-service.ts';
import type { Wire, WireHandler } from '../network.ts';
import { failureOf } from './handshake-failure.ts';

export class Handshake implements WireHandler, TimerOwner, Drainable {
  readonly leisure = 'partial';
  readonly address: string;
  group: Neighbours | null = null;
  older: Drainable | null = null;
  younger: Drainable | null = null;
  private readonly wire: Wire;
  private readonly listener: LiveListener;
  private readonly context: WorkerContext;
  private readonly onDone: (wire: Wire) => void;
  private readonly timer = new TimerEntry(this);
  private readonly place: ConnectionPlace;
  private isLate = false;
  private isRefused = false;

  /** `onDone`: the wire speaks TLS from here on, and needs another handler. */
  constructor(
    wire: Wire,
    listener: LiveListener,
    { context, onDone }: { context: WorkerContext; onDone: (wire: Wire) => void },
  ) {
    this.wire = wire;
    this.listener = listener;
    this.context = context;
    this.onDone = onDone;
    this.address = wire.remoteAddress;
    wire.handler = this;
    const { ledger, wheel } = context;
    this.place = new ConnectionPlace(ledger);
    if (this.place.enter(wire, listener, context) !== null) this.refuse();
    else wheel.schedule(this.timer, listener.timeouts.clientHeaderMs);
  }

  get service(): LiveService | null {
    return this.place.service;
  }

  /** There is no place for it; without TLS nothing can be said. */
  private refuse(): void {
    this.isRefused = true;
    this.wire.destroy();
  }

  onSecure(): void {
    const { wire, context } = this;
    const { ledger, wheel } = context;
    ledger.addWorker(WorkerColumn.tlsHandshakes, 1);
    if (wire.tls!.isResumed) ledger.addWorker(WorkerColumn.tlsResumed, 1);
    if (wire.tls!.protocol === CHALLENGE_PROTOCOL) return this.endChallenge();
    wheel.remove(this.timer);
    this.place.leave();
    // The next one is counted before this one is gone: a listener that drains waits for both.
    this.onDone(wire);
    this.listener.gone(this);
  }

  /** The certificate was the whole answer (RFC 8737 section 3); its timer ends who stays. */
  private endChallenge(): void {
    this.isRefused = true;
    const { log } = this.context;
    const { tls } = this.wire;
    log.info({ client: this.address, domain: tls!.serverName }, 'TLS-ALPN-01 challenge answered');
    this.wire.end();
  }

  onBytes(): void {
    // Before the handshake is done there are none.
  }

  onEnd(): void {
    this.wire.destroy();
  }

  onDrain(): void {
    // Nothing was written by us.
  }

  onClose(error: NodeJS.ErrnoException | null): void {
    this.context.wheel.remove(this.timer);
    this.place.leave();
    this.listener.gone(this);
    if (!this.isRefused) this.record(error);
  }

  private record(error: NodeJS.ErrnoException | null): void {
    const { ledger, log } = this.context;
    const failure = this.isLate ? failureOf('ETIMEDOUT') : failureOf(error?.code ?? '');
    ledger.addWorker(WorkerColumn[failure.column], 1);
    const { key } = this.listener.snapshot;
    const fields = { client: this.address, listener: key, reason: failure.reason };
    log.debug({ ...fields, code: error?.code ?? '' }, 'TLS handshake failed');
  }

  onTimer(): void {
    this.isLate = true;
    this.wire.reset();
  }

  evict(): void {
    this.place.leave();
    this.refuse();
  }

  /** It closes when it is evicted. */
  depart(): boolean {
    return false;
  }

  drain(): void {
    // It has come before: its first request is still answered, as a plain connection's would be.
  }

  abort(): void {
    this.wire.destroy();
  }
}
