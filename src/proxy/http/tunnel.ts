// An upgraded connection (101): bytes pass both ways as they are, each direction ends on its own.
// A side that does not end in order ends the other with RST, so that nothing looks complete.
// The attempt still owns the upstream connection, and counts; ClientConnection owns the client's.
import type { Wire } from '../network.ts';
import type { UpstreamConnection, UpstreamUser } from '../upstream-connection.ts';

/** The end of a tunnel on the client's side. */
export interface TunnelClient {
  readonly wire: Wire;
  /** The client will send no more. */
  readonly hasEnded: boolean;
  hold(): void;
  release(): void;
  onBug(error: unknown): void;
}

export interface TunnelOwner {
  /** It is over, and the tunnel is not used again. */
  onTunnelDone(isOrderly: boolean): void;
  /** Bytes have come from the client, or from the endpoint. */
  onTunnelBytes(bytesIn: number, bytesOut: number): void;
}

export interface TunnelEnds {
  readonly client: TunnelClient;
  readonly upstream: UpstreamConnection;
  /** Without a byte either way for so long, ms, it ends; 0: never. */
  readonly idleMs: number;
}

export class Tunnel implements UpstreamUser {
  bytesIn = 0;
  bytesOut = 0;
  private readonly owner: TunnelOwner;
  private readonly client: TunnelClient;
  private readonly upstream: UpstreamConnection;
  private readonly idleMs: number;
  private hasUpstreamEnded = false;

  /** Becomes the user of the upstream connection. */
  constructor(owner: TunnelOwner, { client, upstream, idleMs }: TunnelEnds) {
    this.owner = owner;
    this.client = client;
    this.upstream = upstream;
    this.idleMs = idleMs;
    upstream.user = this;
    upstream.setTimer(idleMs);
  }

  // The client's side

  takeBytes(base: Buffer, start: number, end: number): void {
    this.bytesIn += end - start;
    this.owner.onTunnelBytes(end - start, 0);
    this.upstream.setTimer(this.idleMs);
    const isTaken = this.client.wire.forwardTo(this.upstream.wire, base, start, end);
    if (!isTaken) this.client.hold();
  }

  onClientEnd(): void {
    this.upstream.wire.end();
    this.closeWhenFlushed();
  }

  onClientDrain(): void {
    this.upstream.wire.resume();
  }

  // The endpoint's side

  onUpstreamConnect(): void {}

  onUpstreamBytes(base: Buffer, start: number, end: number): void {
    this.bytesOut += end - start;
    this.owner.onTunnelBytes(0, end - start);
    this.upstream.setTimer(this.idleMs);
    const { wire } = this.upstream;
    if (!wire.forwardTo(this.client.wire, base, start, end)) wire.pause();
  }

  onUpstreamEnd(): void {
    this.hasUpstreamEnded = true;
    this.client.wire.end();
    this.closeWhenFlushed();
  }

  onUpstreamDrain(): void {
    this.client.release();
    this.closeWhenFlushed();
  }

  onUpstreamClose(error: NodeJS.ErrnoException | null): void {
    this.owner.onTunnelDone(error === null && this.hasUpstreamEnded);
  }

  onUpstreamTimer(): void {
    this.owner.onTunnelDone(true);
  }

  onUpstreamBug(error: unknown): void {
    this.client.onBug(error);
  }

  /** Both have ended; what the client sent last may still be on its way to the endpoint. */
  private closeWhenFlushed(): void {
    const haveEnded = this.hasUpstreamEnded && this.client.hasEnded;
    if (haveEnded && this.upstream.wire.isFlushed) this.owner.onTunnelDone(true);
  }
}
