// The HTTP/2 connections of one worker to one endpoint that take new streams. A connection is filled
// before another is opened.
import { BOUNDS } from '../../../model/bounds.ts';
import type { Limits } from '../../../model/service.ts';
import type { LiveEndpoint } from '../../live-endpoint.ts';
import type { Wire } from '../../network.ts';
import type { SharedConnections } from '../../shared-connections.ts';
import type { HttpPlane } from '../plane.ts';
import { Http2EndpointConnection } from './endpoint-connection.ts';

/** For a fresh connection: one that was opened so long ago is fresh. */
const FRESH_MS = 1000;

export class Http2Pool implements SharedConnections {
  private readonly endpoint: LiveEndpoint;
  private readonly plane: HttpPlane;
  private connections: Http2EndpointConnection[] = [];
  /**
   * Streams that a connection may have whose SETTINGS have not come: what the endpoint has said on an
   * earlier one; before the first, the least that RFC 9113 section 6.5.2 recommends to endpoints, as
   * other clients do. What is too much is refused unprocessed, and goes to another connection.
   */
  unsettledMax: number = BOUNDS.http2EndpointStreams.max;

  constructor(endpoint: LiveEndpoint, plane: HttpPlane) {
    this.endpoint = endpoint;
    this.plane = plane;
  }

  /** The pool of an endpoint, made for the first attempt that needs it. */
  static of(endpoint: LiveEndpoint, plane: HttpPlane): Http2Pool {
    const { shared } = endpoint;
    if (shared instanceof Http2Pool) return shared;
    const made = new Http2Pool(endpoint, plane);
    endpoint.shared = made;
    return made;
  }

  get size(): number {
    return this.connections.length;
  }

  /**
   * A connection with room, or null. `idleSinceMs`: one that lies idle since before is not used; -1:
   * one that was opened a moment ago, and no other.
   */
  take(idleSinceMs: number): Http2EndpointConnection | null {
    for (const one of this.connections) {
      if (one.hasRoom && this.isFresh(one, idleSinceMs)) return one;
    }
    return null;
  }

  private isFresh(one: Http2EndpointConnection, idleSinceMs: number): boolean {
    if (idleSinceMs >= 0) return !one.isIdle || one.idleSinceMs >= idleSinceMs;
    return one.openedMs >= this.plane.context.wheel.nowMs - FRESH_MS;
  }

  /** The endpoint says that it takes so many streams on a connection. */
  settled(streamsMax: number): void {
    this.unsettledMax = Math.max(1, Math.min(streamsMax, BOUNDS.http2EndpointStreams.max));
  }

  /** Opens one more. */
  open(limits: Limits): Http2EndpointConnection {
    const made = new Http2EndpointConnection(this.endpoint, this, limits, this.plane);
    this.connections.push(made);
    return made;
  }

  /** Takes over an open connection to the endpoint that was begun for something else. */
  adopt(wire: Wire, limits: Limits): void {
    this.endpoint.agreed = 'http2';
    const made = new Http2EndpointConnection(this.endpoint, this, limits, this.plane, wire);
    if (this.endpoint.takesWork) this.connections.push(made);
    else made.close();
  }

  /** It takes no new streams any more. */
  remove(connection: Http2EndpointConnection): void {
    const at = this.connections.indexOf(connection);
    if (at >= 0) this.connections.splice(at, 1);
  }

  closeIdle(): number {
    const idle = this.connections.filter((one) => one.isIdle);
    for (const one of idle) one.close();
    return idle.length;
  }

  leave(): void {
    for (const one of [...this.connections]) one.leave();
  }
}
