// Connections to endpoints with TLS: the handshake belongs to connecting, and the certificate is judged
// before a byte of a request is sent.
import { connect, isIP, type Socket } from 'node:net';
import { checkServerIdentity, type PeerCertificate } from 'node:tls';
import type { ClientTls, ConnectHandler, Wire, WireTarget } from '../network.ts';
import { protocolList } from './alpn.ts';
import { EndpointCipher } from './endpoint-cipher.ts';
import { newHandle } from './handle-socket.ts';
import { nodeTls } from './node-tls.ts';
import type { ReadBuffers } from './read-buffers.ts';
import { sessionOf } from './session-keeper.ts';
import { attach, lastErrors, onSocketData, setFirstView } from './socket-events.ts';
import type { SystemHandles } from './system-handles.ts';
import type { TlsParts } from './tls-parts.ts';
import { WiredTlsSocket } from './tls-socket.ts';
import { type TlsDoor, TlsWire } from './tls-wire.ts';

export interface TlsTarget extends WireTarget {
  readonly tls: ClientTls;
}

export interface Connecting {
  readonly buffers: ReadBuffers;
  /** What the connection begins with, in plain; null: nothing. */
  readonly introduction: Buffer | null;
  /** False uses Node's public sockets alone. */
  readonly isFast?: boolean;
}

/** How a connection is made over the system's handle. */
export interface ConnectingHandle extends Connecting {
  readonly system: SystemHandles;
  readonly parts: Pick<TlsParts, 'clock' | 'upstreamContext'>;
  /** 4 or 6, of the address. */
  readonly family: number;
}

/** As connectTls, over the system's handle. */
export function connectCipher(
  { address, port, tls }: TlsTarget,
  handler: ConnectHandler,
  { system, parts, family, buffers, introduction }: ConnectingHandle,
): Wire {
  const socket = new EndpointCipher(system, newHandle(system), buffers.shared.view, {
    context: parts.upstreamContext(tls.material),
    protocols: protocolList(tls.protocols),
    serverName: nameOf(tls),
    session: sessionOf(tls, parts.clock.wallMs()),
    store: tls,
    introduction,
  });
  const judge = (): string => problemOf(socket, tls);
  const wire = new TlsWire(socket, buffers, { localPort: 0, judge });
  wire.handler = handler;
  socket.wire = wire;
  socket.connect(address, port, family);
  return wire;
}

/** An address is not asked for (RFC 6066 section 3). */
const nameOf = ({ serverName }: ClientTls) => (isIP(serverName) === 0 ? serverName : '');

/** As connectWire, over sockets of Node's; onConnect follows the handshake. */
export function connectTls(
  { address, port, tls }: TlsTarget,
  handler: ConnectHandler,
  { buffers, introduction }: Connecting,
): Wire {
  setFirstView(buffers.shared.view);
  const session = sessionOf(tls, nodeTls.clock.wallMs());
  const raw = introduction === null ? undefined : connectIntroduced(address, port, introduction);
  const socket = new WiredTlsSocket(raw, {
    isServer: false,
    secureContext: nodeTls.upstreamContext(tls.material),
    allowHalfOpen: true,
    ...(tls.protocols.length === 0 ? {} : { ALPNProtocols: [...tls.protocols] }),
    ...(session === null ? {} : { session }),
  });
  const judge = (): string => problemOf(socket, tls);
  const wire = new TlsWire(socket, buffers, { localPort: 0, judge });
  wire.handler = handler;
  attach(socket, wire);
  socket.on('secure', onSecure);
  socket.on('_tlsError', onTlsError);
  socket.takeSessions(tls);
  const serverName = nameOf(tls);
  if (raw === undefined) socket.begin({ address, port, serverName });
  else {
    socket.on('data', onSocketData);
    raw.on('error', (error) => {
      lastErrors.set(socket, error);
      socket.destroy();
    });
    socket.beginOver(serverName);
  }
  return wire;
}

/**
 * A socket of Node's that says the introduction as soon as it is connected. Node's TLS waits for that,
 * and is told of it after the socket itself: the ClientHello comes second.
 */
function connectIntroduced(host: string, port: number, introduction: Buffer): Socket {
  const raw = connect({ host, port, noDelay: true, autoSelectFamily: false, allowHalfOpen: true });
  raw.write(introduction);
  return raw;
}

/** What checkServerIdentity gives back: `message` says the same behind a sentence of its own. */
interface CertificateMismatch extends Error {
  readonly reason?: string;
}

/** What is known of an endpoint after the handshake. */
export interface JudgedDoor extends TlsDoor {
  getPeerCertificate(): PeerCertificate;
  /** Sessions of this connection are good until then, ms since the epoch. */
  certifiedUntil(untilMs: number): void;
}

/** Why the endpoint is not who it should be, as `CODE: text`; '' where it is. */
function problemOf(socket: JudgedDoor, tls: ClientTls): string {
  const { protocols } = tls;
  const isH2Alone = protocols.length === 1 && protocols[0] === 'h2';
  if (isH2Alone && socket.alpnProtocol !== 'h2') return 'ERR_TLS_NO_H2: no HTTP/2 by ALPN';
  if (!tls.verify) return '';
  const untrusted = socket.peerProblem;
  if (untrusted !== null) {
    return `ERR_TLS_UNTRUSTED: ${untrusted.message} (${untrusted.code ?? 'no code'})`;
  }
  // As Node's own client: the session was begun with the right one.
  if (socket.isSessionReused()) return '';
  const certificate = socket.getPeerCertificate();
  socket.certifiedUntil(Date.parse(certificate.valid_to));
  const other = checkServerIdentity(tls.serverName, certificate);
  return other === undefined
    ? ''
    : `ERR_TLS_WRONG_NAME: ${(other as CertificateMismatch).reason || other.message}`;
}

function onSecure(this: WiredTlsSocket): void {
  this.wire!.secured();
  if (this.wire!.tls !== null) this.believed();
}

function onTlsError(this: WiredTlsSocket, error: NodeJS.ErrnoException): void {
  lastErrors.set(this, error);
}
