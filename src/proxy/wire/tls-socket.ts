// Node's TLS over a socket of the system, without a socket of Node's in between: the handle is given to
// it directly, and reads land in our buffers. Both are undocumented for accepted connections, as is
// what `CipherHandle` lists; test/proxy/tls-wire.test.ts looks for each of them on the Node that is
// shipped.
import { Socket } from 'node:net';
import { TLSSocket, type TLSSocketOptions } from 'node:tls';
import { systemClock } from '../../base/clock.ts';
import { EALREADY } from './handle-socket.ts';
import { countTogether, SMALL_WRITE_BYTES } from './large-writes.ts';
import { sendPlain } from './plain-reply.ts';
import type { Pace } from './rests.ts';
import { SessionKeeper, type SessionStore } from './session-keeper.ts';
import { acceptedOnread } from './socket-events.ts';
import { systemHandles } from './system-handles.ts';
import type { TlsWire } from './tls-wire.ts';

/** A handle of the system's: TCP, or a unix socket, which has no reset. */
export interface SystemHandle {
  readonly writeQueueSize: number;
  /** 0, or what was wrong: EALREADY where it is being read. */
  readStart(): number;
  close(done: () => void): void;
  reset?(done: () => void): number;
}

/** What lies between the two: Node's encryption. */
interface CipherHandle {
  readonly _parent?: SystemHandle;
  /** Node's own note. */
  reading: boolean;
  readStart(): number;
  readStop(): number;
  /** Ours: whose handle it is, once it was held back. */
  holder?: WiredTlsSocket;
  onnewsession: (id: Buffer, session: Buffer) => void;
  enableSessionCallbacks(): void;
  destroySSL(): void;
  /** Bytes of the peer that were read before; Node gives it those of a socket that it wraps. */
  receive(bytes: Buffer): void;
  verifyError(): Error | null;
  hasPeerCertificate(): boolean;
  close(done?: () => void): void;
}

/** OpenSSL's name for a request line in the place of a ClientHello. */
export const HTTP_REQUEST = 'ERR_SSL_HTTP_REQUEST';

export interface TlsSocketOptions extends TLSSocketOptions {
  readonly handle?: unknown;
  readonly allowHalfOpen: true;
}

type Chunks = { chunk: unknown; encoding: BufferEncoding }[];

interface Destination {
  readonly address: string;
  readonly port: number;
  readonly serverName: string;
}

export class WiredTlsSocket extends TLSSocket {
  wire?: TlsWire;
  readonly isServer: boolean;
  /** A client is asked for its certificate. */
  readonly asksPeer: boolean;
  private sessions: SessionKeeper | null = null;
  /** The peer's end came by close_notify: nobody has cut what it sent. */
  isEndAuthentic = false;
  private hasEnded = false;
  /** What a client gets that speaks HTTP without TLS; null: nothing. */
  plainReply: Buffer | null = null;

  /** Over `options.handle`, or where there is none over `socket`. */
  constructor(socket: Socket | undefined, options: TlsSocketOptions) {
    // The types know no TLS without a socket; tls.connect of Node's own makes it so.
    super(socket as Socket, { ...options, onread: acceptedOnread } as TLSSocketOptions);
    this.isServer = options.isServer === true;
    this.asksPeer = options.requestCert === true;
    // Node takes what has no socket for one that is going to connect.
    if (options.handle !== undefined) setConnected(this);
  }

  // Node's constructor calls it; the handle is that of the options.
  _wrapHandle(wrap: unknown, handle: unknown, hasWrites: boolean): unknown {
    const base = TLSSocket.prototype as unknown as WithWrapHandle;
    const own = (this as unknown as { _tlsOptions: TlsSocketOptions })._tlsOptions.handle;
    return base._wrapHandle.call(this, wrap, handle ?? own, hasWrites);
  }

  /**
   * Node reports the end alike when the peer has said close_notify and when somebody has sent a FIN in
   * its place. It does so while the event is handled, and after a FIN the system's handle is no longer
   * being read.
   */
  override push(chunk: unknown, encoding?: BufferEncoding): boolean {
    if (chunk === null && !this.hasEnded) {
      this.hasEnded = true;
      // What we don't read can't have ended.
      const isHeldBack = this.wire?.isHeldBack === true;
      this.isEndAuthentic = isHeldBack || this.cipher?._parent?.readStart() === EALREADY;
    }
    return super.push(chunk, encoding);
  }

  /**
   * The system's handle is not read from now on. Node would go on, to fill its buffer: a FIN that came by that would
   * pass for close_notify.
   */
  override pause(): this {
    super.pause();
    const { cipher, wire } = this;
    if (cipher === null || this.connecting || wire?.isHeldBack !== true) return this;
    if (cipher.holder === undefined) {
      cipher.holder = this;
      cipher.readStart = readUnlessHeldBack;
    }
    cipher.reading = false;
    cipher.readStop();
    return this;
  }

  override resume(): this {
    super.resume();
    const { cipher } = this;
    // Node takes what was refused above for under way.
    if (cipher?.holder !== undefined && !cipher.reading && !this.destroyed) {
      cipher.reading = true;
      cipher.readStart();
    }
    return this;
  }

