// TLS on the stats port. The first byte of a connection tells a ClientHello from a request in plain,
// which is answered with what to do. A handshake begins when its first record is whole, a few at a time
// and address by address (base/fair-turns.ts): it costs the main thread a millisecond. This machine is not asked for a certificate of its own: health
// checks, commands and the next process of an upgrade reach the port over loopback.
import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import { type SecureContext, TLSSocket } from 'node:tls';
import { systemClock } from '../base/clock.ts';
import { type Applicant, FairTurns } from '../base/fair-turns.ts';
import type { TlsMaterial } from '../model/tls.ts';
import { contextFor } from '../model/tls-contexts.ts';
import { type Connections, PLACES_MAX } from './connections.ts';
import type { Reading } from './reading.ts';

/** From the connection to the end of the handshake. */
const HANDSHAKE_MS = 5000;
/** For who spoke plainly to read why that is wrong. */
const PLAIN_MS = 1000;
/**
 * What is decrypted ahead of who reads it. A read of the system's may hold hundreds of records, each of which costs a
 * buffer; with Node's default a client that is held back could have a thousand times as many waiting.
 */
const READ_BYTES = 1024;
/** Type of the record that a ClientHello comes in, bytes before its content, and of that (RFC 8446 section 5.1). */
const HANDSHAKE_RECORD = 0x16;
const RECORD_HEAD = 5;
const RECORD_MAX = 2 ** 14;
/**
 * Handshakes; as many may wait as there are places. Those that wait have half of the thread at most, and those of
 * an address that has few do not wait for them: who asks at a constant rate has a few at once after a stall of the
 * thread, and would then wait behind a crowd for good.
 */
const LIMITS = {
  straightMax: 4,
  beginsATurn: 1,
  underWayMax: 32,
  staleMs: 1000,
  restMs: 4,
  newcomersATurn: 4,
  fewMax: 4,
  waitingMax: PLACES_MAX,
};

const PLAIN_BODY = '{"error":"this port speaks TLS: ask it by https://"}\n';
const PLAIN_REPLY =
  'HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nConnection: close\r\n' +
  `X-Upriver-Reason: plain-http\r\nContent-Length: ${PLAIN_BODY.length}\r\n\r\n${PLAIN_BODY}`;

/** What is in use now; null where there is nothing. Asked at each handshake. */
export type MaterialNow = () => TlsMaterial | null;

/** Undocumented; test/observe/over-tls.test.ts looks for it on the Node that is shipped. */
interface Verified {
  readonly ssl?: { verifyError(): Error | null } | null;
}

/** Connections of this server speak TLS from now on; each keeps its place through the handshake. */
export function speakTls(
  server: Server,
  { connections, reading }: { connections: Connections; reading: Reading },
  now: MaterialNow,
): void {
  // Node's own, which reads requests: it gets the connections that are secured.
  const serve = server.listeners('connection');
  server.removeAllListeners('connection');
  const contexts = new Contexts(now);
  const turns = new FairTurns({ ...LIMITS, clock: systemClock });
  server.on('connection', (raw: Socket) => {
    const connection = connections.add(raw);
    if (connection === null) return;
    const begin = (done: () => void): void => {
      connections.securing(connection);
      secure({ raw, isLocal: connection.isLocal }, contexts, (socket) => {
        done();
        if (connections.secured(raw, socket) === null) return;
        for (const listener of serve) listener.call(server, socket);
        reading.read(socket, connection);
      });
    };
    // What listens to the socket holds it.
    const arrival = new Arrival(raw, { turns, begin });
    connection.onLost = arrival.leave;
  });
}

/** reading -> waiting -> under way -> secured; closed on the way, whatever befalls it. */
class Arrival implements Applicant {
  readonly address: string;
  private readonly raw: Socket;
  private readonly turns: FairTurns;
  /** Begins the handshake; calls `done` when its connection is to be served. */
  private readonly onTurn: (done: () => void) => void;
  private readonly timer: NodeJS.Timeout;
  private bytes: Buffer = Buffer.alloc(0);

