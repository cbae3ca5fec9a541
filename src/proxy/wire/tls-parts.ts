// The door below TLS: what encrypts, and what connections are held by. Node's in production (node-tls.ts);
// a simulator's has the shape of TLS without its cryptography. Asked once for each connection.
import type { SecureContext } from 'node:tls';
import type { WorkerClock } from '../../base/clock.ts';
import type { TlsMaterial, UpstreamMaterial } from '../../model/tls.ts';
import type { RawSocket } from './raw-socket.ts';
import type { ReadBuffers } from './read-buffers.ts';
import type { SystemHandles } from './system-handles.ts';
import type { TlsDoor, TlsWire } from './tls-wire.ts';

/**
 * What the connection came in as: the system's handle, with what was read of it already (`first`), or a
 * socket of Node's.
 */
export type Accepted =
  | { readonly handle: unknown; readonly first?: Buffer }
  | { readonly socket: RawSocket };

/** Of a connection that is accepted; the names are those of Node's TLSSocket. */
export interface ServerOptions {
  readonly isServer: true;
  readonly secureContext: SecureContext;
  readonly allowHalfOpen: true;
  readonly requestCert: boolean;
  readonly rejectUnauthorized: boolean;
  readonly ALPNProtocols?: string[];
  readonly SNICallback?: (
    name: string,
    done: (error: Error | null, context?: SecureContext) => void,
  ) => void;
}

export interface Wrapping {
  readonly options: ServerOptions;
  /** For a client that speaks HTTP without TLS; empty: nothing. */
  readonly plainReply: Buffer;
  readonly buffers: ReadBuffers;
  readonly port: number;
}

/** A socket below a TlsWire that may be fed with what was read before. */
export interface FedDoor extends TlsDoor {
  feed(bytes: Buffer): void;
}

export interface TlsParts {
  readonly clock: WorkerClock;
  /** Null where they are not known: `wrap` does for all then. */
  readonly system: SystemHandles | null;
  /** The certificate for the name that a client asks for; null where there is none at all. */
  contextFor(material: TlsMaterial, serverName: string): SecureContext | null;
  /** What connections to endpoints are made with. */
  upstreamContext(material: UpstreamMaterial): SecureContext;
  /** A wire where an AcceptedCipher does not serve: it reads what `accepted` has read first. */
  wrap(accepted: Accepted, wrapping: Wrapping): TlsWire;
}
