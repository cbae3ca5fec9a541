// A bound address and the connections that came in by it. What it leads to is replaced by each
// snapshot; a connection looks it up at each request, so it follows the table while it lives.
import { codeOf } from '../base/coded-error.ts';
import type { HeadLimits } from '../http1/head-parser.ts';
import type { Hsts } from '../model/listener.ts';
import type { ListenerLimits, ListenerTimeouts } from '../model/service.ts';
import type { ListenerSnapshot } from '../model/snapshot.ts';
import { materialKey } from '../model/tls.ts';
import type { WorkerContext } from './context.ts';
import { Crowd, type Group, type Member } from './limits/crowd.ts';
import type { LiveService } from './live-service.ts';
import type { HelloPeek, ProxyAccept, ServerTls, Wire, WireServer } from './network.ts';
import { proxyAcceptOf } from './proxy-protocol/proxy-accept.ts';
import { Router } from './router.ts';
import { Handshake } from './tls/handshake.ts';

/** Connections of one address that came in by one listener. */
export type Neighbours = Group<Drainable>;

/** A connection as its listener sees it. */
export interface Drainable extends Member<Drainable> {
  /** Finishes what is in flight, then closes; an idle one closes soon. */
  drain(): void;
  /** Closes now. */
  abort(): void;
}

/** Offered by ALPN, the preferred first. */
const HTTP_PROTOCOLS: readonly string[] = ['http/1.1', 'http/1.0'];
const HTTP2_PROTOCOLS: readonly string[] = ['h2', ...HTTP_PROTOCOLS];
const NO_PROTOCOLS: readonly string[] = [];

const PLAIN_TEXT = 'This port speaks HTTPS, and the request came without TLS.\n';
const NOTHING = Buffer.alloc(0);
/** To a client that speaks HTTP where TLS is expected. */
const PLAIN_REPLY = Buffer.from(
  'HTTP/1.1 400 Bad Request\r\nX-Upriver-Reason: plain-http\r\nContent-Type: text/plain; charset=utf-8\r\n' +
    `Content-Length: ${PLAIN_TEXT.length}\r\nConnection: close\r\n\r\n${PLAIN_TEXT}`,
);

export class LiveListener {
  snapshot: ListenerSnapshot;
  /** Limits of the heads of requests that come in here. */
  headLimits: HeadLimits;
  /** The one service behind it; null where routes decide. */
  service: LiveService | null = null;
  router: Router | null = null;
  /** Strict-Transport-Security for responses over TLS, with its CRLF; ''. */
  hstsLine = '';
  private readonly context: WorkerContext;
  /** The TLS that connections get now, and of what it was made. */
  private serverTls: ServerTls | null = null;
  /** Null where no connection begins with a PROXY protocol header. */
  private proxyAccept: ProxyAccept | null = null;
  /** Made when a challenge is first answered by TLS. */
  private helloPeek: HelloPeek | null = null;
  private readonly connections: Crowd<Drainable>;
  private server: WireServer | null = null;
  private isDraining = false;
  private onEmpty: (() => void) | null = null;

  constructor(snapshot: ListenerSnapshot, context: WorkerContext) {
    this.context = context;
    this.connections = new Crowd(context.wheel);
    this.snapshot = snapshot;
    this.headLimits = headLimitsOf(snapshot.limits);
  }

  /** What it leads to from now on. */
  apply(snapshot: ListenerSnapshot, services: ReadonlyMap<string, LiveService>): void {
    if (snapshot.routes !== this.snapshot.routes || this.router === null) {
      this.router = snapshot.routes.length > 0 ? new Router(snapshot.routes) : null;
    }
    this.snapshot = snapshot;
    this.headLimits = headLimitsOf(snapshot.limits);
    this.hstsLine = hstsLineOf(snapshot.policy.hsts);
    this.proxyAccept = proxyAcceptOf(this, this.context);
    this.service = services.get(snapshot.service) ?? null;
  }

  /** Services came or went. One that has closed leads where it did until its service is back. */
  refind(services: ReadonlyMap<string, LiveService>): void {
    this.service = services.get(this.snapshot.service) ?? this.service;
  }

  /**
   * Opens the address. `accept` makes a connection of each wire. Rejects with the system's error
   * (EADDRINUSE, EACCES, EADDRNOTAVAIL).
   */
  async open(accept: (wire: Wire, listener: LiveListener) => Drainable): Promise<void> {
    try {
      this.server = await this.listen(accept);
    } catch (error) {
      const { address } = this.snapshot;
      const isTaken = codeOf(error) === 'EADDRINUSE' && address.kind === 'unix';
      const { network } = this.context;
      if (!isTaken || !(await network.removeStaleSocket(address.path))) throw error;
      this.server = await this.listen(accept);
    }
  }

