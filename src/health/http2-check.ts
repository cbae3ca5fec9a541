// Checks over HTTP/2, by prior knowledge or TLS, each on a connection of its own: the HTTP check of a
// service whose endpoints speak it, and gRPC's own health protocol (grpc.health.v1.Health/Check).
import { connect, type IncomingHttpHeaders, type OutgoingHttpHeaders } from 'node:http2';
import type { TLSSocket } from 'node:tls';
import { formatDuration } from '../base/duration.ts';
import { formatHostPort } from '../base/host-text.ts';
import type { CheckExpectation, HealthCheck } from '../model/service.ts';
import { searchFor } from './expectation.ts';
import { BODY_BYTES_MAX, hostToAsk, lacking, outcomeOf, USER_AGENT } from './http-outcome.ts';
import { type CheckOutcome, type CheckTarget, failed } from './outcome.ts';
import { openOwn } from './own-connection.ts';

/** What the service answers in field 1, an enumeration (grpc/health/v1/health.proto). */
const SERVING_STATUSES = ['UNKNOWN', 'SERVING', 'NOT_SERVING', 'SERVICE_UNKNOWN'];
const SERVING = 1;
const MESSAGE_HEADER_BYTES = 5;

interface Answer {
  readonly status: number;
  /** Headers and trailers. */
  readonly fields: IncomingHttpHeaders;
  readonly body: Buffer;
}

/** As checkHttp. `socket`: a connection that is open, on which HTTP/2 was agreed; the check's from now on. */
export async function checkHttp2(
  check: HealthCheck,
  target: CheckTarget,
  signal: AbortSignal,
  socket: TLSSocket | null = null,
): Promise<CheckOutcome> {
  const { method, path, expect, headers } = check;
  return ask(check, target, signal, {
    headers: { ...headers, ':method': method, ':path': path },
    body: null,
    socket,
    judge: ({ status, body }) => {
      const outcome = outcomeOf(check, status);
      const isLacking = outcome.isGood && expect !== null && !holds(body, expect);
      return isLacking ? lacking(outcome, expect) : outcome;
    },
  });
}

function holds(body: Buffer, expect: CheckExpectation): boolean {
  const search = searchFor(expect);
  return search.push(body) || search.end();
}

/** Whether gRPC's health service says that the endpoint, or a service of it, is serving. */
export async function checkGrpc(
  check: HealthCheck,
  target: CheckTarget,
  signal: AbortSignal,
): Promise<CheckOutcome> {
  const name = Buffer.from(check.grpcService);
  // A message without compression; its field 1 is the name, left out where that is empty.
  const message = name.length === 0 ? [] : [0x0a, ...lengthOf(name), ...name];
  const header = Buffer.alloc(MESSAGE_HEADER_BYTES);
  header.writeUInt32BE(message.length, 1);
  return ask(check, target, signal, {
    headers: {
      ':method': 'POST',
      ':path': '/grpc.health.v1.Health/Check',
      te: 'trailers',
      'content-type': 'application/grpc',
    },
    body: Buffer.concat([header, Buffer.from(message)]),
    socket: null,
    judge: judgeGrpc,
  });
}

/** A length as protobuf has it: seven bits a byte. */
function lengthOf({ length }: Buffer): number[] {
  return length < 128 ? [length] : [(length & 127) | 128, length >>> 7];
}

function judgeGrpc({ status, fields, body }: Answer): CheckOutcome {
  const code = String(fields['grpc-status'] ?? '');
  if (status !== 200) return { isGood: false, text: `answered ${status}` };
  if (code !== '0') {
    const message = decode(String(fields['grpc-message'] ?? ''));
    return { isGood: false, text: `grpc-status ${code}${message === '' ? '' : `: ${message}`}` };
  }
  // Nothing, as protobuf leaves out what is 0; or 08, and the number.
  const message = body.subarray(MESSAGE_HEADER_BYTES);
  const answered = message.length >= 2 && message[0] === 0x08 ? message[1]! : 0;
  return { isGood: answered === SERVING, text: SERVING_STATUSES[answered] ?? `status ${answered}` };
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

interface Question {
  readonly headers: OutgoingHttpHeaders;
  readonly body: Buffer | null;
  readonly socket: TLSSocket | null;
  readonly judge: (answer: Answer) => CheckOutcome;
}

/** A connection to the target, as its service says that it is spoken to. */
function open(check: HealthCheck, target: CheckTarget, socket: TLSSocket | null) {
  const { address, port } = target;
  const shown = formatHostPort(address, port);
  const isSecure = socket !== null || check.tls !== null;
  const way = socket ?? openOwn(check, target, isSecure ? ['h2'] : []);
  return connect(`${isSecure ? 'https' : 'http'}://${shown}`, { createConnection: () => way });
}

function ask(
  check: HealthCheck,
  target: CheckTarget,
  signal: AbortSignal,
  { headers, body, socket, judge }: Question,
): Promise<CheckOutcome> {
  const { timeoutMs } = check;
  return new Promise((resolve) => {
    const session = open(check, target, socket);
    const end = (outcome: CheckOutcome): void => {
      clearTimeout(timer);
      resolve(outcome);
      session.destroy();
    };
    const timer = setTimeout(() => {
      end({ isGood: false, text: `no answer within ${formatDuration(timeoutMs)}` });
    }, timeoutMs);
    signal.addEventListener('abort', () => end({ isGood: false, text: 'ended' }), { once: true });
    session.on('error', (error) => end(failed(error)));
    session.on('close', () => end({ isGood: false, text: 'connection closed without an answer' }));
    const isSecure = socket !== null || check.tls !== null;
    const authority = hostToAsk(check, target, isSecure);
    const stream = session.request(
      { 'user-agent': USER_AGENT, ...headers, ':authority': authority },
      { endStream: body === null },
    );
    if (body !== null) stream.end(body);
    let fields: IncomingHttpHeaders = {};
    const pieces: Buffer[] = [];
    let bytes = 0;
    const done = (): void => {
      const status = Number(fields[':status'] ?? 0);
      if (status > 0) end(judge({ status, fields, body: Buffer.concat(pieces) }));
      else end({ isGood: false, text: 'stream closed without an answer' });
    };
    stream.on('response', (head) => {
      fields = head;
    });
    stream.on('trailers', (trailers) => {
      fields = { ...fields, ...trailers };
    });
    stream.on('data', (piece: Buffer) => {
      bytes += piece.length;
      if (bytes <= BODY_BYTES_MAX) pieces.push(piece);
      else done();
    });
    // What ended the connection says more than that it ended the stream.
    stream.on('error', (error) => end(failed(error.cause ?? error)));
    stream.on('close', done);
  });
}
