// Places on the stats port: who gets one, one answer at a time on each, and who loses his place.
//   idle ──► busy ──► idle ...    nothing is worked on before the answer ahead of it has left
// When the places run short, idle connections lose theirs first (the oldest of the address that holds
// the most; departures.ts closes them), then those whose client does not read. A TLS handshake that has
// begun is work, and bounded by its own turns. Some places are kept back: a connection that gets one of
// those is served if it comes from this machine or asks for a health check.
import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { systemClock } from '../base/clock.ts';
import { isThisMachine } from './access.ts';
import { Departures } from './departures.ts';
import type { StatsSources } from './sources.ts';

/** Places for everyone. */
const PLACES = 512;
/** Places beyond those, kept for health checks and for this machine. */
const RESERVED = 64;
export const PLACES_MAX = PLACES + RESERVED;
/** A client that took nothing of its answer for so long may lose its place to another. */
const STALLED_MS = 1000;
/** ... and loses it in any case after this. */
const STALLED_MS_MAX = 10_000;
const LOOK_MS = 1000;

/** How many places there are; tests give fewer. */
export interface Places {
  readonly places: number;
  readonly reserved: number;
  /** Whether a connection comes from this machine. */
  readonly isLocal?: (socket: Socket) => boolean;
}

interface Group {
  readonly isReserved: boolean;
  size: number;
  /** The longest idle first. */
  readonly idle: Set<Connection>;
}

export class Connection {
  /** With TLS the secured one, once its handshake is done. */
  socket: Socket;
  readonly address: string;
  /** It has one of the places that are kept back. */
  readonly isReserved: boolean;
  /** When it last became idle, or its client last took something of its answer; ms. */
  progressMs = performance.now();
  /** The answer under way; null: idle. */
  response: ServerResponse | null = null;
  /** An open stream of events: it has no end, and is bounded by its unread bytes. */
  isStream = false;
  /** What follows the answer under way: its client sent it with the end of that request's body. */
  waiting: (() => void) | null = null;
  /** For who reads requests: the answer has left, and nothing waits. */
  onIdle: () => void = () => {};
  /** For who has it before it is served: it has lost its place, and will be closed. */
  onLost: () => void = () => {};
  /** Those of the same address, with the same kind of place. */
  readonly group: Group;

  /** It comes from this machine. */
  readonly isLocal: boolean;
  private owner: Promise<'ours' | 'other' | 'gone'> | null = null;

  constructor(socket: Socket, parts: { group: Group; isLocal: boolean }) {
    this.socket = socket;
    this.isLocal = parts.isLocal;
    this.group = parts.group;
    this.isReserved = parts.group.isReserved;
    this.address = socket.remoteAddress ?? '';
  }

  /** Whose the other end is; asked once, and only about connections from this machine. */
  ownerBy(ask: NonNullable<StatsSources['ownerOfPeer']>): Promise<'ours' | 'other' | 'gone'> {
    const { remoteAddress = '', remotePort = 0, localPort = 0 } = this.socket;
    // Elsewhere there is no socket of ours, and a unix socket has no address that a service could have.
    if (!isThisMachine(this.socket) || localPort === 0) return Promise.resolve('other');
    this.owner ??= ask({ address: remoteAddress, port: remotePort, localPort });
    return this.owner;
  }

  get isIdle(): boolean {
    return this.response === null;
  }

  get isAnswering(): boolean {
    return this.response !== null && (this.response.req.complete || this.waiting !== null);
  }

  /** Whether its client has left something unread for `ms`. */
  isStalled(ms: number): boolean {
    if (this.isIdle || this.isStream || this.socket.writableLength === 0) return false;
    return performance.now() - this.progressMs > ms;
  }
}

export class Connections {
  private readonly places: number;
  private readonly reserved: number;
  readonly isLocal: (socket: Socket) => boolean;
  private readonly open = new Map<Socket, Connection>();
  private readonly groups = new Map<string, Group>();
  private ordinary = 0;
  private readonly departures = new Departures(systemClock);
  private readonly looking: NodeJS.Timeout;

  constructor(places: Places = { places: PLACES, reserved: RESERVED }) {
    this.places = places.places;
    this.reserved = places.reserved;
    this.isLocal = places.isLocal ?? isThisMachine;
    this.looking = setInterval(() => this.cutStalled(), LOOK_MS).unref();
  }

  /** How many have a place. */
  get size(): number {
    return this.open.size;
  }

