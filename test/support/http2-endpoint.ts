// Endpoints that speak HTTP/2: Node's server, which a test scripts by streams, and a raw one that is
// scripted by frames.
import { once } from 'node:events';
import {
  createServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
  type Settings,
} from 'node:http2';
import { FramePeer, SETTINGS } from './http2.ts';
import { type Endpoint, listenEndpoint } from './peer.ts';

export type Handler = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void;

const servers = new Set<Http2Server>();
const sessions = new Set<ServerHttp2Session>();

export interface Http2Endpoint {
  readonly port: number;
  /** Connections that were made to it. */
  readonly connections: ServerHttp2Session[];
  /** Streams that were opened. */
  streams: number;
}

export async function serveHttp2(
  handler: Handler,
  settings: Settings = {},
): Promise<Http2Endpoint> {
  const server = createServer({ settings });
  servers.add(server);
  const made: { port: number; connections: ServerHttp2Session[]; streams: number } = {
    port: 0,
    connections: [],
    streams: 0,
  };
  server.on('session', (session) => {
    sessions.add(session);
    made.connections.push(session);
    session.on('error', () => {});
    session.on('close', () => sessions.delete(session));
  });
  server.on('stream', (stream, headers) => {
    made.streams += 1;
    stream.on('error', () => {});
    handler(stream as ServerHttp2Stream, headers);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  made.port = typeof address === 'object' && address !== null ? address.port : 0;
  return made;
}

export function closeHttp2Endpoints(): void {
  for (const session of sessions) session.destroy();
  for (const server of servers) server.close();
  servers.clear();
}

/** An endpoint whose frames a test writes. */
export class FrameEndpoint {
  readonly endpoint: Endpoint;

  private constructor(endpoint: Endpoint) {
    this.endpoint = endpoint;
  }

  static async listen(): Promise<FrameEndpoint> {
    return new FrameEndpoint(await listenEndpoint());
  }

  /** The next connection, of which the client's preface is read. */
  async accept(settings = SETTINGS): Promise<FramePeer> {
    const peer = await this.endpoint.accept();
    await peer.until('SM\r\n\r\n');
    peer.send(settings);
    return new FramePeer(peer);
  }
}
