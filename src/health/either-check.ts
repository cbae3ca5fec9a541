// The HTTP check over TLS of endpoints that choose between HTTP/2 and HTTP/1.1 by ALPN: the handshake says
// which check it is.
import type { TLSSocket } from 'node:tls';
import { formatDuration } from '../base/duration.ts';
import type { HealthCheck } from '../model/service.ts';
import { checkHttp } from './http-check.ts';
import { checkHttp2 } from './http2-check.ts';
import { type CheckOutcome, type CheckTarget, failed } from './outcome.ts';
import { openOwn } from './own-connection.ts';

/** As checkHttp; the handshake and the rest have the check's time together. */
export async function checkEither(
  check: HealthCheck,
  target: CheckTarget,
  signal: AbortSignal,
): Promise<CheckOutcome> {
  const beganMs = performance.now();
  const socket = await shakeHands(check, target, signal);
  if ('text' in socket) return socket;
  const leftMs = Math.max(1, Math.round(check.timeoutMs - (performance.now() - beganMs)));
  const rest = { ...check, timeoutMs: leftMs };
  const way = socket.alpnProtocol === 'h2' ? checkHttp2 : checkHttp;
  return way(rest, target, signal, socket);
}

/** An open connection, or why there is none. */
function shakeHands(
  check: HealthCheck,
  target: CheckTarget,
  signal: AbortSignal,
): Promise<TLSSocket | CheckOutcome> {
  const { timeoutMs } = check;
  // The settings have TLS: without it there is nothing to choose by.
  const socket = openOwn(check, target, ['h2', 'http/1.1']) as TLSSocket;
  return new Promise((resolve) => {
    signal.addEventListener('abort', () => socket.destroy(), { once: true });
    const end = (text: string): void => {
      resolve({ isGood: false, text });
      socket.destroy();
    };
    const timer = setTimeout(() => end(`no answer within ${formatDuration(timeoutMs)}`), timeoutMs);
    socket.on('error', (error) => resolve(failed(error)));
    socket.on('close', () => {
      clearTimeout(timer);
      resolve({ isGood: false, text: 'connection closed without an answer' });
    });
    socket.on('secureConnect', () => {
      clearTimeout(timer);
      resolve(socket);
    });
  });
}
