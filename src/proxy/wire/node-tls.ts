// TLS as Node has it.
import { constants } from 'node:crypto';
import { Socket } from 'node:net';
import { createSecureContext, type SecureContext } from 'node:tls';
import { systemClock } from '../../base/clock.ts';
import type { UpstreamMaterial } from '../../model/tls.ts';
import { contextFor } from '../../model/tls-contexts.ts';
import { attach, lastErrors, onSocketData, setFirstView } from './socket-events.ts';
import { systemHandles } from './system-handles.ts';
import type { Accepted, TlsParts, Wrapping } from './tls-parts.ts';
import { HTTP_REQUEST, WiredTlsSocket } from './tls-socket.ts';
import { TlsWire } from './tls-wire.ts';

export const nodeTls: TlsParts = {
  clock: systemClock,
  system: systemHandles,
  contextFor,
  upstreamContext,
  wrap,
};

const upstreamContexts = new WeakMap<UpstreamMaterial, SecureContext>();

function upstreamContext(material: UpstreamMaterial): SecureContext {
  let context = upstreamContexts.get(material);
  if (context === undefined) {
    const { ca, cert, privateKey: key } = material;
    context = createSecureContext({
      // Without a file of its own, Node's list of public CAs; with one that can't be read, none.
      ...(ca === null ? {} : { ca: ca === '' ? [] : ca }),
      ...(cert === '' ? {} : { cert, key }),
      minVersion: 'TLSv1.2',
      secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
    });
    upstreamContexts.set(material, context);
  }
  return context;
}

/** Over Node's TLSSocket, which knows more of certificates of clients, and of what is no TCP. */
function wrap(accepted: Accepted, { options, plainReply, buffers, port }: Wrapping): TlsWire {
  setFirstView(buffers.shared.view);
  const socket =
    'handle' in accepted
      ? new WiredTlsSocket(undefined, { ...options, handle: accepted.handle })
      : new WiredTlsSocket(socketOf(accepted.socket), options);
  const wire = new TlsWire(socket, buffers, { localPort: port });
  attach(socket, wire);
  if ('socket' in accepted) socket.on('data', onSocketData);
  else if (accepted.first !== undefined) process.nextTick(feed, socket, accepted.first);
  socket.on('secure', onSecure);
  socket.on('_tlsError', onTlsError);
  if (plainReply.length > 0) socket.plainReply = plainReply;
  return wire;
}

/** Here all of them are Node's. */
function socketOf(raw: unknown): Socket {
  if (raw instanceof Socket) return raw;
  throw new Error('a socket that is not of Node');
}

function feed(socket: WiredTlsSocket, first: Buffer): void {
  socket.feed(first);
}

function onSecure(this: WiredTlsSocket): void {
  this.wire!.secured();
}

function onTlsError(this: WiredTlsSocket, error: NodeJS.ErrnoException): void {
  lastErrors.set(this, error);
  if (error.code === HTTP_REQUEST && this.plainReply !== null) this.answerPlain(this.plainReply);
}
