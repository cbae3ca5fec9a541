// A worker in front of one endpoint of HTTP/2, over real connections. The endpoint's first connection of a run says what
// it is given, byte by byte, once all requests are there, and ends; all further ones are served by Node's HTTP/2.
import { ok } from 'node:assert/strict';
import { once } from 'node:events';
import {
  type ClientHttp2Session,
  createServer,
  type Http2Server,
  type ServerHttp2Stream,
} from 'node:http2';
import {
  type AddressInfo,
  createServer as createNetServer,
  type Server,
  type Socket,
} from 'node:net';
import { Decoder } from '../../sim/data/h2/hpack.ts';
import { Flag, FrameType } from '../../src/http2/protocol.ts';
import { ServiceColumn } from '../../src/ledger/layout.ts';
import type { Service } from '../../src/model/service.ts';
import { type Answer, ask, connectHttp2, type Frame } from '../support/http2.ts';
import { openPlane, type Plane } from '../support/plane.ts';
import { makePassive } from '../support/service.ts';
import { framesOf } from './frame-mutation.ts';

const PREFACE_BYTES = 24;
/** Nothing of this takes long; a busy machine takes its time. */
const WAIT_MS = 30_000;

/** One request, and how the good endpoint answers it. */
export interface Call {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | null;
  readonly good: {
    readonly headers: Readonly<Record<string, string>>;
    readonly body: string;
    readonly trailers: Readonly<Record<string, string>> | null;
  };
}

export interface Run {
  /** In the order of the calls. */
  readonly answers: readonly Answer[];
  /** The streams that each call had on the scripted connection. */
  readonly ids: readonly (readonly number[])[];
  /** How often the good endpoint got each call. */
  readonly repeated: readonly number[];
}

const H2C: Service['upstream'] = { protocol: 'h2c', sendProxy: 'off', tls: null, host: 'client' };
/** Failures are what this is about: they neither eject the endpoint nor use up what may be retried. */
const POLICY = {
  upstream: H2C,
  passive: makePassive({ consecutiveFailures: 0, connectFailures: 0, timeouts: 0 }),
  retry: { budgetMinPerSecond: 1e6, connectTimeMs: WAIT_MS },
  // A machine that stands still for a while is no fault of the endpoint's.
  timeouts: { connectMs: WAIT_MS },
};
const LAST: Call = {
  headers: { ':method': 'GET', ':path': '/last' },
  body: null,
  good: { headers: {}, body: 'last', trailers: null },
};

export class EndpointStage {
  private readonly calls: readonly Call[];
  private readonly good: Http2Server;
  private readonly listener: Server;
  private readonly sockets = new Set<Socket>();
  private plane!: Plane;
  private client: ClientHttp2Session | null = null;
  /** What went wrong with the client's connection: it is Upriver's to keep it whole. */
  private clientFault = '';
  private script: readonly Buffer[] | null = null;
  /** The scripted connection is over. */
  private played: Promise<unknown> = Promise.resolve();
  /** By path. */
  private readonly ids = new Map<string, readonly number[]>();
  private readonly repeated = new Map<string, number>();

  private constructor(calls: readonly Call[]) {
    this.calls = calls;
    this.good = createServer();
    this.listener = createNetServer({ allowHalfOpen: true }, (socket) => this.accept(socket));
  }

  static async start(calls: readonly Call[]): Promise<EndpointStage> {
    const stage = new EndpointStage(calls);
    stage.serveWell();
    stage.listener.listen(0, '127.0.0.1');
    await once(stage.listener, 'listening');
    const { port } = stage.listener.address() as AddressInfo;
    stage.plane = await openPlane([port], POLICY);
    return stage;
  }

  private serveWell(): void {
    this.good.on('sessionError', () => {});
    this.good.on('stream', (stream: ServerHttp2Stream, headers) => {
      const path = String(headers[':path']);
      const { good } = this.calls.find((one) => one.headers[':path'] === path) ?? LAST;
      this.repeated.set(path, (this.repeated.get(path) ?? 0) + 1);
      stream.on('error', () => {});
      const { trailers } = good;
      const fields = { ':status': 200, 'x-from': 'good', ...good.headers };
      stream.respond(fields, { waitForTrailers: trailers !== null });
      if (trailers !== null) stream.on('wantTrailers', () => stream.sendTrailers(trailers));
      stream.resume().on('end', () => stream.end(good.body));
    });
  }

  private accept(socket: Socket): void {
    this.sockets.add(socket);
    socket.on('close', () => this.sockets.delete(socket));
    socket.on('error', () => {});
    const { script } = this;
    this.script = null;
    if (script === null) this.good.emit('connection', socket);
    else {
      this.played = new Promise((resolve) => socket.on('close', resolve));
      this.play(socket, script);
    }
  }