  constructor(raw: Socket, { turns, begin }: { turns: FairTurns; begin: Arrival['onTurn'] }) {
    this.raw = raw;
    this.turns = turns;
    this.onTurn = begin;
    this.address = raw.remoteAddress ?? '';
    this.timer = setTimeout(this.onLate, HANDSHAKE_MS).unref();
    raw.on('data', this.onData).on('end', this.onLate);
    raw.on('error', this.onLate).once('close', this.leave);
  }

  begin(): void {
    this.onTurn(this.leave);
  }

  cut(): void {
    this.raw.destroy();
  }

  private readonly onLate = (): void => {
    this.raw.destroy();
  };

  /** It waits no more: it has begun, has ended, or will be closed. */
  readonly leave = (): void => {
    clearTimeout(this.timer);
    this.turns.leave(this);
  };

  private readonly onData = (piece: Buffer): void => {
    const { raw, turns } = this;
    this.bytes = this.bytes.length === 0 ? piece : Buffer.concat([this.bytes, piece]);
    const isTls = this.bytes[0] === HANDSHAKE_RECORD;
    if (isTls && !isRecordWhole(this.bytes)) return;
    raw.pause();
    raw.off('data', this.onData);
    if (!isTls) return answerPlain(raw);
    raw.off('end', this.onLate);
    raw.unshift(this.bytes);
    if (!turns.hasRoom && !turns.mayOvertake(this.address)) return turns.wait(this);
    turns.begun(this);
    this.begin();
  };
}

/** Whether the first record is there, or is one that TLS refuses by its length. */
function isRecordWhole(bytes: Buffer): boolean {
  if (bytes.length < RECORD_HEAD) return false;
  const length = bytes.readUInt16BE(RECORD_HEAD - 2);
  return length > RECORD_MAX || bytes.length >= RECORD_HEAD + length;
}

/** Calls `done` with a connection whose client has shown what it has to. */
function secure(
  { raw, isLocal }: { raw: Socket; isLocal: boolean },
  contexts: Contexts,
  done: (socket: TLSSocket) => void,
): void {
  const { material } = contexts;
  const secureContext = contexts.of('');
  if (material === null || secureContext === null) {
    raw.destroy();
    return;
  }
  const needsCertificate = material.clientAuth === 'require' && !isLocal;
  // The types don't know of the mark, which Node gives to the socket.
  const mark: object = { highWaterMark: READ_BYTES };
  const socket = new TLSSocket(raw, {
    ...mark,
    isServer: true,
    secureContext,
    requestCert: material.clientAuth !== 'off',
    // Without one it gets an alert; one that is not good is looked at below.
    rejectUnauthorized: needsCertificate,
    ALPNProtocols: ['http/1.1'],
    SNICallback: (name, answer) => answer(null, contexts.of(name) ?? secureContext),
  });
  const fail = (): void => {
    socket.destroy();
  };
  socket.on('error', fail);
  socket.on('_tlsError', fail);
  socket.once('secure', () => {
    const hasCertificate = socket.getPeerX509Certificate() !== undefined;
    const isBad = hasCertificate && (socket as Verified).ssl?.verifyError() != null;
    if (isBad || (needsCertificate && !hasCertificate)) return fail();
    done(socket);
  });
}

function answerPlain(raw: Socket): void {
  raw.setTimeout(PLAIN_MS, () => raw.destroy());
  // What it sends beside is not wanted, and must not reset the answer.
  raw.resume();
  raw.end(PLAIN_REPLY);
}

/** The secure contexts of what is in use now. */
class Contexts {
  private readonly now: MaterialNow;
  private known: TlsMaterial | null = null;
  private own: TlsMaterial | null = null;

  constructor(now: MaterialNow) {
    this.now = now;
  }

  /** As the store has it, with sessions that no listener resumes: others are asked for there. */
  get material(): TlsMaterial | null {
    const found = this.now();
    if (found !== this.known) {
      this.known = found;
      this.own = found === null ? null : { ...found, key: `stats ${found.key}` };
    }
    return this.own;
  }

  of(serverName: string): SecureContext | null {
    const { material } = this;
    return material === null ? null : contextFor(material, serverName);
  }
}
