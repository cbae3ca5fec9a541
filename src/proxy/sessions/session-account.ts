// What a session of TCP or UDP leaves behind when it ends: counts, and a line of the access log.
import type { Reason } from '../../model/reason.ts';
import type { WorkerContext } from '../context.ts';
import type { LiveService } from '../live-service.ts';

export interface EndedSession {
  readonly live: LiveService;
  /** Of its client. */
  readonly address: string;
  /** The last one; '' where there was none. */
  readonly endpointId: string;
  readonly attempts: number;
  /** Of the clock. */
  readonly startMs: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  /** Null where it ended as sessions do. */
  readonly why: Reason | null;
}

/** Once for each session. `listener`: the key of the one that it came by. */
export function accountSession(
  { clock, ledger, accessLog }: WorkerContext,
  session: EndedSession,
  listener: string,
): void {
  const { live, why, startMs } = session;
  const totalMs = clock.nowMs() - startMs;
  ledger.addExchange(live.slot, 0, totalMs * 1000);
  if (why !== null) ledger.addReason(live.slot, why.index);
  accessLog?.add({
    client: session.address,
    listener,
    service: live.name,
    endpoint: session.endpointId,
    method: '',
    target: '',
    host: '',
    requestId: '',
    status: 0,
    reason: why?.code ?? '',
    attempts: session.attempts,
    bytesIn: session.bytesIn,
    bytesOut: session.bytesOut,
    totalMs,
  });
}
