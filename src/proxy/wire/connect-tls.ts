// Connections to endpoints with TLS: the handshake belongs to connecting, and the certificate is judged
// before a byte of a request is sent.
import { constants } from 'node:crypto';
import { connect, isIP, type Socket } from 'node:net';
import {
  checkServerIdentity,
  createSecureContext,
  type PeerCertificate,
  type SecureContext,
} from 'node:tls';
import type { UpstreamMaterial } from '../../model/tls.ts';
import type { ClientTls, ConnectHandler, Wire, WireTarget } from '../network.ts';
import type { ReadBuffers } from './read-buffers.ts';
import { attach, lastErrors, onSocketData, setFirstView } from './socket-events.ts';
import { WiredTlsSocket } from './tls-socket.ts';
import { type TlsDoor, TlsWire } from './tls-wire.ts';

export interface TlsTarget extends WireTarget {
  readonly tls: ClientTls;
}

const contexts = new WeakMap<UpstreamMaterial, SecureContext>();

function contextOf(material: UpstreamMaterial): SecureContext {
  let context = contexts.get(material);
  if (context === undefined) {
    const { ca, cert, privateKey: key } = material;
    context = createSecureContext({
      // Without a file of its own, Node's list of public CAs; with one that can't be read, none.
      ...(ca === null ? {} : { ca: ca === '' ? [] : ca }),
      ...(cert === '' ? {} : { cert, key }),
      minVersion: 'TLSv1.2',
      secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
    });
    contexts.set(material, context);
  }
  return context;
}

export interface Connecting {
  readonly buffers: ReadBuffers;
  /** What the connection begins with, in plain; null: nothing. */
  readonly introduction: Buffer | null;
  /** False uses Node's public sockets alone. */
  readonly isFast?: boolean;
}

/** As connectWire; onConnect follows the handshake. */
export function connectTls(
  { address, port, tls }: TlsTarget,
  handler: ConnectHandler,
  { buffers, introduction }: Connecting,
): Wire {
  setFirstView(buffers.shared.view);
  const raw = introduction === null ? undefined : connectIntroduced(address, port, introduction);
  const socket = new WiredTlsSocket(raw, {
    isServer: false,
    secureContext: contextOf(tls.material),
    allowHalfOpen: true,
    ...(tls.protocols.length === 0 ? {} : { ALPNProtocols: [...tls.protocols] }),
    ...(tls.session === null ? {} : { session: tls.session }),
  });
  const judge = (): string => problemOf(socket, tls);
  const wire = new TlsWire(socket, buffers, { localPort: 0, judge });
  wire.handler = handler;
  attach(socket, wire);
  socket.on('secure', onSecure);
  socket.on('_tlsError', onTlsError);
  socket.takeSessions(tls);
  const serverName = isIP(tls.serverName) === 0 ? tls.serverName : '';
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
  getPeerCertificate(isDetailed: true): PeerCertificate;
}

/** Why the endpoint is not who it should be, as `CODE: text`; '' where it is. */
export function problemOf(socket: JudgedDoor, tls: ClientTls): string {
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
  const other = checkServerIdentity(tls.serverName, socket.getPeerCertificate(true));
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
