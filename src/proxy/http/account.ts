// What a request leaves behind: its time, status and bytes in the ledger, a line in the log when it
// failed, and one in the access log. Reading the clock costs as much as choosing an endpoint, so a
// moment that is the same as one before is not read again.
import type { Head } from '../../http1/head.ts';
import { ServiceColumn } from '../../ledger/layout.ts';
import { type Reason, reason } from '../../model/reason.ts';
import type { WorkerContext } from '../context.ts';
import type { LiveService } from '../live-service.ts';

const CLIENT_CLOSED = reason('client-closed');

/** What the exchange knows at its end. */
export interface Accountable {
  readonly live: LiveService;
  readonly client: { readonly address: string; readonly listenerKey: string };
  readonly method: string;
  /** '' for none. */
  readonly requestId: string;
  readonly attemptCount: number;
  /** Body bytes, counted at the end. */
  readonly bodyIn: number;
  readonly bodyOut: number;
  /** Bytes of a tunnel, which are counted as they come. */
  readonly tunnelIn: number;
  readonly tunnelOut: number;
}

export class Account {
  /** Monotonic ms of the complete request head. */
  startMs = 0;
  /** What the client was answered; 0: nothing. */
  status = 0;
  /** The last endpoint that was asked. */
  endpointId = '';
  /** Monotonic ms of the end, where that is known already; 0: it has to be read. */
  private endMs = 0;
  private target = '';
  private host = '';

  /** The head is complete. `target` and `host` are kept for the access log alone, where there is one. */
  begin(head: Head, { accessLog, clock }: WorkerContext): void {
    this.startMs = clock.nowMs();
    this.endMs = 0;
    this.status = 0;
    this.endpointId = '';
    if (accessLog === null) return;
    this.target = head.text(head.targetStart, head.targetEnd);
    this.host = head.hostStart < 0 ? '' : head.text(head.hostStart, head.hostEnd);
  }

  /** An endpoint answers now; returns how long after `sentMs`, microseconds. */
  answered(sentMs: number, { clock }: WorkerContext): number {
    this.endMs = clock.nowMs();
    return (this.endMs - sentMs) * 1000;
  }

  /** The answer goes on: its end is another moment. */
  goesOn(): void {
    this.endMs = 0;
  }

  /** Counts and logs the exchange, which ended for `why`; null: well. */
  close(ended: Accountable, why: Reason | null, detail: string, context: WorkerContext): void {
    const { ledger } = context;
    const { slot } = ended.live;
    const isKnown = why === null && this.endMs > 0;
    const ms = (isKnown ? this.endMs : context.clock.nowMs()) - this.startMs;
    ledger.addExchange(slot, this.status, ms * 1000);
    const { bodyIn, bodyOut } = ended;
    if (bodyIn > 0) ledger.addService(slot, ServiceColumn.bytesIn, bodyIn);
    if (bodyOut > 0) ledger.addService(slot, ServiceColumn.bytesOut, bodyOut);
    if (why !== null) {
      ledger.addReason(slot, why.index);
      this.logFailure(ended, why, detail, context);
    }
    if (context.accessLog !== null) this.logAccess(ended, why, ms, context.accessLog);
  }

  /** One line per failure, at the level of whose fault it is. */
  private logFailure(
    { live, client, method, attemptCount: attempts, requestId }: Accountable,
    why: Reason,
    detail: string,
    { log }: WorkerContext,
  ): void {
    const { endpointId: endpoint, status } = this;
    const { code } = why;
    const id = requestId === '' ? {} : { requestId };
    const { listenerKey: listener } = client;
    const asked = { listener, service: live.name, endpoint, method, ...id };
    const fields = { ...asked, status, reason: code, attempts, detail };
    if (why === CLIENT_CLOSED) log.debug(fields, why.text);
    else if (why.side === 'client') log.info(fields, why.text);
    else log.warn(fields, why.text);
  }

  private logAccess(
    ended: Accountable,
    why: Reason | null,
    totalMs: number,
    accessLog: NonNullable<WorkerContext['accessLog']>,
  ): void {
    const { live, client, method, requestId, attemptCount: attempts } = ended;
    accessLog.add({
      client: client.address,
      listener: client.listenerKey,
      service: live.name,
      endpoint: this.endpointId,
      method,
      target: this.target,
      host: this.host,
      requestId,
      status: this.status,
      reason: why?.code ?? '',
      attempts,
      bytesIn: ended.bodyIn + ended.tunnelIn,
      bytesOut: ended.bodyOut + ended.tunnelOut,
      totalMs,
    });
  }
}
