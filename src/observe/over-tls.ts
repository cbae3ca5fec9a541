// TLS on the stats port. The first byte of a connection tells a ClientHello from a request in plain,
// which is answered with what to do. This machine is not asked for a certificate of its own: health
// checks, commands and the next process of an upgrade reach the port over loopback.
import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import { type SecureContext, TLSSocket } from 'node:tls';
import type { TlsMaterial } from '../model/tls.ts';
import { contextFor } from '../model/tls-contexts.ts';
import type { Connections } from './connections.ts';

/** From the connection to the end of the handshake. */
const HANDSHAKE_MS = 5000;
/** For who spoke plainly to read why that is wrong. */
const PLAIN_MS = 1000;
/** Type of the record that a ClientHello comes in (RFC 8446 section 5.1). */
const HANDSHAKE_RECORD = 0x16;

const PLAIN_BODY = '{"error":"this port speaks TLS: ask it by https://"}\n';
const PLAIN_REPLY =
  'HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nConnection: close\r\n' +
  `X-Upriver-Reason: plain-http\r\nContent-Length: ${PLAIN_BODY.length}\r\n\r\n${PLAIN_BODY}`;

/** What is in use now; null where there is nothing. Asked at each handshake. */
export type MaterialNow = () => TlsMaterial | null;

/** Undocumented; test/observe/over-tls.test.ts looks for it on the Node that is shipped. */
interface Verified {
  readonly ssl?: { verifyError(): Error | null } | null;
}

/** Connections of this server speak TLS from now on; each keeps its place through the handshake. */
export function speakTls(server: Server, connections: Connections, now: MaterialNow): void {
  // Node's own, which reads requests: it gets the connections that are secured.
  const serve = server.listeners('connection');
  server.removeAllListeners('connection');
  const contexts = new Contexts(now);
  server.on('connection', (raw: Socket) => {
    connections.add(raw);
    // Whatever befalls it, it is closed, and its place is free.
    raw.on('error', () => raw.destroy());
    const timer = setTimeout(() => raw.destroy(), HANDSHAKE_MS).unref();
    raw.once('close', () => clearTimeout(timer));
    const end = (): void => {
      raw.destroy();
    };
    raw.once('end', end);
    raw.once('data', (first: Buffer) => {
      raw.pause();
      if (first[0] !== HANDSHAKE_RECORD) return answerPlain(raw);
      raw.off('end', end);
      raw.unshift(first);
      secure({ raw, isLocal: connections.isLocal(raw) }, contexts, (socket) => {
        clearTimeout(timer);
        connections.secured(raw, socket);
        for (const listener of serve) listener.call(server, socket);
      });
    });
  });
}

/** Calls `done` with a connection whose client has shown what it has to. */
function secure(
  { raw, isLocal }: { raw: Socket; isLocal: boolean },
  contexts: Contexts,
  done: (socket: TLSSocket) => void,
): void {
  const { material } = contexts;
  const secureContext = contexts.of('');
  if (material === null || secureContext === null) {
    raw.destroy();
    return;
  }
  const needsCertificate = material.clientAuth === 'require' && !isLocal;
  const socket = new TLSSocket(raw, {
    isServer: true,
    secureContext,
    requestCert: material.clientAuth !== 'off',
    // Without one it gets an alert; one that is not good is looked at below.
    rejectUnauthorized: needsCertificate,
    ALPNProtocols: ['http/1.1'],
    SNICallback: (name, answer) => answer(null, contexts.of(name) ?? secureContext),
  });
  const fail = (): void => {
    socket.destroy();
  };
  socket.on('error', fail);
  socket.on('_tlsError', fail);
  socket.once('secure', () => {
    const hasCertificate = socket.getPeerX509Certificate() !== undefined;
    const isBad = hasCertificate && (socket as Verified).ssl?.verifyError() != null;
    if (isBad || (needsCertificate && !hasCertificate)) return fail();
    done(socket);
  });
}

function answerPlain(raw: Socket): void {
  raw.setTimeout(PLAIN_MS, () => raw.destroy());
  // What it sends beside is not wanted, and must not reset the answer.
  raw.resume();
  raw.end(PLAIN_REPLY);
}

/** The secure contexts of what is in use now. */
class Contexts {
  private readonly now: MaterialNow;
  private known: TlsMaterial | null = null;
  private own: TlsMaterial | null = null;

  constructor(now: MaterialNow) {
    this.now = now;
  }

  /** As the store has it, with sessions that no listener resumes: others are asked for there. */
  get material(): TlsMaterial | null {
    const found = this.now();
    if (found !== this.known) {
      this.known = found;
      this.own = found === null ? null : { ...found, key: `stats ${found.key}` };
    }
    return this.own;
  }

  of(serverName: string): SecureContext | null {
    const { material } = this;
    return material === null ? null : contextFor(material, serverName);
  }
}
