// How an accepted handle, or socket, becomes a wire with TLS.
import type { SecureContext } from 'node:tls';
import type { ServerTls } from '../network.ts';
import { AcceptedCipher, type AcceptedOptions } from './accepted-cipher.ts';
import { protocolList } from './alpn.ts';
import type { ReadBuffers } from './read-buffers.ts';
import type { SystemHandles, TcpHandle } from './system-handles.ts';
import type { Accepted, ServerOptions, TlsParts } from './tls-parts.ts';
import { TlsWire } from './tls-wire.ts';

export interface AcceptingTls {
  readonly parts: TlsParts;
  readonly buffers: ReadBuffers;
  readonly port: number;
}

/** A wire whose handshake begins with the client's first bytes; null where it has no certificate. */
export function acceptTls(
  accepted: Accepted,
  tls: ServerTls,
  { parts, buffers, port }: AcceptingTls,
): TlsWire | null {
  const options = optionsFor(tls, parts);
  if (options === null) return null;
  const { system } = parts;
  if (system === null || !isBare(accepted, tls, system))
    return parts.wrap(accepted, { options, plainReply: tls.plainReply, buffers, port });
  const cipher = cipherOptionsFor(tls, { context: options.secureContext, parts });
  const socket = new AcceptedCipher(system, accepted.handle, buffers.shared.view, cipher);
  const wire = new TlsWire(socket, buffers, { localPort: port });
  socket.wire = wire;
  const { first } = accepted;
  if (first !== undefined) system.soon(() => socket.feed(first));
  socket.start();
  return wire;
}

type BareAccepted = { readonly handle: TcpHandle; readonly first?: Buffer };

/** Whether Node's TLSSocket is not needed: it knows more of certificates of clients. */
function isBare(
  accepted: Accepted,
  { material }: ServerTls,
  { TCP }: SystemHandles,
): accepted is BareAccepted {
  if (material.clientAuth !== 'off') return false;
  if (!('handle' in accepted)) return false;
  return accepted.handle instanceof TCP;
}

const madeBare = new WeakMap<ServerTls, AcceptedOptions>();

function cipherOptionsFor(
  tls: ServerTls,
  { context, parts }: { readonly context: SecureContext; readonly parts: TlsParts },
): AcceptedOptions {
  let options = madeBare.get(tls);
  if (options === undefined) {
    const { material, protocols, plainReply } = tls;
    const isOne = material.certificates.length < 2;
    options = {
      context,
      plainReply,
      protocols: protocolList(protocols),
      choose: isOne ? null : (name) => parts.contextFor(material, name) ?? context,
    };
    madeBare.set(tls, options);
  }
  return options;
}

const made = new WeakMap<ServerTls, ServerOptions>();

/** The same for every connection that gets this TLS. */
function optionsFor(tls: ServerTls, parts: TlsParts): ServerOptions | null {
  const known = made.get(tls);
  if (known !== undefined) return known;
  const { material, protocols } = tls;
  const secureContext = parts.contextFor(material, '');
  if (secureContext === null) return null;
  const { clientAuth } = material;
  const options: ServerOptions = {
    isServer: true,
    secureContext,
    allowHalfOpen: true,
    requestCert: clientAuth !== 'off',
    // Without one, a client that must have it gets an alert; one that is not good is looked at later.
    rejectUnauthorized: clientAuth === 'require',
    ...(protocols.length === 0 ? {} : { ALPNProtocols: [...protocols] }),
    ...(material.certificates.length < 2
      ? {}
      : {
          SNICallback: (name, done) =>
            done(null, parts.contextFor(material, name) ?? secureContext),
        }),
  };
  made.set(tls, options);
  return options;
}
