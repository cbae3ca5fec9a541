// The connection of a TCP session to its endpoint, one for each try.
import type { ConnectHandler, Network, Wire, WireTarget } from '../network.ts';

/** The session's side of its upstream connection. */
export interface UpstreamOwner {
  onConnected(): void;
  /** As WireHandler.onBytes. */
  onUpstreamBytes(base: Buffer, start: number, end: number): void;
  onUpstreamEnd(): void;
  onUpstreamDrain(): void;
  onUpstreamClosed(error: NodeJS.ErrnoException | null): void;
  /** One of these has thrown. */
  onBug(error: unknown): void;
}

/**
 * One upstream connection of a session, from its attempt on. Hands events to the session until
 * that has left it; what comes later (an attempt that was given up connects) concerns nobody.
 */
export class Upstream implements ConnectHandler {
  readonly wire: Wire;
  private owner: UpstreamOwner | null;

  /** `introduction`: what the connection begins with; null: nothing. */
  constructor(
    owner: UpstreamOwner,
    target: WireTarget,
    network: Network,
    introduction: Buffer | null,
  ) {
    this.owner = owner;
    this.wire = network.connect(target, this, introduction);
  }

  /** Closes the connection, if it is open still, without a word to the session. */
  leave(): void {
    this.owner = null;
    this.wire.destroy();
  }

  onConnect(): void {
    this.owner?.onConnected();
  }

  onBytes(base: Buffer, start: number, end: number): void {
    this.owner?.onUpstreamBytes(base, start, end);
  }

  onEnd(): void {
    this.owner?.onUpstreamEnd();
  }

  onDrain(): void {
    this.owner?.onUpstreamDrain();
  }

  onClose(error: NodeJS.ErrnoException | null): void {
    this.owner?.onUpstreamClosed(error);
  }

  onBug(error: unknown): void {
    const { owner } = this;
    if (owner === null) throw error;
    this.leave();
    owner.onBug(error);
  }
}
