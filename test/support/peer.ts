// Raw TCP peers that a test scripts byte by byte: an endpoint that hands out its connections, and
// a client. Every wait ends with the bytes, or fails and says what was there instead.
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';

/** What is waited for comes; a busy machine takes its time. */
const WAIT_MS = 30_000;
/** Longer than any mark that is waited for. */
const MARK_MAX = 64;

const open = new Set<Socket>();
const servers = new Set<Server>();

/** How the other side ended the connection. */
export type Ending = 'end' | 'reset';

/** One connection, seen from the test's side. Bytes are characters (latin1). */
export class Peer {
  readonly socket: Socket;
  /** What has arrived and was not taken yet. */
  received = '';
  private ending: Ending | null = null;
  /** The end of what had arrived, with what came last: a mark that is new lies here. */
  private latest = '';
  private wake: (() => void) | null = null;

  constructor(socket: Socket) {
    this.socket = socket;
    open.add(socket);
    socket.setNoDelay(true);
    socket.setEncoding('latin1');
    const changed = (): void => this.wake?.();
    socket.on('data', (text: string) => {
      this.latest = this.latest.slice(-MARK_MAX) + text;
      this.received += text;
      changed();
    });
    socket.on('error', () => {
      this.ending = 'reset';
      changed();
    });
    socket.on('end', () => {
      this.ending ??= 'end';
      changed();
    });
    socket.on('close', () => {
      open.delete(socket);
      this.ending ??= 'end';
      changed();
    });
  }

  /** Whether the other side may still send. */
  get isOpen(): boolean {
    return this.ending === null;
  }

  send(text: string): void {
    this.socket.write(text, 'latin1');
  }

  /** Sends the pieces as so many segments: each after the one before has left. */
  async sendPieces(pieces: readonly string[]): Promise<void> {
    for (const piece of pieces) {
      await new Promise((resolve) => this.socket.write(piece, 'latin1', resolve));
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** Ends this side; reading goes on. */
  end(): void {
    this.socket.end();
  }

  reset(): void {
    this.socket.resetAndDestroy();
  }

  /** Takes everything up to and including `mark`. */
  async until(mark: string): Promise<string> {
    // Looked for in all of it once: afterwards in what is new, for there may be megabytes.
    if (!this.received.includes(mark)) {
      await this.wait(`'${mark}'`, () => this.latest.includes(mark));
    }
    return this.cut(this.received.indexOf(mark) + mark.length);
  }

  /** Takes a message head, empty line included. */
  head(): Promise<string> {
    return this.until('\r\n\r\n');
  }

  async take(count: number): Promise<string> {
    await this.wait(`${count} bytes`, () => this.received.length >= count);
    return this.cut(count);
  }

  /** Takes a head and the body that its Content-Length tells of. */
  async message(): Promise<{ head: string; body: string }> {
    const head = await this.head();
    const length = /\r\ncontent-length: (\d+)/i.exec(head)?.[1] ?? '0';
    return { head, body: await this.take(Number(length)) };
  }

  /** Waits for the end of the other side; what came before it stays in `received`. */
  async ended(): Promise<Ending> {
    await this.wait('the end', () => this.ending !== null);
    return this.ending!;
  }

  /** Waits for the end and takes everything before it. */
  async rest(): Promise<string> {
    await this.ended();
    return this.cut(this.received.length);
  }

  private cut(count: number): string {
    const text = this.received.slice(0, count);
    this.received = this.received.slice(count);
    this.latest = this.received.slice(-MARK_MAX);
    return text;
  }

  private wait(what: string, isThere: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const fail = (why: string): void => {
        this.wake = null;
        clearTimeout(timer);
        const got = JSON.stringify(this.received.slice(0, 500));
        reject(new Error(`expected ${what}, ${why} after ${got}`));
      };
      const look = (): void => {
        if (isThere()) {
          this.wake = null;
          clearTimeout(timer);
          resolve();
        } else if (this.ending !== null) fail(this.ending);
      };
      const timer = setTimeout(() => fail('nothing came'), WAIT_MS);
      this.wake = look;
      look();
    });
  }
}

/** An endpoint: its connections come out of `accept` in the order they were made. */
export class Endpoint {
  readonly port: number;
  /** Connections that were made to it. */
  connections = 0;
  private readonly server: Server;
  private readonly waiting: Peer[] = [];
  private takers: ((peer: Peer) => void)[] = [];

  constructor(server: Server, port: number) {
    this.server = server;
    this.port = port;
    server.on('connection', (socket) => {
      this.connections += 1;
      const peer = new Peer(socket);
      const taker = this.takers.shift();
      if (taker === undefined) this.waiting.push(peer);
      else taker(peer);
    });
  }

  /** The next connection. */
  accept(): Promise<Peer> {
    const peer = this.waiting.shift();
    if (peer !== undefined) return Promise.resolve(peer);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error('nobody connected')), WAIT_MS);
      this.takers.push((next) => {
        clearTimeout(timer);
        resolve(next);
      });
    });
  }

  /** Runs `script` again and again on every connection that nobody accepted, until that ends. */
  serve(script: (peer: Peer) => Promise<void>): this {
    const run = (peer: Peer): void => {
      void (async () => {
        while (peer.isOpen) await script(peer);
      })().catch(() => peer.socket.destroy());
    };
    const take = (peer: Peer): void => {
      this.takers.push(take);
      run(peer);
    };
    for (const peer of this.waiting.splice(0)) run(peer);
    this.takers.push(take);
    return this;
  }

  close(): void {
    this.server.close();
  }
}

export async function listenEndpoint(): Promise<Endpoint> {
  const server = createServer({ allowHalfOpen: true });
  servers.add(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  return new Endpoint(server, typeof address === 'object' && address !== null ? address.port : 0);
}

/** A client; it may close one direction and go on with the other. `localAddress`: where it calls from. */
export async function dial(port: number, localAddress = '127.0.0.1'): Promise<Peer> {
  const socket = connect({ port, host: '127.0.0.1', localAddress, allowHalfOpen: true });
  const peer = new Peer(socket);
  await once(socket, 'connect');
  return peer;
}

/** Ends whatever the tests left open. */
export function closePeers(): void {
  for (const socket of open) socket.destroy();
  for (const server of servers) server.close();
  servers.clear();
}
