// The door to the network: what the data plane sees of connections and listeners. The composition
// root gives it: Node's sockets in a worker (wire/node-network.ts), a simulated network in `sim/`.
import type { ListenAddress } from '../model/listener.ts';
import type { KeepAlive } from '../model/service.ts';
import type { TlsMaterial, UpstreamMaterial } from '../model/tls.ts';
import type { ProxyPeer } from './proxy-protocol/proxy-header.ts';
import type { ReadBuffer } from './wire/read-buffers.ts';

/** One object per connection, attached once. */
export interface WireHandler {
  /**
   * base[start,end) has arrived and is the handler's until it returns: consume, forward or copy.
   * HEADROOM bytes before `start` and TAILROOM after `end` may be overwritten.
   */
  onBytes(base: Buffer, start: number, end: number): void;
  /** The peer will send no more; it may still read. */
  onEnd(): void;
  /** Everything that was written is with the kernel. */
  onDrain(): void;
  /** The connection is gone; once, and last. */
  onClose(error: NodeJS.ErrnoException | null): void;
  /** One of these has thrown: a rule of ours is broken. Without this, it throws through Node. */
  onBug?(error: unknown): void;
  /** The handshake is done, `tls` is there; before any bytes. For wires that were `isHandshaking`. */
  onSecure?(): void;
}

/** A client's certificate, which one of the CAs asked for has issued. */
export interface PeerCertificate {
  /** RFC 4514, the most specific part first: `CN=alice,O=Example`. */
  readonly subject: string;
  /** SHA-256 of the certificate, lower-case hexadecimal. */
  readonly fingerprint: string;
}

/** What a TLS handshake came to. */
export interface TlsFacts {
  /** `TLSv1.3` */
  readonly version: string;
  readonly cipher: string;
  /** The name that the client asked for, lower case; '' for none. */
  readonly serverName: string;
  /** By ALPN: `h2`, `http/1.1`; '' for none. */
  readonly protocol: string;
  /** The session was resumed: no certificate was sent. */
  readonly isResumed: boolean;
  /** The client's; null where it has none. On the upstream side null. */
  readonly peer: PeerCertificate | null;
}

/** TLS as a connection that is accepted gets it. */
export interface ServerTls {
  readonly material: TlsMaterial;
  /** Protocols by ALPN, the preferred first; none leaves it out. */
  readonly protocols: readonly string[];
  /** Sent in plain to a client that speaks HTTP without TLS; empty: it is closed. */
  readonly plainReply: Buffer;
  /** How long the ClientHello may take where it is read before the handshake begins, ms. */
  readonly helloMs: number;
}

/** A look into what a client says before its TLS is chosen. */
export interface HelloPeek {
  /** Takes a place among those that are looked into; false: there is none, and `tls` decides. */
  readonly begin: () => boolean;
  /** How long the ClientHello may take, ms. */
  readonly timeoutMs: number;
  /** By the bytes that came so far: `more` are needed, null is the usual TLS. */
  readonly choose: (bytes: Buffer) => ServerTls | 'more' | null;
  /** Gives the place back. */
  readonly done: () => void;
}

export interface ConnectHandler extends WireHandler {
  /** The connection is open; before any other event but onClose. */
  onConnect(): void;
}

