// One active check: connects to the endpoint, and for type http asks for a path and looks at the
// status. Resolves always; what went wrong is in the text.
import { request } from 'node:http';
import { connect } from 'node:net';
import { formatDuration } from '../base/duration.ts';
import type { HealthCheck } from '../model/service.ts';

export interface ProbeTarget {
  readonly address: string;
  readonly port: number;
}

export interface ProbeOutcome {
  readonly isGood: boolean;
  readonly text: string;
}

/** Checks the target once; `signal` ends it early (the outcome is then of no interest). */
export function probe(
  check: HealthCheck,
  target: ProbeTarget,
  signal: AbortSignal,
): Promise<ProbeOutcome> {
  const at = { address: target.address, port: check.port === 0 ? target.port : check.port };
  return check.type === 'http' ? probeHttp(check, at, signal) : probeTcp(check, at, signal);
}

function probeHttp(
  check: HealthCheck,
  target: ProbeTarget,
  signal: AbortSignal,
): Promise<ProbeOutcome> {
  const { method, path, timeoutMs } = check;
  return new Promise((resolve) => {
    const host = target.address.includes(':') ? `[${target.address}]` : target.address;
    const sent = request(
      {
        host: target.address,
        port: target.port,
        method,
        path,
        // A connection of its own, so that a check also tells whether connecting works.
        agent: false,
        signal,
        headers: {
          host: check.host === '' ? `${host}:${target.port}` : check.host,
          'user-agent': 'upriver-health-check',
          connection: 'close',
        },
      },
      (response) => {
        const status = response.statusCode ?? 0;
        const isGood = check.expectStatus.some(({ from, to }) => status >= from && status <= to);
        // The status is all we want; the body is not waited for.
        response.destroy();
        clearTimeout(timer);
        resolve({ isGood, text: `${method} ${path} answered ${status}` });
      },
    );
    const timer = setTimeout(() => {
      resolve({ isGood: false, text: `no answer within ${formatDuration(timeoutMs)}` });
      sent.destroy();
    }, timeoutMs);
    sent.on('error', (error: NodeJS.ErrnoException) => {
      clearTimeout(timer);
      resolve({ isGood: false, text: textOf(error) });
    });
    sent.end();
  });
}

function probeTcp(
  check: HealthCheck,
  target: ProbeTarget,
  signal: AbortSignal,
): Promise<ProbeOutcome> {
  return new Promise((resolve) => {
    const socket = connect({ host: target.address, port: target.port, signal });
    const finish = (isGood: boolean, text: string): void => {
      clearTimeout(timer);
      resolve({ isGood, text });
      socket.destroy();
    };
    const timer = setTimeout(
      () => finish(false, `no connection within ${formatDuration(check.timeoutMs)}`),
      check.timeoutMs,
    );
    socket.on('connect', () => finish(true, 'connected'));
    socket.on('error', (error: NodeJS.ErrnoException) => finish(false, textOf(error)));
  });
}

function textOf(error: NodeJS.ErrnoException): string {
  if (error.code === 'ECONNREFUSED') return 'connection refused';
  if (error.code === 'ECONNRESET') return 'connection reset';
  return error.code ?? error.message;
}
