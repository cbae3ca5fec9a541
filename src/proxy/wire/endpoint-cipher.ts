// A connection to an endpoint with TLS over the system's handle.
// States: connecting -> introducing -> encrypted. What the connection begins with in plain is with the system
// before the handshake begins; nearly always it takes that at once.
import type { PeerCertificate, SecureContext } from 'node:tls';
import { CipherSocket } from './cipher-socket.ts';
import { onWriteDone } from './handle-socket.ts';
import { SessionKeeper, type SessionStore } from './session-keeper.ts';
import type { CipherHandle, SystemHandles, TcpHandle } from './system-handles.ts';
import type { TlsWire } from './tls-wire.ts';

/** The same for all connections to an endpoint, but for the session and the introduction. */
export interface EndpointOptions {
  readonly context: SecureContext;
  /** As ALPN has it on the wire; null for none. */
  readonly protocols: Uint8Array | null;
  /** That is asked for; '' for none. */
  readonly serverName: string;
  /** To be resumed; null: none. */
  readonly session: Buffer | null;
  /** Where sessions are kept. */
  readonly store: SessionStore;
  /** What the connection begins with, in plain; null: nothing. */
  readonly introduction: Buffer | null;
}

export class EndpointCipher extends CipherSocket {
  private readonly options: EndpointOptions;
  private readonly sessions: SessionKeeper;

  constructor(system: SystemHandles, handle: TcpHandle, view: Buffer, options: EndpointOptions) {
    super(system, handle, view);
    this.options = options;
    this.sessions = new SessionKeeper(options.store);
  }

  override connected(status: number): void {
    if (this.destroyed) return;
    this.connecting = false;
    if (status !== 0) {
      this.fail(status, 'connect');
      return;
    }
    // The messages of a handshake are small, and each waits for the one before.
    this._handle.setNoDelay(true);
    const { introduction } = this.options;
    if (introduction === null) this.encrypt();
    else this.introduce(introduction);
  }

  private introduce(introduction: Buffer): void {
    const { state, wasAsync, WriteWrap } = this.system;
    const request = new WriteWrap();
    request.owner = this;
    request.bytes = introduction;
    request.oncomplete = onWriteDone;
    const problem = this._handle.writeBuffer(request, introduction);
    if (problem !== 0) this.fail(problem, 'write');
    else if (state[wasAsync] === 0) this.encrypt();
    // What the endpoint says meanwhile is for the handshake to read.
    else this._handle.readStop();
  }

  override wrote(status: number): void {
    if (this.cipher !== null) return super.wrote(status);
    if (status < 0) this.fail(status, 'write');
    else if (!this.destroyed) this.encrypt();
  }

  private encrypt(): void {
    const { context, protocols, serverName, session } = this.options;
    const cipher = this.wrap(context, false);
    if (protocols !== null) cipher.setALPNProtocols(protocols);
    if (serverName !== '') cipher.setServername(serverName);
    if (session !== null) cipher.setSession(session);
    cipher.onnewsession = onNewSession;
    cipher.enableSessionCallbacks();
    cipher.start();
    this.start();
    if (this.isEnding && !this.destroyed) this.shutdown(true);
  }

  override end(): void {
    // Before the handshake there is nobody to say it to.
    if (this.cipher === null) this.isEnding = true;
    else super.end();
  }

  override get peerProblem(): NodeJS.ErrnoException | null {
    return this.cipher?.verifyError() ?? null;
  }

  /** What the endpoint has shown, without the chain behind it. */
  getPeerCertificate(): PeerCertificate {
    return this.cipher!.getPeerCertificate(false);
  }

  /** Sessions of this connection are good until then, ms since the epoch. */
  certifiedUntil(untilMs: number): void {
    this.sessions.certifiedUntil(untilMs);
  }

  override handshaken(): void {
    super.handshaken();
    if ((this.wire as TlsWire).tls !== null) this.sessions.believed();
  }

  /** For the handle: the endpoint has given a session. */
  taken(session: Buffer): void {
    this.sessions.take(session);
  }
}

function onNewSession(this: CipherHandle, _id: Buffer, session: Buffer): void {
  (this.holder as EndpointCipher).taken(session);
}
