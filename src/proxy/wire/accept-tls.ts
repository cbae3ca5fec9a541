// How an accepted handle, or socket, becomes a wire with TLS.
import type { Socket } from 'node:net';
import type { SecureContext } from 'node:tls';
import { contextFor } from '../../model/tls-contexts.ts';
import type { ServerTls } from '../network.ts';
import type { Accepting } from './accept.ts';
import { type CipherOptions, CipherSocket } from './cipher-socket.ts';
import { attach, lastErrors, onSocketData, setFirstView } from './socket-events.ts';
import { systemHandles, type TcpHandle } from './system-handles.ts';
import { HTTP_REQUEST, type TlsSocketOptions, WiredTlsSocket } from './tls-socket.ts';
import { TlsWire } from './tls-wire.ts';

/**
 * What the connection came in as: the system's handle, with what was read of it already (`first`), or a
 * socket of Node's.
 */
export type Accepted =
  | { readonly handle: unknown; readonly first?: Buffer }
  | { readonly socket: Socket };

/** A wire whose handshake begins with the client's first bytes; null where it has no certificate. */
export function acceptTls(
  accepted: Accepted,
  tls: ServerTls,
  accepting: Accepting,
): TlsWire | null {
  const options = optionsFor(tls);
  if (options === null) return null;
  const { buffers, readBuffer, port } = accepting;
  const buffer = buffers.of(readBuffer);
  if (isBare(accepted, tls)) {
    const cipher = cipherOptionsFor(tls, options.secureContext!);
    const socket = new CipherSocket(systemHandles!, accepted.handle, buffer.view, cipher);
    const wire = new TlsWire(socket, buffers, { buffer, localPort: port });
    socket.wire = wire;
    if (accepted.first !== undefined) process.nextTick(feed, socket, accepted.first);
    socket.start();
    return wire;
  }
  setFirstView(buffer.view);
  const socket =
    'handle' in accepted
      ? new WiredTlsSocket(undefined, { ...options, handle: accepted.handle })
      : new WiredTlsSocket(accepted.socket, options);
  const wire = new TlsWire(socket, buffers, { buffer, localPort: port });
  attach(socket, wire);
  if ('socket' in accepted) socket.on('data', onSocketData);
  else if (accepted.first !== undefined) process.nextTick(feed, socket, accepted.first);
  socket.on('secure', onSecure);
  socket.on('_tlsError', onTlsError);
  if (tls.plainReply.length > 0) socket.plainReply = tls.plainReply;
  return wire;
}

type BareAccepted = { readonly handle: TcpHandle; readonly first?: Buffer };

/** Whether Node's TLSSocket is not needed: it knows more of certificates of clients. */
function isBare(accepted: Accepted, { material }: ServerTls): accepted is BareAccepted {
  if (systemHandles === null || !('handle' in accepted) || material.clientAuth !== 'off')
    return false;
  return accepted.handle instanceof systemHandles.TCP;
}

const madeBare = new WeakMap<ServerTls, CipherOptions>();

function cipherOptionsFor(tls: ServerTls, context: SecureContext): CipherOptions {
  let options = madeBare.get(tls);
  if (options === undefined) {
    const { material, protocols, plainReply } = tls;
    const isOne = material.certificates.length < 2;
    options = {
      ...{ context, plainReply, protocols: protocolList(protocols) },
      choose: isOne ? null : (name) => contextFor(material, name) ?? context,
    };
    madeBare.set(tls, options);
  }
  return options;
}

/** RFC 7301 section 3.1: each name behind its length; null for none. */
function protocolList(protocols: readonly string[]): Buffer | null {
  if (protocols.length === 0) return null;
  return Buffer.concat(
    protocols.map((one) => Buffer.from(`${String.fromCharCode(one.length)}${one}`)),
  );
}

function feed(socket: WiredTlsSocket | CipherSocket, first: Buffer): void {
  socket.feed(first);
}

const made = new WeakMap<ServerTls, TlsSocketOptions>();

/** The same for every connection that gets this TLS. */
function optionsFor(tls: ServerTls): TlsSocketOptions | null {
  const known = made.get(tls);
  if (known !== undefined) return known;
  const { material, protocols } = tls;
  const secureContext = contextFor(material, '');
  if (secureContext === null) return null;
  const { clientAuth } = material;
  const options: TlsSocketOptions = {
    isServer: true,
    secureContext,
    allowHalfOpen: true,
    requestCert: clientAuth !== 'off',
    // Without one, a client that must have it gets an alert; one that is not good is looked at later.
    rejectUnauthorized: clientAuth === 'require',
    ...(protocols.length === 0 ? {} : { ALPNProtocols: [...protocols] }),
    ...(material.certificates.length < 2
      ? {}
      : { SNICallback: (name, done) => done(null, contextFor(material, name) ?? secureContext) }),
  };
  made.set(tls, options);
  return options;
}

function onSecure(this: WiredTlsSocket): void {
  this.wire!.secured();
}

function onTlsError(this: WiredTlsSocket, error: NodeJS.ErrnoException): void {
  lastErrors.set(this, error);
  if (error.code === HTTP_REQUEST && this.plainReply !== null) this.answerPlain(this.plainReply);
}
