// The connection of a check, made as those of traffic are: the PROXY header first where endpoints expect
// one, then TLS where they speak it.
import { connect, type Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import type { HealthCheck } from '../model/service.ts';
import type { CheckTarget } from './outcome.ts';
import { ownHeader } from './own-header.ts';
import { checkTls } from './tls-options.ts';

/**
 * A connection that is being opened; its errors are those of either layer. `protocols`: offered by ALPN.
 * Throws what the system or OpenSSL says of files.
 */
export function openOwn(
  check: HealthCheck,
  { address: host, port, hostName }: CheckTarget,
  protocols: readonly string[] = [],
): Socket {
  const header = ownHeader(check);
  if (check.tls === null) {
    const socket = connect({ host, port, noDelay: true });
    if (header !== null) socket.write(header);
    return socket;
  }
  const trust = checkTls(check.tls, hostName ?? host);
  const options = protocols.length === 0 ? trust : { ...trust, ALPNProtocols: [...protocols] };
  return header === null
    ? connectTls({ host, port, ...options })
    : behind(header, connect({ host, port, noDelay: true }), { host, ...options });
}

/** The event by which such a connection tells that it can be spoken over. */
export function openEvent({ tls }: HealthCheck): 'connect' | 'secureConnect' {
  return tls === null ? 'connect' : 'secureConnect';
}

function behind(header: Buffer, raw: Socket, options: object): TLSSocket {
  raw.write(header);
  const secure = connectTls({ socket: raw, ...options });
  raw.on('error', (error) => secure.destroy(error));
  secure.on('close', () => raw.destroy());
  return secure;
}
