// Node's TLSWrap, over a simulated handle and with the fake TLS in the place of OpenSSL. The rules are those
// of Node's src/crypto/crypto_tls.cc: it encrypts at once; it hands at most ten pieces of 16 KiB to the
// system at a time; a write is reported in a later turn; several reads may come out of one of the system's,
// also after readStop; the end is told by close_notify, or by FIN where none has come before.

import type { PeerCertificate } from 'node:tls';
import type {
  CipherHandle,
  HandleRequest,
  WriteRequest,
} from '../../src/proxy/wire/system-handles.ts';
import { joined } from '../kernel/bytes.ts';
import { systemError } from '../kernel/system-error.ts';
import { problemWith, readCertificate } from './certificate.ts';
import type { TlsEngine } from './engine.ts';
import { engineOf } from './engine-of.ts';
import type { EngineOptions, TlsEvent } from './engine-parts.ts';
import {
  errno,
  type HandleParts,
  type SimTcpHandle,
  type StreamListener,
} from './sim-tcp-handle.ts';

const EOF = errno('EOF');
const ECANCELED = errno('ECANCELED');
const EPROTO = errno('EPROTO');
const STEP_BYTES = 10 * 16 * 1024;
/** What bytes are overwritten with as soon as the product may not read them any more. */
const POISON = 0x7e;
const NOTHING = Buffer.alloc(0);

/** What a SecureContext is made of here. */
export interface SimContext {
  readonly chain: string;
  /** Who may resume the sessions. */
  readonly ticketKey: string;
  /** Who may issue the certificates of peers. */
  readonly authority: string;
}

export class SimCipherHandle implements CipherHandle, StreamListener {
  _parent: SimTcpHandle;
  holder?: unknown;
  onread!: CipherHandle['onread'];
  onhandshakedone!: (this: CipherHandle) => void;
  onerror!: (this: CipherHandle, error: NodeJS.ErrnoException) => void;
  oncertcb!: (this: CipherHandle, hello: { readonly servername: string }) => void;
  onnewsession!: CipherHandle['onnewsession'];
  /** For the simulator: the handshake is done or has failed; once. */
  onSettled: (() => void) | null = null;
  sni_context?: unknown;
  private readonly parts: HandleParts;
  private options: EngineOptions;
  private readonly authority: string;
  private hasSessionCallbacks = false;
  private engine: TlsEngine | null = null;
  private view!: Buffer;
  private hasCertCb = false;
  private isWriting = false;
  private write: WriteRequest | null = null;
  /** Written before the handshake is done. */
  private early: Buffer | null = null;
  private isInWrite = false;
  private hasEof = false;
  private isDestroyed = false;
  private depth = 0;

  constructor(
    parts: HandleParts,
    parent: SimTcpHandle,
    { options, authority }: { readonly options: EngineOptions; readonly authority: string },
  ) {
    this.parts = parts;
    this._parent = parent;
    this.options = options;
    this.authority = authority;
    parent.listener = this;
  }

  private get ssl(): TlsEngine {
    this.engine ??= engineOf(this.options);
    return this.engine;
  }

  setALPNProtocols(list: Uint8Array): void {
    const protocols: string[] = [];
    for (let at = 0; at < list.length; at += 1 + list[at]!)
      protocols.push(Buffer.from(list.subarray(at + 1, at + 1 + list[at]!)).toString('latin1'));
    this.options = { ...this.options, protocols };
  }

  setServername(serverName: string): void {
    this.options = { ...this.options, serverName };
  }

  setSession(ticket: Buffer): void {
    this.options = { ...this.options, ticket };
  }

  enableSessionCallbacks(): void {
    this.hasSessionCallbacks = true;
  }

  enableCertCb(): void {
    this.hasCertCb = true;
  }

  /** Of a client: says hello. */
  start(): void {
    this.ssl.start();
    this.encryptOut();
  }

  useUserBuffer(view: Buffer): void {
    this.view = view;
  }

  readStart(): number {
    return this.hasEof ? 0 : this._parent.readStart();
  }

  readStop(): number {
    return this._parent.readStop();
  }

  // Reading

  onRead(bytes: Buffer): void {
    if (this.isDestroyed) return;
    this.ssl.feed(bytes);
    this.cycle();
  }

  onReadError(status: number): void {
    if (this.isDestroyed) return;
    this.clearOut();
    if (this.isDestroyed || (status === EOF && this.hasEof)) return;
    if (status === EOF) this.hasEof = true;
    this.tell(status);
  }

  receive(bytes: Buffer): void {
    this.onRead(Buffer.from(bytes));
  }

  private cycle(): void {
    this.depth += 1;
    if (this.depth > 1) return;
    for (; this.depth > 0; this.depth -= 1) {
      this.clearIn();
      this.clearOut();
      this.encryptOut();
    }
  }

  private clearOut(): void {
    while (!this.hasEof && !this.isDestroyed) {
      const event = this.ssl.next();
      if (event === null) return;
      this.take(event);
    }
  }

  private take(event: TlsEvent): void {
    switch (event.kind) {
      case 'hello':
        if (this.hasCertCb) this.oncertcb({ servername: event.serverName });
        else this.ssl.choose(null);
        return;
      case 'established':
        this.settle();
        return this.onhandshakedone();
      case 'ticket':
        if (this.hasSessionCallbacks) this.onnewsession(NOTHING, event.ticket);
        return;
      case 'closed':
        this.hasEof = true;
        return this.tell(EOF);
      case 'failed':
        // The alert comes before whatever follows from the error.
        this.encryptOut();
        return this.onerror(event.error);
      default:
        return this.hand(event.bytes);
    }
  }

