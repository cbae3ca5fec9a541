// The door to DNS servers: UDP with a socket of its own for each question, and TCP with connections
// that are used again, a question at a time (RFC 7766).
import { randomInt } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { createConnection, isIPv6, type Socket } from 'node:net';
import { CodedError } from '../../base/coded-error.ts';
import { Pieces } from '../../base/pieces.ts';
import type { DnsServer } from '../../model/registries/dns.ts';
import type { Asking, Wire } from './wire.ts';

/** Connections to one server; what is beyond waits for its turn. */
const CONNECTIONS_MAX = 8;
/** Servers close idle connections after some seconds; before that they are used again. */
const IDLE_MS = 5000;
/** A question waits for its turn so many times as long as for its answer. */
const WAITS = 4;
const LENGTH_BYTES = 2;

export class NodeWire implements Wire {
  private readonly pools = new Map<string, Pool>();
  /** Ends one question by UDP. */
  private readonly datagrams = new Set<(error: Error) => void>();
  private isClosed = false;

  newId(): number {
    return randomInt(0x1_0000);
  }

  ask(asking: Asking): Promise<Buffer> {
    if (this.isClosed) return Promise.reject(closed());
    return asking.transport === 'udp' ? this.byUdp(asking) : this.poolOf(asking.server).ask(asking);
  }

  close(): void {
    this.isClosed = true;
    for (const end of [...this.datagrams]) end(closed());
    for (const pool of this.pools.values()) pool.close();
  }

  private poolOf(server: DnsServer): Pool {
    const key = `${server.address} ${server.port}`;
    let pool = this.pools.get(key);
    if (pool === undefined) {
      pool = new Pool(server);
      this.pools.set(key, pool);
    }
    return pool;
  }

  /** A port of its own for each question, as RFC 5452 wants it, and answers of the server alone. */
  private byUdp({ server, question, timeoutMs, isAnswer }: Asking): Promise<Buffer> {
    const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
    const socket = createSocket(isIPv6(server.address) ? 'udp6' : 'udp4');
    let isOver = false;
    const end = (settle: () => void): void => {
      if (isOver) return;
      isOver = true;
      clearTimeout(timer);
      this.datagrams.delete(fail);
      socket.close();
      settle();
    };
    const fail = (error: Error): void => end(() => reject(error));
    const timer = setTimeout(() => fail(timedOut(timeoutMs)), timeoutMs);
    this.datagrams.add(fail);
    socket.on('error', fail);
    socket.on('message', (message) => {
      try {
        if (isAnswer(message)) end(() => resolve(message));
      } catch (error) {
        fail(error as Error);
      }
    });
    socket.connect(server.port, server.address, (error?: Error) => {
      if (isOver) return;
      if (error instanceof Error) return fail(error);
      socket.send(question, (failure) => {
        if (failure !== null) fail(failure);
      });
    });
    return promise;
  }
}

/** Who waits for a connection, or has one. */
interface Turn {
  readonly asking: Asking;
  readonly settle: (result: Buffer | Error) => void;
  /** Until its turn, then until its answer. */
  timer: NodeJS.Timeout;
  /** It was asked on a used connection, which the server may have closed meanwhile. */
  wasRetried: boolean;
  isOver: boolean;
}

/** The connections to one server. */
class Pool {
  private readonly server: DnsServer;
  private readonly idle: Connection[] = [];
  private readonly busy = new Map<Connection, Turn>();
  private readonly waiting: Turn[] = [];

  constructor(server: DnsServer) {
    this.server = server;
  }

  ask(asking: Asking): Promise<Buffer> {
    const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
    const settle = (result: Buffer | Error): void => {
      if (turn.isOver) return;
      turn.isOver = true;
      clearTimeout(turn.timer);
      if (result instanceof Error) reject(result);
      else resolve(result);
    };
    const timer = setTimeout(() => this.giveUp(turn), WAITS * asking.timeoutMs);
    const turn: Turn = { asking, settle, timer, wasRetried: false, isOver: false };
    this.waiting.push(turn);
    this.next();
    return promise;
  }

  close(): void {
    const turns = [...this.busy.values(), ...this.waiting.splice(0)];
    const connections = [...this.busy.keys(), ...this.idle.splice(0)];
    this.busy.clear();
    for (const turn of turns) turn.settle(closed());
    for (const connection of connections) connection.end();
  }

