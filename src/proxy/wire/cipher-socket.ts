// A connection with TLS over the system's handle: Node's encryption without its TLSSocket, whose making costs as
// much as a third of a handshake, and which copies and reports each write once more. What clients' connections
// (accepted-cipher.ts) and those to endpoints (endpoint-cipher.ts) have in common.
// Invariant: Node takes one write at a time; while it is under way, others lie in `queue`.
import type { X509Certificate } from 'node:crypto';
import type { SecureContext } from 'node:tls';
import { assert } from '../../base/assert.ts';
import { EALREADY, HandleSocket, onClosed, onWriteDone } from './handle-socket.ts';
import { countTogether } from './large-writes.ts';
import type { Pace } from './rests.ts';
import type { CipherHandle, SystemHandles, TcpHandle, WriteRequest } from './system-handles.ts';
import type { TlsDoor, TlsWire } from './tls-wire.ts';

export abstract class CipherSocket extends HandleSocket implements TlsDoor {
  isEndAuthentic = false;
  /** Null until the handshake begins. */
  protected cipher: CipherHandle | null = null;
  protected readonly view: Buffer;
  private queue: Buffer[] = [];
  private isWriting = false;
  /** How many writes the one under way is of. */
  private reports = 0;
  private reported: (() => void) | null = null;
  /** Closes when the end was said. */
  private isLeaving = false;

  constructor(system: SystemHandles, handle: TcpHandle, view: Buffer) {
    super(system, handle, view);
    this.view = view;
  }

  /** From now on the handle is read and written by Node's encryption. */
  protected wrap({ context }: SecureContext, isServer: boolean): CipherHandle {
    const { _handle: handle } = this;
    const cipher = this.system.wrap(handle, context, isServer, false);
    this.cipher = cipher;
    cipher._parent = handle;
    cipher.onhandshakedone = onHandshakeDone;
    cipher.onerror = onError;
    this.readFrom(cipher, this.view);
    return cipher;
  }

  get asksPeer(): boolean {
    return false;
  }

  get hasPeerCertificate(): boolean {
    return false;
  }

  get peerProblem(): NodeJS.ErrnoException | null {
    return null;
  }

  get servername(): string | false {
    return this.cipher?.getServername() ?? false;
  }

  get alpnProtocol(): string | false {
    return this.cipher?.getALPNNegotiatedProtocol() ?? false;
  }

  isSessionReused(): boolean {
    return this.cipher?.isSessionReused() ?? false;
  }

  getProtocol(): string | null {
    return this.cipher?.getProtocol() ?? null;
  }

  getCipher() {
    return this.destroyed ? undefined : this.cipher?.getCipher();
  }

  getPeerX509Certificate(): X509Certificate | undefined {
    return undefined;
  }

  get isWritten(): boolean {
    return this._handle.writeQueueSize === 0;
  }

  secured(): void {
    // Errors are told to this one from the beginning.
  }

  soon(run: () => void): void {
    this.system.soon(run);
  }

  get pace(): Pace {
    return this.system;
  }

  override get writableLength(): number {
    return this.isWriting ? Math.max(1, this._handle.writeQueueSize) : 0;
  }

  override write(bytes: Buffer, reported?: () => void): boolean {
    if (this.destroyed) return false;
    if (reported !== undefined) this.reported = reported;
    if (this.isWriting) this.queue.push(bytes);
    else this.sent(this.stream.writeBuffer(this.writing(1), bytes));
    return false;
  }

  /** What follows goes out in one write, as far as it may; Node gathers it in memory that V8 does not count. */
  private sendQueue(): void {
    const { queue } = this;
    const pieces = queue.splice(0, countTogether(queue, (this.wire as TlsWire).writeBytesMax));
    const request = this.writing(pieces.length);
    if (pieces.length === 1) this.sent(this.stream.writeBuffer(request, pieces[0]!));
    else this.sent(this.stream.writev(request, pieces, true));
  }

  /** A request for so many writes; what it is for is encrypted, or copied, before the call returns. */
  private writing(reports: number): WriteRequest {
    assert(this.cipher !== null, 'nothing is sent without encryption');
    const request = new this.system.WriteWrap();
    request.owner = this;
    request.oncomplete = onWriteDone;
    this.isWriting = true;
    this.reports = reports;
    return request;
  }

  private sent(problem: number): void {
    if (problem !== 0) this.fail(problem, 'write');
  }

  override wrote(status: number): void {
    const { reports, queue } = this;
    this.isWriting = false;
    if (status < 0) this.fail(status, 'write');
    if (this.destroyed) return;
    if (queue.length > 0) this.sendQueue();
    else if (this.isEnding) this.shutdown(true);
    for (let i = 0; i < reports; i += 1) this.reported?.();
  }

  override end(): void {
    if (this.isEnding || this.destroyed) return;
    this.isEnding = true;
    if (!this.isWriting) this.shutdown(true);
  }

  override shut(): void {
    if (this.isLeaving) this.destroy();
    else super.shut();
  }

  destroySoon(): void {
    this.isLeaving = true;
    if (this.isShut) this.destroy();
    else this.end();
  }

  cutOff(): void {
    this.resetAndDestroy();
  }

  /**
   * Node reports the end alike when the peer has said close_notify and when somebody has sent a FIN in
   * its place. After a FIN the system's handle is no longer being read.
   */
  protected override ended(): void {
    const isRead = this._handle.readStart() === EALREADY;
    // What we don't read can't have ended.
    this.isEndAuthentic = isRead || (this.wire as TlsWire).isHeldBack;
    this.hasEnded = true;
    this.wire!.ended();
    if (this.isShut && !this.destroyed) this.destroy();
  }

  /** For the handle: the handshake is done. */
  handshaken(): void {
    if (!this.destroyed) (this.wire as TlsWire).secured();
  }

  /** For the handle: OpenSSL says what is wrong. */
  broken(error: NodeJS.ErrnoException): void {
    if (this.destroyed) return;
    this.error = error;
    this.destroy();
  }

  protected override close(): void {
    // OpenSSL may be within a call of ours: it is told by the handle.
    this._handle.close(onClosed);
  }

  override closed(): void {
    // What it still holds refers to the handle.
    this.cipher?.destroySSL();
    super.closed();
  }
}

const holderOf = (of: CipherHandle) => of.holder as CipherSocket;

function onHandshakeDone(this: CipherHandle): void {
  holderOf(this).handshaken();
}

function onError(this: CipherHandle, error: NodeJS.ErrnoException): void {
  holderOf(this).broken(error);
}
