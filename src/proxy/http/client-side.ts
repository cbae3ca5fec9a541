// The client's side of one exchange: one request of an HTTP/1.1 connection (http1/http1-request.ts), whatever
// a client speaks. The exchange knows no more of its client than this.
// Ownership: side and exchange are made for each other and stay together. What changes hands is the
// connection, which the side alone refers to. Exactly one of the calls marked 'last' ends the pair's
// use: the caller reads nothing of either afterwards, for they may be serving another request.
import type { BodyKind } from '../../http1/framing.ts';
import type { Head } from '../../http1/head.ts';
import type { Reason } from '../../model/reason.ts';
import type { Wire } from '../network.ts';
import type { BodyPiece } from './body-piece.ts';
import type { BodySource } from './body-source.ts';
import type { Tunnel, TunnelClient } from './tunnel.ts';

/** What an exchange may ask of its client's side. */
export interface ClientSide {
  /** The peer's address, for logs; '' on a unix socket. */
  readonly address: string;
  /** The connection that the request came by. */
  readonly clientWire: Wire;
  /** The listener that the client came in by, for logs. */
  readonly listenerKey: string;
  /** A byte of the final response was sent. */
  readonly hasBegun: boolean;
  /** The client has the whole response by its length, whether or not the endpoint has ended it yet. */
  readonly hasWhole: boolean;
  /** Body bytes of the response that were sent, its framing not counted. */
  readonly bytesOut: number;
  /** The client has taken everything that was sent: a silence is not its fault. */
  readonly isFlushed: boolean;
  /** Request and response go on side by side, so that either one's content is a sign of life of both. */
  readonly isDuplex: boolean;
  /** The client is not read, as `hold` asked. */
  readonly isHeld: boolean;

  /** Sends a 1xx response other than 101 (RFC 9110 section 15.2); to HTTP/1.0 none is sent. */
  sendInterim(head: Head): void;
  /** Sends the head of the final response with the first piece of its body, read from `source`. */
  respond(head: Head, kind: BodyKind, source: BodySource, piece: BodyPiece): void;
  /** Sends more of the body; pauses `source` until the client has taken it (see onClientDrain). */
  sendBody(source: BodySource, piece: BodyPiece): void;
  /** Sends the 101. False: nothing was sent, for it is none that was asked for. */
  switchProtocols(head: Head): boolean;
  /** The tunnel has the client's bytes from here on, those that came early first. */
  beginTunnel(tunnel: Tunnel): void;

  /** The request's body has nowhere to go for now: the client is not read until `release`. */
  hold(): void;
  release(): void;

  /** Last. The response is complete. */
  done(): void;
  /** Last. Nothing was sent yet: answers for `why`; `mayKeep`: the connection may go on. */
  reply(why: Reason, detail: string, mayKeep: boolean): void;
  /** Last. Ends in the middle of the response, so that it can't look complete. */
  cut(): void;
  /** Last. The tunnel is over; `isOrderly`: both ends were ended in order. */
  tunnelDone(isOrderly: boolean): void;
  /** Last. The client is gone, or a rule of ours was broken: nothing is to be sent. */
  drop(): void;

  /** For the tunnel: its end on this side. */
  readonly tunnelClient: TunnelClient;
  onBug(error: unknown): void;
}

/** What the client's side tells its exchange. */
export interface ClientEvents {
  /** More of the request's body has come, read from `source`. May end the exchange. */
  onRequestBody(source: BodySource, piece: BodyPiece): void;
  /** The client has taken everything that was sent. */
  onClientDrain(): void;
  /** The client is at fault in the middle of its request. Ends the exchange. */
  failClient(why: Reason): void;
  /** The connection is gone. Ends the exchange. */
  onClientGone(isOrderly: boolean): void;
  /** A rule of ours was broken on the client's side. Ends the exchange. */
  abandon(): void;
}