/** One connection. `wire/socket-wire.ts` is the one implementation, over a socket of Node's or not. */
export interface Wire {
  /** Who gets the events; replaced when the connection changes hands. */
  handler: WireHandler;
  /** The port that the client came in by; 0 for a unix socket, and on the upstream side. */
  readonly localPort: number;
  /** The peer's address; IPv4 as itself, also on a dual-stack listener. */
  readonly remoteAddress: string;
  readonly remotePort: number;
  /** The peer said by a PROXY protocol header who the client is; then `remoteAddress` is that. */
  readonly isIntroduced: boolean;
  /** Where the client has connected to; null where that is not known. */
  readonly destination: ProxyPeer | null;
  /** The number of its file descriptor; -1 where it has none any more. */
  readonly descriptor: number;
  /** Whether the kernel has everything that was written. */
  readonly isFlushed: boolean;
  /** Whether both sides may still send. */
  readonly isOpen: boolean;
  /** What is written does not stay referenced, whatever `write` returns: it is encrypted at once, or copied. */
  readonly isCopying: boolean;
  /** Null where the connection is plain, and until the handshake is done. */
  readonly tls: TlsFacts | null;
  /** A TLS handshake is under way: nothing may be written before onSecure. */
  readonly isHandshaking: boolean;
  /**
   * Sends bytes. True: the kernel took them whole, and the buffer is the caller's again. False:
   * they stay referenced until onDrain.
   */
  write(bytes: Buffer): boolean;
  /**
   * Sends base[start,end), bytes that onBytes was called with, to another wire; returns as `write`.
   * Takes care of the buffer: bytes in a shared one are copied, an own one is lent until the other
   * wire is flushed; neither, where that wire copies by itself.
   */
  forwardTo(other: Wire, base: Buffer, start: number, end: number): boolean;
  /** For `forwardTo`: an unfinished write of this wire refers to another wire's buffer. */
  borrow(buffer: ReadBuffer): void;
  /** The wire has done with streaming: its reads land in the shared buffer again. */
  shareBuffer(): void;
  /** Probes the peer while nothing comes: one that is gone without a word ends the connection. */
  keepAlive(policy: KeepAlive): void;
  /** Stops reading, so that the peer is slowed down. */
  pause(): void;
  resume(): void;
  /** Sends the end of our side after what was written; the other side may still send. */
  end(): void;
  /** Closes both sides now; what the kernel did not take yet is lost. */
  destroy(): void;
  /** Closes with RST: the peer sees that what it got is not complete. */
  reset(): void;
}

/** TLS to one endpoint; the same object for all its connections, which share their sessions. */
export interface ClientTls {
  readonly material: UpstreamMaterial;
  /** The name that is asked for and that the certificate has to be for; an address where there is none. */
  readonly serverName: string;
  readonly verify: boolean;
  /** By ALPN, the preferred first; `h2` alone has to be agreed on. */
  readonly protocols: readonly string[];
  /** The latest, to be resumed; the wire writes it. */
  session: Buffer | null;
  /** When the endpoint's certificate expires with which `session` began, ms since the epoch. */
  sessionUntilMs: number;
}

export interface WireTarget {
  readonly address: string;
  readonly port: number;
  /** Null or absent: plain. */
  readonly tls?: ClientTls | null;
}

/** What becomes of connections that begin with a PROXY protocol header. */
export interface ProxyAccept {
  /** Whether this peer's connections do; '' is the peer of a unix socket. */
  readonly isTrusted: (address: string) => boolean;
  /** How long the header may take. */
  readonly timeoutMs: number;
  /** A connection without a good header was reset. */
  readonly onRefused: (address: string, why: string) => void;
}

export interface ListenOptions {
  readonly address: ListenAddress;
  /** Several threads and processes may listen on the port; the kernel spreads connections. */
  readonly reusePort: boolean;
  /**
   * Asked for each connection: the TLS that it is to speak, null for none, `refuse` where there is no
   * certificate for it. Without this, none.
   */
  readonly tls?: () => ServerTls | 'refuse' | null;
  /** Asked for each connection; null: none begins with a header. Without this, none does. */
  readonly proxy?: () => ProxyAccept | null;
  /** Asked for each connection with TLS; null: `tls` decides alone. Without this, it always does. */
  readonly peek?: () => HelloPeek | null;
  /** Must set `wire.handler` before it returns. */
  readonly onWire: (wire: Wire) => void;
}

export interface WireServer {
  readonly port: number;
  /** Resolves when it accepts no more: those who wait come in first. Open connections go on. */
  close(): Promise<void>;
}

export interface Network {
  /**
   * Opens a connection; `handler` gets onConnect, or onClose with the error. `introduction` is sent
   * before anything else, in plain, also where TLS follows.
   */
  connect(target: WireTarget, handler: ConnectHandler, introduction?: Buffer | null): Wire;
  /** Opens a listener. Rejects with the system's error (EADDRINUSE, EACCES, ...). */
  listen(options: ListenOptions): Promise<WireServer>;
  /** Removes the file of a unix socket on which no process listens; true when it was removed. */
  removeStaleSocket(path: string): Promise<boolean>;
  /** Whether a connection with this file descriptor is one that should not be served. */
  isFromReserve(descriptor: number): boolean;
}
