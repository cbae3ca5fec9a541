// A tunnel between a client and an endpoint, after a 101 or an extended CONNECT: bytes pass both ways as
// they are, each direction ends on its own. A side that does not end in order ends the other so that
// nothing looks complete: with RST, or RST_STREAM. What an end is, the wire of a connection or a stream
// of a shared one, is known to its owner alone: the client's side, and the attempt, which counts.
// It is a session of its endpoint from `join` until `leave`: its end, on every way, is the exchange's.
import type { Reason } from '../../model/reason.ts';
import type { EndpointSession, EndpointSessions } from '../sessions/endpoint-sessions.ts';
import type { UpstreamUser } from '../upstream-connection.ts';
import type { BodySource } from './body-source.ts';

/** One end of a tunnel. */
export interface TunnelEnd {
  /** What its bytes are read from. */
  readonly source: BodySource;
  /** Everything that was sent to it has left. */
  readonly isFlushed: boolean;
  /** Sends base[start,end), which `from` has handed over; false: it is not all taken yet. */
  send(from: BodySource, base: Buffer, start: number, end: number): boolean;
  /** Nothing more is sent to it. */
  end(): void;
  /** Its bytes have nowhere to go: it is not read until `release`. */
  hold(): void;
  release(): void;
}

/** The end of a tunnel on the client's side. */
export interface TunnelClient extends TunnelEnd {
  /** The client will send no more. */
  readonly hasEnded: boolean;
  onBug(error: unknown): void;
}

/** The end of a tunnel on the endpoint's side. */
export interface TunnelUpstream extends TunnelEnd {
  /** From now on the tunnel is told what happens there, and after `ms` (0: never) that nothing has. */
  attach(user: UpstreamUser): void;
  setTimer(ms: number): void;
}

export interface TunnelOwner {
  /** It is over, and the tunnel is not used again. */
  onTunnelDone(isOrderly: boolean): void;
  /** Its endpoint takes no more work, and it may not stay: ends it on both sides. */
  onTunnelCut(why: Reason): void;
  /** Bytes have come from the client, or from the endpoint. */
  onTunnelBytes(bytesIn: number, bytesOut: number): void;
}

export interface TunnelEnds {
  readonly client: TunnelClient;
  readonly upstream: TunnelUpstream;
  /** Without a byte either way for so long, ms, it ends; 0: never. */
  readonly idleMs: number;
}

export class Tunnel implements UpstreamUser, EndpointSession {
  bytesIn = 0;
  bytesOut = 0;
  private readonly owner: TunnelOwner;
  private readonly client: TunnelClient;
  private readonly upstream: TunnelUpstream;
  private readonly idleMs: number;
  private hasUpstreamEnded = false;
  private sessions: EndpointSessions | null = null;

  /** Becomes the user of the endpoint's end. */
  constructor(owner: TunnelOwner, { client, upstream, idleMs }: TunnelEnds) {
    this.owner = owner;
    this.client = client;
    this.upstream = upstream;
    this.idleMs = idleMs;
    upstream.attach(this);
    upstream.setTimer(idleMs);
  }

  /** It ends with the endpoint whose sessions these are, where the service wants that. */
  join(sessions: EndpointSessions): void {
    this.sessions = sessions;
    sessions.add(this);
  }

  /** It is over. */
  leave(): void {
    this.sessions?.delete(this);
    this.sessions = null;
  }

  endSession(why: Reason): void {
    this.owner.onTunnelCut(why);
  }

  onBug(error: unknown): void {
    this.client.onBug(error);
  }

  // The client's side

  takeBytes(base: Buffer, start: number, end: number): void {
    this.bytesIn += end - start;
    this.owner.onTunnelBytes(end - start, 0);
    this.upstream.setTimer(this.idleMs);
    if (!this.upstream.send(this.client.source, base, start, end)) this.client.hold();
  }

  onClientEnd(): void {
    this.upstream.end();
    this.closeWhenFlushed();
  }

  onClientDrain(): void {
    this.upstream.release();
  }

  // The endpoint's side

  onUpstreamConnect(): void {}

  onUpstreamBytes(base: Buffer, start: number, end: number): void {
    this.bytesOut += end - start;
    this.owner.onTunnelBytes(0, end - start);
    this.upstream.setTimer(this.idleMs);
    if (!this.client.send(this.upstream.source, base, start, end)) this.upstream.hold();
  }

  onUpstreamEnd(): void {
    this.hasUpstreamEnded = true;
    this.client.end();
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
    this.onBug(error);
  }

  /** Both have ended; what the client sent last may still be on its way to the endpoint. */
  private closeWhenFlushed(): void {
    const haveEnded = this.hasUpstreamEnded && this.client.hasEnded;
    if (haveEnded && this.upstream.isFlushed) this.owner.onTunnelDone(true);
  }
}
