// A client's connection with TLS over the system's handle: Node's encryption without its TLSSocket,
// whose making costs as much as a third of a handshake. It does what most listeners want; one that asks
// clients for certificates gets a TLSSocket (accept-tls.ts).
// States: silent -> encrypted. Encryption is made with the client's first bytes, which are read as those of
// any connection and handed to it in small pieces: what it reads by itself lands in 64 KiB of Node's, which it
// keeps for as long as the connection lives, and a client that says nothing has no use for it.
import type { X509Certificate } from 'node:crypto';
import type { SecureContext } from 'node:tls';
import { assert } from '../../base/assert.ts';
import { EALREADY, HandleSocket, onWriteDone } from './handle-socket.ts';
import type { CipherHandle, SystemHandles, TcpHandle } from './system-handles.ts';
import { HTTP_REQUEST } from './tls-socket.ts';
import type { TlsDoor, TlsWire } from './tls-wire.ts';

/**
 * Node's memory for cipher text begins with 1 KiB, is joined by 16 KiB for good as soon as that is full, and
 * is empty again after each piece.
 */
const PIECE_BYTES = 1023;

/** The same for all connections of a listener. */
export interface CipherOptions {
  readonly context: SecureContext;
  /** As ALPN has it on the wire; null for none. */
  readonly protocols: Uint8Array | null;
  /** By the name that the client asks for; null where there is one certificate. */
  readonly choose: ((serverName: string) => SecureContext | null) | null;
  readonly plainReply: Buffer;
}

export class CipherSocket extends HandleSocket implements TlsDoor {
  isEndAuthentic = false;
  /** Null while the client is silent. */
  protected cipher: CipherHandle | null = null;
  private readonly view: Buffer;
  private readonly options: CipherOptions;
  /** Node takes one write at a time: what follows, and how many wait for it or are under way. */
  private queue: Buffer[] = [];
  private isWriting = false;
  private reports = 0;
  private reported: (() => void) | null = null;
  /** Closes when the end was said. */
  private isLeaving = false;
  /** It spoke HTTP without TLS, and gets an answer. */
  private isPlain = false;

  constructor(system: SystemHandles, handle: TcpHandle, view: Buffer, options: CipherOptions) {
    super(system, handle, view);
    this.view = view;
    this.options = options;
  }

  /** What the client has sent already, to be read before everything else. */
  feed(bytes: Buffer): void {
    if (this.destroyed) return;
    const cipher = this.cipher ?? this.encrypt();
    this.start();
    for (let at = 0; at < bytes.length && !this.destroyed; at += PIECE_BYTES)
      cipher.receive(bytes.subarray(at, at + PIECE_BYTES));
  }

  override read(): Buffer | undefined {
    const { state, readCount } = this.system;
    const count = state[readCount]!;
    if (this.cipher !== null || count <= 0 || this.destroyed) return super.read();
    // What is decrypted of it lands where it lies.
    this.feed(Buffer.from(this.view.subarray(0, count)));
    return undefined;
  }

  /** From now on the handle is read and written by Node's encryption. */
  protected encrypt(): CipherHandle {
    const { _handle: handle, options } = this;
    const cipher = this.system.wrap(handle, options.context.context, true, false);
    this.cipher = cipher;
    cipher._parent = handle;
    cipher.onhandshakedone = onHandshakeDone;
    cipher.onerror = onError;
    if (options.protocols !== null) cipher.setALPNProtocols(options.protocols);
    if (options.choose !== null) {
      cipher.oncertcb = onHello;
      cipher.enableCertCb();
    }
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

  override get writableLength(): number {
    return this.isWriting ? Math.max(1, this._handle.writeQueueSize) : 0;
  }

  override write(bytes: Buffer, reported?: () => void): boolean {
    if (this.destroyed) return false;
    if (reported !== undefined) this.reported = reported;
    if (this.isWriting) this.queue.push(bytes);
    else this.send(bytes, 1);
    return false;
  }

  private send(bytes: Buffer, reports: number): void {
    assert(this.cipher !== null, 'nothing is sent without encryption');
    const request = new this.system.WriteWrap();
    request.owner = this;
    request.bytes = bytes;
    request.oncomplete = onWriteDone;
    this.isWriting = true;
    this.reports = reports;
    const problem = this.stream.writeBuffer(request, bytes);
    if (problem !== 0) this.fail(problem, 'write');
  }

  override wrote(status: number): void {
    const { reports, queue } = this;
    this.isWriting = false;
    if (status < 0) this.fail(status, 'write');
    if (this.destroyed) return;
    if (queue.length > 0) {
      this.queue = [];
      this.send(Buffer.concat(queue), queue.length);
    } else if (this.isEnding) this.shutdown();
    for (let i = 0; i < reports; i += 1) this.reported?.();
  }

  override end(): void {
    if (this.isEnding || this.destroyed) return;
    this.isEnding = true;
    if (!this.isWriting) this.shutdown();
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

  /** For the handle: the client has said the name that it wants. */
  hello(serverName: string): void {
    if (this.destroyed) return;
    try {
      const chosen = this.options.choose!(serverName);
      if (chosen !== null) this.cipher!.sni_context = chosen.context;
      this.cipher!.certCbDone();
    } catch (error) {
      // Thrown by OpenSSL: what lies behind the name does not serve.
      this.broken(error as NodeJS.ErrnoException);
    }
  }

  /** For the handle: the handshake is done. */
  handshaken(): void {
    if (!this.destroyed) (this.wire as TlsWire).secured();
  }

  /** For the handle: OpenSSL says what is wrong. */
  broken(error: NodeJS.ErrnoException): void {
    if (this.destroyed) return;
    this.error = error;
    this.isPlain = error.code === HTTP_REQUEST && this.options.plainReply.length > 0;
    this.destroy();
  }

  protected override close(): void {
    if (!this.isPlain) return super.close();
    const { system, _handle: handle } = this;
    // OpenSSL is still within the call that tells of the error.
    system.later(() => {
      this.cipher!.destroySSL();
      // A socket of Node's begins to read by itself.
      handle.readStop();
      system.sendPlain(handle, this.options.plainReply, () => super.closed());
    });
  }

  override closed(): void {
    // What it still holds refers to the handle.
    this.cipher?.destroySSL();
    super.closed();
  }
}

const ownerOf = (of: CipherHandle) => of.owner as CipherSocket;

function onHandshakeDone(this: CipherHandle): void {
  ownerOf(this).handshaken();
}

function onError(this: CipherHandle, error: NodeJS.ErrnoException): void {
  ownerOf(this).broken(error);
}

function onHello(this: CipherHandle, { servername }: { readonly servername: string }): void {
  ownerOf(this).hello(servername);
}
