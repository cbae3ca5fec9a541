// The TLS check: good where a handshake succeeds in time. The certificate is not judged: clients see
// it themselves, and whether it is still valid says nothing of who can serve.
import { connect as connectRaw } from 'node:net';
import { connect } from 'node:tls';
import { formatDuration } from '../base/duration.ts';
import type { HealthCheck } from '../model/service.ts';
import { type CheckOutcome, type CheckTarget, failed } from './outcome.ts';
import { ownHeader } from './own-header.ts';

/** `host`, where it is set, is the name that the endpoint is asked for (SNI). */
export function checkTls(
  check: HealthCheck,
  { address, port }: CheckTarget,
  signal: AbortSignal,
): Promise<CheckOutcome> {
  const { timeoutMs, host } = check;
  return new Promise((resolve) => {
    const name = host === '' ? {} : { servername: host };
    const raw = connectRaw({ host: address, port });
    const header = ownHeader(check);
    if (header !== null) raw.write(header);
    const socket = connect({ socket: raw, rejectUnauthorized: false, ...name });
    signal.addEventListener('abort', () => socket.destroy(), { once: true });
    const timer = setTimeout(() => {
      resolve({ isGood: false, text: `no TLS handshake within ${formatDuration(timeoutMs)}` });
      socket.destroy();
    }, timeoutMs);
    socket.on('secureConnect', () => {
      resolve({ isGood: true, text: `${socket.getProtocol() ?? 'TLS'} handshake` });
      socket.end();
    });
    socket.resume();
    socket.on('error', (error) => resolve(handshakeFailed(error)));
    socket.on('close', () => {
      clearTimeout(timer);
      resolve({ isGood: false, text: 'connection closed in the TLS handshake' });
    });
  });
}

/** OpenSSL's own words, where it is what failed. */
function handshakeFailed(error: Error & { readonly reason?: unknown }): CheckOutcome {
  if (typeof error.reason !== 'string') return failed(error);
  return { isGood: false, text: `TLS handshake failed: ${error.reason}` };
}
