// The endpoint's side of an exchange: one attempt, on a pooled HTTP/1.1 connection (http1/http1-attempt.ts)
// or a stream of a shared HTTP/2 one (http2/http2-attempt.ts). The exchange knows no more of its endpoint's connection than this.
// Ownership: an attempt belongs to its exchange for good, and is used for one try after the other. The
// connection is the attempt's from `open` until `complete` or `drop`, and nothing else refers to it.
import type { BodyKind } from '../../http1/framing.ts';
import type { Head } from '../../http1/head.ts';
import type { Reason } from '../../model/reason.ts';
import type { Service } from '../../model/service.ts';
import type { HttpVersion, LiveEndpoint } from '../live-endpoint.ts';
import type { LiveService } from '../live-service.ts';
import type { Wire } from '../network.ts';
import type { BodyPiece } from './body-piece.ts';
import type { BodySource } from './body-source.ts';
import type { RequestCopy } from './request-copy.ts';
import type { TunnelUpstream } from './tunnel.ts';

/** Interim responses (1xx) that one request may get: they cost work, and end nothing. */
export const INTERIM_MAX = 32;

/** The request that a try is of: its exchange, which stays the same while one is open. */
export interface Tried {
  readonly live: LiveService;
  /** The policy that the request began with. */
  readonly service: Service;
  readonly method: string;
  /** The upgrade that it asks for and that is passed on; ''. */
  readonly upgrade: string;
  /** The client's connection, for what the endpoint is told of it. */
  readonly clientWire: Wire;
}

/** Whether the endpoint is asked by the protocol of its service, and has none to choose. */
export function isProtocolGiven({ service }: Tried): boolean {
  return service.upstream.protocol !== 'auto';
}

/** What an exchange may ask of its endpoint's side. */
export interface EndpointSide {
  readonly speaks: HttpVersion;
  /** Set exactly while the ledger counts this try as in flight on it. */
  readonly endpoint: LiveEndpoint | null;
  /** Clock's ms of when the request was sent; 0: it was not. */
  readonly sentMs: number;
  /** A byte came back. */
  readonly hasAnswered: boolean;
  /** The final response's head was handed over. */
  readonly isRelaying: boolean;

  /**
   * Counts the try on the endpoint and connects; then onReady, at once where a connection is kept. Kept
   * ones that lie idle since before `idleSinceMs` are not used; -1: none at all. False: another worker has
   * taken the endpoint's last place, and nothing was begun.
   */
  open(endpoint: LiveEndpoint, idleSinceMs: number): boolean;
  /** Sends what has come of the request; false: it is not all taken yet (see onEndpointDrain). */
  send(copy: RequestCopy, nowMs: number): boolean;
  /** Sends more of its body, read from `source`; returns as `send`. */
  sendBody(source: BodySource, piece: BodyPiece): boolean;
  /** The endpoint's time runs from now; 0: it does not. */
  setTimer(ms: number): void;
  /** The client has taken what was sent: more may come. */
  resume(): void;
  /** Bytes were exchanged with the endpoint, for the ledger. */
  countBytes(bytesIn: number, bytesOut: number): void;
  /** The response is over: keeps the connection where it is clean, and ends the try. */
  complete(isRequestDone: boolean): void;
  /** Ends the try, whatever it is in; `isReset`: the endpoint sees that it got no complete message. */
  drop(isReset?: boolean): void;

  /** A connection, or a stream of one, is its own. */
  readonly isHolding: boolean;
  /** For the tunnel: its end on this side, once onSwitch was told. */
  tunnelEnd(): TunnelUpstream;
}

/** What the endpoint's side tells its exchange, and of which attempt. */
export interface EndpointEvents {
  /** It is connected: the request may be sent. */
  onReady(attempt: EndpointSide): void;
  /** The first byte of an answer is there; called before anything is made of it. */
  onAnswering(attempt: EndpointSide): void;
  onInterim(head: Head): void;
  /** The final response: `source` is what the piece was read from. */
  onResponse(
    attempt: EndpointSide,
    head: Head,
    kind: BodyKind,
    source: BodySource,
    piece: BodyPiece,
  ): void;
  onBody(attempt: EndpointSide, source: BodySource, piece: BodyPiece): void;
  /** The endpoint has opened a tunnel: `head` is a 101; base[start,end) are the tunnel's first bytes. */
  onSwitch(attempt: EndpointSide, head: Head, base: Buffer, start: number, end: number): void;
  /** The endpoint speaks another protocol than the attempt: nothing was sent, and it is to be asked by that. */
  onOtherProtocol(attempt: EndpointSide): void;
  /** The try has failed. */
  onFailed(attempt: EndpointSide, why: Reason, detail: string): void;
  /** No connection could be made for want of descriptors or ports of our own. */
  onStarved(attempt: EndpointSide, code: string): void;
  /** Nothing came for the idle time in the middle of the body. */
  onStalled(attempt: EndpointSide): void;
  /** It was not read for a moment (rest.ts); `resume` where the client has room. */
  onRested(attempt: EndpointSide): void;
  /** The endpoint has taken everything that was sent. */
  onEndpointDrain(attempt: EndpointSide): void;
  onBug(error: unknown): void;
}