  private listen(accept: (wire: Wire, listener: LiveListener) => Drainable): Promise<WireServer> {
    const { address } = this.snapshot;
    const take = (wire: Wire): void => {
      // The connection may have ended itself at once: a limit was reached.
      const connection = accept(wire, this);
      if (wire.isOpen) this.connections.add(connection);
      if (this.isDraining) connection.drain();
    };
    return this.context.network.listen({
      address,
      reusePort: true,
      tls: () => this.tlsNow(),
      proxy: () => this.proxyAccept,
      peek: () => (this.context.challenges.hasTls ? this.peekNow() : null),
      onWire: (wire) => {
        // It has waited for its handshake, or for its PROXY header, since before the listener closed.
        if (this.isDraining) this.refind(this.context.services);
        if (!wire.isHandshaking) return take(wire);
        const handshake = new Handshake(wire, this, { context: this.context, onDone: take });
        if (wire.isOpen) this.connections.add(handshake);
      },
    });
  }

  /** The TLS of a connection that comes now: certificates and settings may be others than before. */
  private tlsNow(): ServerTls | 'refuse' | null {
    const { policy, protocol } = this.snapshot;
    const { tls, http2 } = policy;
    if (tls === null || tls === 'pass') return null;
    const material = this.context.tls.get(materialKey(tls));
    if (material === undefined || material.certificates.length === 0) return 'refuse';
    const isHttp = protocol === 'http';
    const protocols = isHttp ? (http2 ? HTTP2_PROTOCOLS : HTTP_PROTOCOLS) : NO_PROTOCOLS;
    const known = this.serverTls;
    const helloMs = this.timeouts.clientHeaderMs;
    const isSame = known?.material === material && known.protocols === protocols;
    if (isSame && known.helloMs === helloMs) return known;
    const plainReply = isHttp ? PLAIN_REPLY : NOTHING;
    this.serverTls = { material, protocols, plainReply, helloMs };
    return this.serverTls;
  }

  private peekNow(): HelloPeek {
    const { clientHeaderMs } = this.timeouts;
    if (this.helloPeek?.timeoutMs !== clientHeaderMs) {
      this.helloPeek = this.context.challenges.peek(clientHeaderMs);
    }
    return this.helloPeek;
  }

  get isOpen(): boolean {
    return this.server !== null;
  }

  /** The TCP port that is listened on; 0 while it is closed, and for a unix socket. */
  get port(): number {
    return this.server?.port ?? 0;
  }

  get connectionCount(): number {
    return this.connections.size;
  }

  get limits(): ListenerLimits {
    return this.snapshot.limits;
  }

  get timeouts(): ListenerTimeouts {
    return this.snapshot.timeouts;
  }

  /**
   * There is no place for one more connection of `service` (null: of any, for want of descriptors) from
   * `address`: closes some that can be spared. False where there is none.
   */
  makeRoom(service: LiveService | null, address: string): boolean {
    return this.connections.makeRoom({ service, address, nowMs: this.context.wheel.nowMs });
  }

  /** `connection` goes on as `next`. */
  replace(connection: Drainable, next: Drainable): void {
    this.connections.add(next);
    this.connections.remove(connection);
    if (this.isDraining) next.drain();
  }

  /** A connection has closed. */
  gone(connection: Drainable): void {
    this.connections.remove(connection);
    if (this.connections.size === 0) this.onEmpty?.();
  }

  /** Accepts no more, once those are in that wait already; their connections go on. */
  async close(): Promise<void> {
    const { server } = this;
    this.server = null;
    this.isDraining = true;
    for (const connection of this.connections.members()) connection.drain();
    await server?.close();
  }

  /** Ends the connections on which nothing is going on, as at the end of the process. */
  drainIdle(): void {
    this.connections.hurry();
    for (const connection of this.connections.members()) {
      if (connection.leisure === 'idle') connection.drain();
    }
  }

  /** Closes; resolves when the last connection has finished. */
  async drain(): Promise<void> {
    await this.close();
    if (this.connections.size === 0) return;
    await new Promise<void>((resolve) => {
      this.onEmpty = resolve;
    });
  }

  /** Closes every connection now; returns how many there were. */
  abort(): number {
    const { size } = this.connections;
    for (const connection of this.connections.members()) connection.abort();
    return size;
  }
}

/** RFC 6797 section 6.1. */
function hstsLineOf(hsts: Hsts | null): string {
  if (hsts === null) return '';
  const more = `${hsts.includeSubdomains ? '; includeSubDomains' : ''}${hsts.preload ? '; preload' : ''}`;
  return `Strict-Transport-Security: max-age=${hsts.maxAgeSeconds}${more}\r\n`;
}

function headLimitsOf({ headerBytes, headerCount, targetBytes }: ListenerLimits): HeadLimits {
  return { headBytes: headerBytes, fieldCount: headerCount, targetBytes };
}