  private settle(): void {
    const { onSettled } = this;
    this.onSettled = null;
    onSettled?.();
  }

  /** Hands bytes to the product, in its own buffer. */
  private hand(bytes: Buffer): void {
    for (let at = 0; at < bytes.length && !this.isDestroyed; ) {
      const { view } = this;
      const count = Math.min(view.length, bytes.length - at);
      view.set(count === bytes.length ? bytes : bytes.subarray(at, at + count));
      at += count;
      this.tell(count);
      // Where the view stays nothing may refer to its bytes any more.
      if (this.view === view) Uint8Array.prototype.fill.call(view, POISON, 0, count);
    }
  }

  private tell(count: number): void {
    const { state, readCount } = this.parts;
    state[readCount] = count;
    const next = this.onread();
    if (next !== undefined) this.view = next;
  }

  /** The chain was chosen, by the name. */
  certCbDone(): void {
    const { chain, ticketKey } = (this.sni_context as SimContext | undefined) ?? this.options;
    this.ssl.choose(chain, ticketKey ?? null);
    this.cycle();
  }

  // Writing

  writeBuffer(request: WriteRequest, bytes: Buffer): number {
    const { state, wasAsync } = this.parts;
    if (this.isDestroyed) return EPROTO;
    if (this.write !== null) throw new Error('a second write while one is under way');
    this.write = request;
    if (this.ssl.state === 'open') this.ssl.write(bytes);
    else this.early = Buffer.from(bytes);
    this.isInWrite = true;
    this.encryptOut();
    this.isInWrite = false;
    // It is reported in a turn of its own, also where the system has it at once.
    if (!this.isWriting) this.later(() => this.encryptOut());
    state[wasAsync] = 1;
    return 0;
  }

  writev(request: WriteRequest, pieces: readonly Buffer[]): number {
    return this.writeBuffer(request, joined(pieces));
  }

  private clearIn(): void {
    if (this.early === null || this.isDestroyed || this.ssl.state !== 'open') return;
    this.ssl.write(this.early);
    this.early = null;
  }

  private encryptOut(): void {
    if (this.isDestroyed || this.isWriting) return;
    const { out } = this.ssl;
    if (out.length === 0) {
      if (!this.isInWrite && this.early === null) this.reportWrite(0);
      return;
    }
    const all = joined(out);
    const isMore = all.length > STEP_BYTES;
    const step = isMore ? all.subarray(0, STEP_BYTES) : all;
    this.ssl.out = isMore ? [all.subarray(STEP_BYTES)] : [];
    this.isWriting = true;
    const result = this._parent.send(step, (status) => this.wrote(status), true);
    this.parts.descriptors.noteBuffered(this._parent.writeQueueSize + all.length - step.length);
    if (typeof result === 'number') {
      this.isWriting = false;
      this.ssl.out = [];
      if (this.isInWrite) this.later(() => this.reportWrite(result));
      else this.reportWrite(result);
    } else if (result) this.later(() => this.wrote(0));
  }

  private wrote(status: number): void {
    this.isWriting = false;
    if (this.isDestroyed) return;
    if (status !== 0) return this.reportWrite(status);
    this.clearIn();
    this.encryptOut();
  }

  private reportWrite(status: number): void {
    const { write } = this;
    this.write = null;
    write?.oncomplete.call(write, status);
  }

  private later(run: () => void): void {
    this.parts.kernel.after(0, run);
  }

  shutdown(request: HandleRequest): number {
    if (!this.isDestroyed) {
      this.ssl.close();
      this.encryptOut();
    }
    return this._parent.shutdown(request);
  }

  destroySSL(): void {
    if (this.isDestroyed) return;
    this.isDestroyed = true;
    this.settle();
    this._parent.listener = null;
    this.reportWrite(ECANCELED);
  }

  // Facts

  getALPNNegotiatedProtocol(): string | false {
    return this.ssl.protocol || false;
  }

  getServername(): string | false {
    return this.ssl.serverName || false;
  }

  isSessionReused(): boolean {
    return this.ssl.isResumed;
  }

  getProtocol(): string {
    return this.ssl.version;
  }

  getCipher() {
    return { name: 'TLS_FAKE', standardName: 'TLS_FAKE', version: this.ssl.version };
  }

  /** As OpenSSL says it; null: the peer is to be trusted. */
  verifyError(): NodeJS.ErrnoException | null {
    const { authority } = this;
    const { nowMs } = this.parts.kernel;
    // Of a session that is resumed it is what was found when that began.
    if (!this.options.isServer && this.isSessionReused()) return null;
    const certificate = readCertificate(this.peerChain);
    const problem =
      certificate === null
        ? 'UNABLE_TO_GET_ISSUER_CERT'
        : problemWith(certificate, { authority, nowMs });
    return problem === '' ? null : systemError(problem);
  }

  getPeerCertificate(): PeerCertificate {
    const { names = [], untilMs = 0 } = readCertificate(this.peerChain) ?? {};
    const subjectaltname = names.map((name) => `DNS:${name}`).join(', ');
    const valid_to = new Date(untilMs).toUTCString();
    // This much of one is read.
    return { subject: {}, subjectaltname, valid_to } as unknown as PeerCertificate;
  }

  /** What the peer has shown; '' for nothing. */
  get peerChain(): string {
    return this.ssl.peerChain;
  }
}
