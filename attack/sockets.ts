// Connections of an attacker: so many are kept open, and opened again where the other side closes.
import type { IncomingMessage } from 'node:http';
import { connect, type Socket } from 'node:net';

/** Between two attempts on one place: an attack is bounded. */
const REOPEN_MS = 500;

export interface HeldOptions {
  readonly port: number;
  readonly count: number;
  /** Called with each connection when it is open. */
  readonly onOpen?: (socket: Socket) => void;
  /** Reads, and throws away, what comes. */
  readonly reads?: boolean;
}

export class HeldConnections {
  private readonly options: HeldOptions;
  private readonly open = new Set<Socket>();
  private readonly timers = new Set<NodeJS.Timeout>();
  private isStopped = false;
  /** Connections that the other side has closed. */
  closed = 0;

  constructor(options: HeldOptions) {
    this.options = options;
  }

  get size(): number {
    return this.open.size;
  }

  /** Opens all; resolves when each is open or was refused. */
  async start(): Promise<void> {
    for (let i = 0; i < this.options.count; i += 1) {
      // A few at a time, so that the queue of the listener does not overflow.
      const opening = this.add();
      if (i % 50 === 49) await opening;
    }
  }

  stop(): void {
    this.isStopped = true;
    for (const timer of this.timers) clearTimeout(timer);
    for (const socket of this.open) socket.destroy();
  }

  private add(): Promise<void> {
    const { port, onOpen, reads = false } = this.options;
    const socket = connect(port, '127.0.0.1');
    if (reads) socket.resume();
    else socket.pause();
    return new Promise((resolve) => {
      socket.on('error', () => {});
      socket.once('connect', () => {
        this.open.add(socket);
        onOpen?.(socket);
        resolve();
      });
      socket.once('close', () => {
        this.open.delete(socket);
        this.closed += 1;
        resolve();
        this.addLater();
      });
    });
  }

  private addLater(): void {
    if (this.isStopped) return;
    const timer = setTimeout(() => {
      this.timers.delete(timer);
      if (!this.isStopped) void this.add();
    }, REOPEN_MS);
    this.timers.add(timer);
  }
}

/** A GET without a body. */
export function get(path: string): string {
  return `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`;
}

/** The body of a question that is asked by Upriver, which writes JSON. */
export async function readJsonOf<T>(request: IncomingMessage): Promise<T> {
  const pieces: Buffer[] = [];
  for await (const piece of request) pieces.push(piece as Buffer);
  return JSON.parse(Buffer.concat(pieces).toString()) as T;
}