  /** Waits until all requests are whole, and says the script. */
  private play(socket: Socket, script: readonly Buffer[]): void {
    const decoder = new Decoder();
    let heard = '';
    let prefaceBytes = PREFACE_BYTES;
    let whole = 0;
    socket.on('end', () => socket.end());
    socket.on('data', (bytes: Buffer) => {
      heard += bytes.toString('latin1');
      if (heard.length < prefaceBytes) return;
      const { frames, rest } = framesOf(heard.slice(prefaceBytes));
      prefaceBytes = 0;
      heard = rest;
      for (const one of frames) {
        if (one.type === FrameType.headers) this.findCall(one, decoder);
        if (one.type > FrameType.headers || (one.flags & Flag.endStream) === 0) continue;
        whole += 1;
        if (whole === this.calls.length) void say(socket, script);
      }
    });
  }

  private findCall({ id, payload }: Frame, decoder: Decoder): void {
    const fields = decoder.decode(Buffer.from(payload, 'latin1'));
    const path = fields.find(([name]) => name === ':path')![1];
    this.ids.set(path, [...(this.ids.get(path) ?? []), id]);
  }

  /** One run: all calls at the same time, in order, and what became of them. Throws where a rule is broken. */
  async run(script: readonly Buffer[]): Promise<Run> {
    const { calls, plane } = this;
    const endedBefore = this.ended;
    this.repeated.clear();
    this.ids.clear();
    this.script = script;
    const session = await this.connected();
    const asked = calls.map(({ headers, body }) =>
      ask(session, { ':authority': 'a', ...headers }, body),
    );
    const answers = await within(Promise.all(asked), 'an exchange that does not end');
    const paths = calls.map(({ headers }) => headers[':path']!);
    const repeated = paths.map((path) => this.repeated.get(path) ?? 0);
    const ids = paths.map((path) => this.ids.get(path) ?? []);
    // What comes next is no concern of the script's.
    await within(this.played, 'a connection that does not end');
    const last = await within(ask(session, { ...LAST.headers, ':authority': 'a' }), 'no answer');
    ok(last.status === 200 && last.body === 'last', `then ${last.status} ${last.body}`);
    ok(this.clientFault === '', `the client's connection: ${this.clientFault}`);
    await this.settled();
    ok(this.ended - endedBefore === calls.length + 1, 'an exchange that did not end once');
    ok(plane.errors.length === 0, `a rule of ours: ${JSON.stringify(plane.errors)}`);
    return { answers, ids, repeated };
  }

  private get ended(): number {
    return this.plane.ledger.serviceTotal(0, ServiceColumn.requests);
  }

  private async connected(): Promise<ClientHttp2Session> {
    if (this.client !== null) return this.client;
    const session = connectHttp2(this.plane.port);
    this.client = session;
    this.clientFault = '';
    session.on('error', (error) => {
      this.clientFault ||= String(error);
    });
    session.on('goaway', (code) => {
      this.clientFault ||= `GOAWAY ${code}`;
    });
    session.on('close', () => {
      this.clientFault ||= 'closed';
    });
    await once(session, 'connect');
    return session;
  }

  /** Until nothing is in flight, and no connection to the endpoint is left. */
  private async settled(): Promise<void> {
    const until = performance.now() + WAIT_MS;
    for (const socket of this.sockets) socket.end();
    while (this.plane.inFlight() > 0 || this.sockets.size > 0) {
      ok(
        performance.now() < until,
        `${this.plane.inFlight()} in flight, ${this.sockets.size} open`,
      );
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  async close(): Promise<void> {
    this.client?.destroy();
    await this.plane.worker.drain(0);
    this.plane.wheel.stop();
    for (const socket of this.sockets) socket.destroy();
    this.listener.close();
  }
}

async function say(socket: Socket, script: readonly Buffer[]): Promise<void> {
  for (const piece of script) {
    socket.write(piece);
    await new Promise((resolve) => setImmediate(resolve));
  }
  socket.end();
}

/** The bytes whole, or in pieces; which is a matter of how many they are. */
export function inPieces(text: string): readonly Buffer[] {
  const bytes = Buffer.from(text, 'latin1');
  const size = [bytes.length, 1, 7, 64][bytes.length % 4]!;
  // A byte at a time is for short ones.
  const piece = Math.max(1, size, Math.ceil(bytes.length / 500));
  const count = Math.ceil(bytes.length / piece);
  return Array.from({ length: count }, (_, i) => bytes.subarray(i * piece, (i + 1) * piece));
}

async function within<T>(what: Promise<T>, fault: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(fault)), WAIT_MS);
  });
  try {
    return await Promise.race([what, late]);
  } finally {
    clearTimeout(timer);
  }
}
