// The TCP check: good where a connection opens in time. It is closed at once, in order.
import { connect } from 'node:net';
import { formatDuration } from '../base/duration.ts';
import type { HealthCheck } from '../model/service.ts';
import { type CheckOutcome, type CheckTarget, failed } from './outcome.ts';
import { ownHeader } from './own-header.ts';

/** Resolves with the outcome within `timeoutMs` of the check; `signal` gives it up. */
export function checkTcp(
  check: HealthCheck,
  { address, port }: CheckTarget,
  signal: AbortSignal,
): Promise<CheckOutcome> {
  const { timeoutMs } = check;
  const header = ownHeader(check);
  return new Promise((resolve) => {
    const socket = connect({ host: address, port, signal });
    const timer = setTimeout(() => {
      finish({ isGood: false, text: `no connection within ${formatDuration(timeoutMs)}` });
    }, timeoutMs);
    const finish = (outcome: CheckOutcome): void => {
      clearTimeout(timer);
      resolve(outcome);
      socket.destroy();
    };
    const connected = (): void => finish({ isGood: true, text: 'connected' });
    socket.on('connect', () => {
      if (header === null) connected();
      else socket.end(header, connected);
    });
    socket.on('error', (error) => finish(failed(error)));
  });
}
