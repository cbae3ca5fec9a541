// Clients of HTTP/2 for tests: Node's own, which follows the rules, and one that is written frame by
// frame, which need not.
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
} from 'node:http2';
import { FrameType } from '../../src/http2/protocol.ts';
import { dial, type Peer } from './peer.ts';

const sessions = new Set<ClientHttp2Session>();

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  readonly trailers: IncomingHttpHeaders;
  /** Of 1xx responses, in order. */
  readonly interims: readonly number[];
  /** With which the stream ended; 0: well. */
  readonly code: number;
}

export function connectHttp2(port: number): ClientHttp2Session {
  const session = connect(`http://127.0.0.1:${port}`);
  sessions.add(session);
  session.on('error', () => {});
  session.on('close', () => sessions.delete(session));
  return session;
}

export function closeHttp2(): void {
  for (const session of sessions) session.destroy();
}

/** Sends a request and waits for the end of its stream. */
export function ask(
  session: ClientHttp2Session,
  headers: OutgoingHttpHeaders,
  body: string | Buffer | null = null,
): Promise<Answer> {
  const stream = session.request(headers, { endStream: body === null });
  if (body !== null) stream.end(body);
  return answerOf(stream);
}

/** What comes on a stream until it ends. */
export async function answerOf(stream: ClientHttp2Stream): Promise<Answer> {
  let headers: IncomingHttpHeaders = {};
  let trailers: IncomingHttpHeaders = {};
  const interims: number[] = [];
  const pieces: Buffer[] = [];
  stream.on('headers', (fields) => interims.push(Number(fields[':status'])));
  stream.on('response', (fields) => {
    headers = fields;
  });
  stream.on('trailers', (fields) => {
    trailers = fields;
  });
  stream.on('data', (piece: Buffer) => pieces.push(piece));
  stream.on('error', () => {});
  await new Promise((resolve) => stream.on('close', resolve));
  return {
    status: Number(headers[':status'] ?? 0),
    headers,
    body: Buffer.concat(pieces).toString('latin1'),
    trailers,
    interims,
    code: stream.rstCode ?? 0,
  };
}

/** A frame, as text of which each character is a byte. */
export function frame(type: number, flags: number, id: number, payload = ''): string {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(id, 5);
  return head.toString('latin1') + payload;
}

/** Four bytes. */
export function uint32(value: number): string {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes.toString('latin1');
}

/** Literal fields without indexing, names and values as they are (RFC 7541 section 6.2.2). */
export function block(fields: Readonly<Record<string, string>>): string {
  return Object.entries(fields)
    .map(([name, value]) => `\0${literal(name)}${literal(value)}`)
    .join('');
}

function literal(text: string): string {
  if (text.length < 127) return String.fromCharCode(text.length) + text;
  const bytes = [127];
  let rest = text.length - 127;
  for (; rest >= 128; rest >>>= 7) bytes.push((rest & 127) | 128);
  return String.fromCharCode(...bytes, rest) + text;
}

export const GET = { ':method': 'GET', ':scheme': 'http', ':authority': 'a', ':path': '/' };
export const POST = { ...GET, ':method': 'POST' };
export const CLIENT_PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';
export const SETTINGS = frame(FrameType.settings, 0, 0);

export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly id: number;
  readonly payload: string;
}

/** A peer that sends frames as a test says, and reads whole ones. */
export class FramePeer {
  readonly peer: Peer;

  constructor(peer: Peer) {
    this.peer = peer;
  }

  /** Connects, and says what a client says first. */
  static async open(port: number, settings = SETTINGS): Promise<FramePeer> {
    const peer = new FramePeer(await dial(port));
    peer.send(CLIENT_PREFACE, settings);
    return peer;
  }

  send(...frames: readonly string[]): void {
    this.peer.send(frames.join(''));
  }

  async next(): Promise<Frame> {
    const head = Buffer.from(await this.peer.take(9), 'latin1');
    const payload = await this.peer.take(head.readUIntBE(0, 3));
    return { type: head[3]!, flags: head[4]!, id: head.readUInt32BE(5) & 0x7fffffff, payload };
  }

  /** The next frame of this type, on this stream where one is given; others are passed over. */
  async until(type: number, id = -1): Promise<Frame> {
    for (;;) {
      const one = await this.next();
      if (one.type === type && (id < 0 || one.id === id)) return one;
    }
  }

  /** The error code of the RST_STREAM of `id`. */
  async resetOf(id: number): Promise<number> {
    return codeAt((await this.until(FrameType.rstStream, id)).payload, 0);
  }

  /** The error code of the GOAWAY that ends the connection. */
  async goaway(): Promise<number> {
    return codeAt((await this.until(FrameType.goaway)).payload, 4);
  }
}

function codeAt(payload: string, at: number): number {
  return Buffer.from(payload, 'latin1').readUInt32BE(at);
}
