// The ends of a tunnel that are HTTP/1.1 connections: what passes are the bytes of their wires.
import type { Wire } from '../../network.ts';
import type { UpstreamConnection, UpstreamUser } from '../../upstream-connection.ts';
import type { BodySource } from '../body-source.ts';
import type { TunnelClient, TunnelUpstream } from '../tunnel.ts';

/** The client's connection, as far as a tunnel is concerned. */
interface TunnelledConnection {
  readonly wire: Wire;
  readonly hasEnded: boolean;
  hold(): void;
  release(): void;
  onBug(error: unknown): void;
}

export class ClientEnd implements TunnelClient {
  private readonly connection: TunnelledConnection;

  constructor(connection: TunnelledConnection) {
    this.connection = connection;
  }

  get source(): BodySource {
    return this.connection.wire;
  }

  get hasEnded(): boolean {
    return this.connection.hasEnded;
  }

  get isFlushed(): boolean {
    return this.connection.wire.isFlushed;
  }

  send(from: BodySource, base: Buffer, start: number, end: number): boolean {
    return from.forwardTo(this.connection.wire, base, start, end);
  }

  end(): void {
    this.connection.wire.end();
  }

  hold(): void {
    this.connection.hold();
  }

  release(): void {
    this.connection.release();
  }

  onBug(error: unknown): void {
    this.connection.onBug(error);
  }
}

export class UpstreamEnd implements TunnelUpstream {
  private readonly connection: UpstreamConnection;

  constructor(connection: UpstreamConnection) {
    this.connection = connection;
  }

  get source(): BodySource {
    return this.connection.wire;
  }

  get isFlushed(): boolean {
    return this.connection.wire.isFlushed;
  }

  attach(user: UpstreamUser): void {
    this.connection.user = user;
  }

  setTimer(ms: number): void {
    this.connection.setTimer(ms);
  }

  send(from: BodySource, base: Buffer, start: number, end: number): boolean {
    return from.forwardTo(this.connection.wire, base, start, end);
  }

  end(): void {
    this.connection.wire.end();
  }

  hold(): void {
    this.connection.wire.pause();
  }

  release(): void {
    this.connection.wire.resume();
  }
}
