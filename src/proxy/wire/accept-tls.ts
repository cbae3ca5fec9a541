// How an accepted handle, or socket, becomes a wire with TLS.
import type { Socket } from 'node:net';
import { contextFor } from '../../model/tls-contexts.ts';
import type { ServerTls } from '../network.ts';
import type { Accepting } from './accept.ts';
import { attach, lastErrors, onSocketData, setFirstView } from './socket-events.ts';
import { type TlsSocketOptions, WiredTlsSocket } from './tls-socket.ts';
import { TlsWire } from './tls-wire.ts';

/** OpenSSL's name for a request line in the place of a ClientHello. */
const HTTP_REQUEST = 'ERR_SSL_HTTP_REQUEST';

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

function feed(socket: WiredTlsSocket, first: Buffer): void {
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
