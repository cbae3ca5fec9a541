// The data plane's door to datagrams. A listener has a port that clients send to; each session has a
// socket of its own to its endpoint, connected: the kernel then lets through what that endpoint sends
// and nothing else, and tells when its host refuses a datagram.
// `wire/node-datagrams.ts` is the one implementation over Node's sockets.

/** One port on one address of ours, or on those that have no socket of their own. */
export interface DatagramPort {
  /** The address; the same again when it comes back. */
  readonly name: string;
  /** Sends to a source from the address that it had sent to. What the kernel can't take is lost. */
  reply(bytes: Buffer, address: string, port: number): void;
}

/** Who gets what clients send. */
export interface DatagramReceiver {
  /** `bytes` are the receiver's from now on. IPv4 addresses are themselves. */
  onDatagram(bytes: Buffer, address: string, port: number, via: DatagramPort): void;
}

export interface DatagramServer {
  /** The port that is listened on. */
  readonly port: number;
  close(): void;
}

/** Who gets the events of a session's socket; none comes before `connect` has returned, or after `close`. */
export interface DatagramHandler {
  /** `bytes` are the handler's from now on. */
  onAnswer(bytes: Buffer): void;
  /**
   * A datagram that was sent did not arrive: the endpoint's host reports a closed port (ECONNREFUSED),
   * or the system's reason why it could not be sent.
   */
  onUnsent(code: string): void;
  /** One of these has thrown. */
  onBug(error: unknown): void;
}

export interface DatagramSocket {
  /** The number of its file descriptor; -1 where that is not known. */
  readonly descriptor: number;
  /** What the kernel has no room for is lost, as datagrams are. */
  send(bytes: Buffer): void;
  close(): void;
}

export interface DatagramListenOptions {
  /** '' for every address. */
  readonly host: string;
  readonly port: number;
  readonly receiver: DatagramReceiver;
}

export interface Datagrams {
  /** Opens a listener. Rejects with the system's error (EADDRINUSE, EACCES, ...). */
  listen(options: DatagramListenOptions): Promise<DatagramServer>;
  /** Throws the system's error (EMFILE, ...). */
  connect(address: string, port: number, handler: DatagramHandler): DatagramSocket;
}