  get pace(): Pace | undefined {
    return systemHandles ?? undefined;
  }

  /** Node writes all that waits as one; see large-writes.ts. */
  override _writev(chunks: Chunks, done: (error?: Error | null) => void): void {
    const base = TLSSocket.prototype as unknown as { _writev: WiredTlsSocket['_writev'] };
    const pieces = chunks.map(({ chunk }) => chunk as Buffer);
    const count = countTogether(pieces, this.wire?.writeBytesMax ?? SMALL_WRITE_BYTES);
    if (count === chunks.length) return base._writev.call(this, chunks, done);
    base._writev.call(this, chunks.slice(0, count), (error) => {
      if (error) done(error);
      else this._writev(chunks.slice(count), done);
    });
  }

  private get cipher(): CipherHandle | null {
    return (this as unknown as { _handle: CipherHandle | null })._handle;
  }

  /** Whether the system has taken everything that was encrypted. */
  get isWritten(): boolean {
    return (this.cipher?._parent?.writeQueueSize ?? 0) === 0;
  }

  /** Why the peer's certificate is not to be trusted; null where it is, or none was asked for. */
  get peerProblem(): NodeJS.ErrnoException | null {
    const problem = this.cipher?.verifyError() ?? null;
    // That of a resumed session is OpenSSL's verdict of when it began; the date has moved on since.
    const isOld = problem === null && this.isServer && this.isSessionReused();
    return isOld && this.hasExpired ? expired() : problem;
  }

  private get hasExpired(): boolean {
    const certificate = this.getPeerX509Certificate();
    return certificate !== undefined && systemClock.wallMs() > Date.parse(certificate.validTo);
  }

  /** Sessions with this peer are kept in `store`, once it is believed to be who it should be. */
  takeSessions(store: SessionStore): void {
    const { cipher } = this;
    if (cipher === null) return;
    const sessions = new SessionKeeper(store);
    this.sessions = sessions;
    const taken = (_id: Buffer, session: Buffer): void => sessions.take(session);
    cipher.onnewsession = taken;
    cipher.enableSessionCallbacks();
  }

  certifiedUntil(untilMs: number): void {
    this.sessions?.certifiedUntil(untilMs);
  }

  believed(): void {
    this.sessions?.believed();
  }

  soon(run: () => void): void {
    process.nextTick(run);
  }

  /** What the peer has sent already, to be read before everything else. */
  feed(bytes: Buffer): void {
    this.cipher?.receive(bytes);
  }

  get hasPeerCertificate(): boolean {
    return this.cipher?.hasPeerCertificate() === true;
  }

  /** For a client: connects, and begins the handshake then; `serverName`: '' asks for none. */
  begin({ address, port, serverName }: Destination): void {
    // As Node's tls.connect does it; the types know neither.
    const own = this as unknown as { _start(): void; setServername(name: string): void };
    if (serverName !== '') own.setServername(serverName);
    const options = { host: address, port, noDelay: true, autoSelectFamily: false };
    const connect = Socket.prototype.connect as (o: object, done: () => void) => unknown;
    connect.call(this, options, () => own._start());
  }

  /** As `begin`, over a socket that is connecting: the handshake begins when it has. */
  beginOver(serverName: string): void {
    const own = this as unknown as { _start(): void; setServername(name: string): void };
    if (serverName !== '') own.setServername(serverName);
    own._start();
  }

  /** From now on errors are errors of the connection; Node's own server does the same. */
  secured(): void {
    (this as unknown as { _releaseControl(): void })._releaseControl();
  }

  /** Closes with RST; a unix socket has none. */
  cutOff(): void {
    const parent = this.cipher?._parent;
    if (parent?.reset !== undefined) {
      const close = parent.close.bind(parent);
      parent.close = (done) => {
        if (parent.reset!(done) !== 0) close(done);
      };
    }
    this.destroy();
  }

  /** For a peer that spoke no TLS: once Node gives the system's handle up, it is answered in plain. */
  answerPlain(reply: Buffer): void {
    const { cipher } = this;
    const parent = cipher?._parent;
    if (cipher == null || parent === undefined || reply.length === 0) return;
    const close = parent.close.bind(parent);
    parent.close = (done) => {
      parent.close = close;
      // Node is still within the event that tells of the error.
      setImmediate(() => {
        cipher.destroySSL();
        sendPlain(parent, reply, done);
      });
    };
  }
}

/** In the place of the handle's own. */
function readUnlessHeldBack(this: CipherHandle): number {
  if (this.holder?.wire?.isHeldBack !== true) {
    return (Object.getPrototypeOf(this) as CipherHandle).readStart.call(this);
  }
  this.reading = false;
  return 0;
}

/** As OpenSSL says it at a full handshake. */
function expired(): NodeJS.ErrnoException {
  return Object.assign(new Error('certificate has expired'), { code: 'CERT_HAS_EXPIRED' });
}

function setConnected(socket: { connecting: boolean }): void {
  socket.connecting = false;
}

interface WithWrapHandle {
  _wrapHandle(wrap: unknown, handle: unknown, hasWrites: boolean): unknown;
}
