// The HTTP check: asks for a path over a connection of its own, so that it also tells whether
// connecting works, and looks at the status. The body is read and thrown away up to a bound, so
// that an endpoint's log shows no broken connection for each check.
import { type ClientRequest, type IncomingMessage, request } from 'node:http';
import { request as requestTls } from 'node:https';
import type { TLSSocket } from 'node:tls';
import { formatDuration } from '../base/duration.ts';
import type { CheckExpectation, HealthCheck } from '../model/service.ts';
import { searchFor } from './expectation.ts';
import { BODY_BYTES_MAX, hostToAsk, lacking, outcomeOf, USER_AGENT } from './http-outcome.ts';
import { type CheckOutcome, type CheckTarget, failed } from './outcome.ts';
import { openOwn } from './own-connection.ts';

/**
 * `socket`: a connection that is open already; the check's from now on. Throws where the request can't
 * be made of the settings (an odd character in the path).
 */
export async function checkHttp(
  check: HealthCheck,
  target: CheckTarget,
  signal: AbortSignal,
  socket: TLSSocket | null = null,
): Promise<CheckOutcome> {
  const { timeoutMs, expect } = check;
  const sent = send(check, target, signal, socket);
  return new Promise((resolve) => {
    // Bounds the body as well.
    const timer = setTimeout(() => {
      resolve({ isGood: false, text: `no answer within ${formatDuration(timeoutMs)}` });
      sent.destroy();
    }, timeoutMs);
    sent.on('close', () => {
      clearTimeout(timer);
      resolve({ isGood: false, text: 'connection closed without an answer' });
    });
    sent.on('error', (error) => resolve(failed(error)));
    sent.on('response', (response) => {
      const outcome = outcomeOf(check, response.statusCode ?? 0);
      if (outcome.isGood && expect !== null) lookInto(response, expect, { outcome, resolve });
      else {
        resolve(outcome);
        discard(response);
      }
    });
    sent.end();
  });
}

function send(
  check: HealthCheck,
  target: CheckTarget,
  signal: AbortSignal,
  open: TLSSocket | null,
): ClientRequest {
  const { method, path, headers: own } = check;
  const isSecure = open !== null || check.tls !== null;
  const headers = {
    host: hostToAsk(check, target, isSecure),
    'user-agent': USER_AGENT,
    ...own,
    connection: 'close',
  };
  // Made here, so that what is wrong with files is thrown to the caller.
  const socket = open ?? openOwn(check, target, isSecure ? ['http/1.1'] : []);
  const ask = isSecure ? requestTls : request;
  try {
    return ask({ method, path, signal, headers, createConnection: () => socket });
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

interface Looking {
  readonly outcome: CheckOutcome;
  readonly resolve: (outcome: CheckOutcome) => void;
}

/** The body, as far as it is read, has to hold what is expected. */
function lookInto(
  response: IncomingMessage,
  expect: CheckExpectation,
  { outcome, resolve }: Looking,
): void {
  let bytes = 0;
  const search = searchFor(expect);
  const give = (isFound: boolean): void => {
    resolve(isFound ? outcome : lacking(outcome, expect));
  };
  response.on('data', (piece: Buffer) => {
    bytes += piece.length;
    if (search.push(piece)) give(true);
    else if (bytes > BODY_BYTES_MAX) give(false);
    if (bytes > BODY_BYTES_MAX) response.destroy();
  });
  response.on('end', () => give(search.end()));
  response.on('error', () => {});
}

function discard(response: IncomingMessage): void {
  let bytes = 0;
  response.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > BODY_BYTES_MAX) response.destroy();
  });
  // How the body ends is of no interest.
  response.on('error', () => {});
}