  private giveUp(turn: Turn): void {
    turn.settle(timedOut(turn.asking.timeoutMs));
    const at = this.waiting.indexOf(turn);
    if (at >= 0) this.waiting.splice(at, 1);
    for (const [connection, one] of this.busy) {
      // An answer that comes late would be taken for the next one's.
      if (one === turn) this.drop(connection);
    }
    this.next();
  }

  private next(): void {
    while (this.waiting.length > 0) {
      const connection = this.idle.pop() ?? this.open();
      if (connection === null) return;
      const turn = this.waiting.shift()!;
      this.busy.set(connection, turn);
      clearTimeout(turn.timer);
      turn.timer = setTimeout(() => this.giveUp(turn), turn.asking.timeoutMs);
      connection.send(turn.asking.question);
    }
  }

  private open(): Connection | null {
    if (this.busy.size >= CONNECTIONS_MAX) return null;
    const connection: Connection = new Connection(this.server, {
      onMessage: (message) => this.take(connection, message),
      onEnd: (error) => this.lost(connection, error),
    });
    return connection;
  }

  private take(connection: Connection, message: Buffer): void {
    const turn = this.busy.get(connection);
    if (turn === undefined) return this.drop(connection);
    this.busy.delete(connection);
    this.idle.push(connection);
    connection.rest();
    turn.settle(message);
    this.next();
  }

  private lost(connection: Connection, error: Error): void {
    const turn = this.busy.get(connection);
    this.drop(connection);
    if (turn !== undefined && connection.hasAnswered && !turn.wasRetried && !turn.isOver) {
      turn.wasRetried = true;
      this.waiting.unshift(turn);
      // Others that are idle were opened at the same time.
      for (const one of this.idle.splice(0)) one.end();
    } else turn?.settle(error);
    this.next();
  }

  private drop(connection: Connection): void {
    this.busy.delete(connection);
    const at = this.idle.indexOf(connection);
    if (at >= 0) this.idle.splice(at, 1);
    connection.end();
  }
}

interface ConnectionEvents {
  readonly onMessage: (message: Buffer) => void;
  readonly onEnd: (error: Error) => void;
}

/** One connection: messages with their length before them. */
class Connection {
  hasAnswered = false;
  private readonly socket: Socket;
  private readonly pieces = new Pieces();
  /** Of the message; null while it is not known. */
  private length: number | null = null;
  private isOver = false;

  constructor(server: DnsServer, { onMessage, onEnd }: ConnectionEvents) {
    this.socket = createConnection({ host: server.address, port: server.port, noDelay: true });
    const lost = (error: Error): void => {
      if (this.isOver) return;
      this.end();
      onEnd(error);
    };
    this.socket.on('error', lost);
    this.socket.on('close', () => lost(new CodedError('closed', 'the server closed')));
    this.socket.on('timeout', () => lost(new CodedError('idle', 'the connection was idle')));
    this.socket.on('data', (piece: Buffer) => {
      if (this.isOver) return;
      this.pieces.push(piece);
      if (this.length === null) {
        if (this.pieces.bytes < LENGTH_BYTES) return;
        const all = this.pieces.take();
        this.length = all.readUInt16BE();
        this.pieces.push(all.subarray(LENGTH_BYTES));
      }
      if (this.pieces.bytes < this.length) return;
      // Nobody asked for more.
      if (this.pieces.bytes > this.length) {
        return lost(new CodedError('bad-message', 'it sent too much'));
      }
      this.length = null;
      const message = this.pieces.take();
      this.hasAnswered = true;
      onMessage(message);
    });
  }

  send(question: Buffer): void {
    this.socket.setTimeout(0);
    this.socket.ref();
    const length = Buffer.alloc(LENGTH_BYTES);
    length.writeUInt16BE(question.length);
    this.socket.write(Buffer.concat([length, question]));
  }

  /** Waits for the next question. */
  rest(): void {
    this.socket.setTimeout(IDLE_MS);
    this.socket.unref();
  }

  end(): void {
    this.isOver = true;
    this.socket.destroy();
  }
}

function closed(): CodedError {
  return new CodedError('closed', 'it is not asked any more');
}

function timedOut(timeoutMs: number): CodedError {
  return new CodedError('timeout', `no answer within ${timeoutMs} ms`);
}