  /** Gives a new connection a place, or closes it: null. */
  add(socket: Socket): Connection | null {
    const isReserved = this.ordinary >= this.places && !this.makeRoom(false);
    const left = this.reserved - (this.open.size - this.ordinary);
    if (isReserved && left <= 0 && !this.makeRoom(true)) {
      socket.destroy();
      return null;
    }
    const group = this.groupOf(socket.remoteAddress ?? '', isReserved);
    const isLocal = this.isLocal(socket);
    const connection = new Connection(socket, { group, isLocal });
    this.open.set(socket, connection);
    group.size += 1;
    group.idle.add(connection);
    if (!isReserved) this.ordinary += 1;
    socket.once('close', () => this.remove(connection));
    return connection;
  }

  /** A handshake begins on it, in its turn: that is not idle. */
  securing(connection: Connection): void {
    connection.group.idle.delete(connection);
  }

  /** The handshake on `raw` is done: from now on the connection is that of `socket`. Null: it has lost its place. */
  secured(raw: Socket, socket: Socket): Connection | null {
    const connection = this.open.get(raw);
    if (connection === undefined) {
      socket.destroy();
      return null;
    }
    this.open.delete(raw);
    connection.socket = socket;
    this.open.set(socket, connection);
    connection.group.idle.add(connection);
    return connection;
  }

  /**
   * Calls `run` when the answer ahead of `response` on its connection has left; never where the client has gone.
   * What reads requests (reading.ts) lets one through ahead of its turn at most.
   */
  take(response: ServerResponse, run: (connection: Connection) => void): void {
    const { socket } = response.req;
    const connection = this.open.get(socket);
    if (connection === undefined || socket.destroyed) return;
    const begin = (): void => {
      connection.response = response;
      connection.group.idle.delete(connection);
      connection.progressMs = performance.now();
      response.once('close', () => this.next(connection));
      run(connection);
    };
    if (connection.isIdle) begin();
    else if (connection.waiting === null) connection.waiting = begin;
    else socket.destroy();
  }

  /** Closes what is idle, and what is not read: memory is short. */
  shed(): void {
    for (const one of [...this.open.values()]) {
      if (one.isIdle || one.isStalled(STALLED_MS)) one.socket.destroy();
    }
  }

  /** Ends those that have no request yet as well: a handshake is nothing that the server knows of. */
  close(): void {
    clearInterval(this.looking);
    for (const { socket } of [...this.open.values()]) socket.destroy();
    this.departures.close();
  }

  private next(connection: Connection): void {
    connection.response = null;
    connection.isStream = false;
    connection.progressMs = performance.now();
    if (connection.socket.destroyed) return;
    const { waiting } = connection;
    connection.waiting = null;
    if (waiting !== null) return waiting();
    connection.group.idle.add(connection);
    connection.onIdle();
  }

  /** Closes a connection that has such a place and does nothing with it; false where all do. */
  private makeRoom(isReserved: boolean): boolean {
    let largest: Group | null = null;
    for (const group of this.groups.values()) {
      if (group.isReserved !== isReserved || group.idle.size === 0) continue;
      if (largest === null || group.size > largest.size) largest = group;
    }
    const [idle] = largest?.idle ?? [];
    if (idle !== undefined) {
      this.remove(idle);
      idle.onLost();
      this.departures.add(idle.socket);
      return true;
    }
    const slowest = this.slowest(isReserved);
    if (slowest === null) return false;
    this.remove(slowest);
    slowest.socket.destroy();
    return true;
  }

  private slowest(isReserved: boolean): Connection | null {
    let slowest: Connection | null = null;
    for (const one of this.open.values()) {
      if (one.isReserved !== isReserved || !one.isStalled(STALLED_MS)) continue;
      if (slowest === null || one.progressMs < slowest.progressMs) slowest = one;
    }
    return slowest;
  }

  private remove(connection: Connection): void {
    if (!this.open.delete(connection.socket)) return;
    const { group, address, isReserved } = connection;
    group.idle.delete(connection);
    group.size -= 1;
    if (group.size === 0) this.groups.delete(`${isReserved} ${address}`);
    if (!isReserved) this.ordinary -= 1;
  }

  private groupOf(address: string, isReserved: boolean): Group {
    const key = `${isReserved} ${address}`;
    let group = this.groups.get(key);
    if (group === undefined) {
      group = { isReserved, size: 0, idle: new Set() };
      this.groups.set(key, group);
    }
    return group;
  }

  private cutStalled(): void {
    for (const one of [...this.open.values()]) {
      if (one.isStalled(STALLED_MS_MAX)) one.socket.destroy();
    }
  }
}
