// A connection with TLS, as the same wire that a plain one is. What differs:
// - Node encrypts at once, and says later that it did. What it took and the system took is written;
//   what must wait is copied, for Node would refer to it.
// - Several reads may come out of one of the system's, so some come after `pause`: they are kept. Records of a
//   few bytes come by the thousand: after some of them the wire is not read for a turn.
// - An orderly close says close_notify first. An end without it is no end: somebody may have cut the
//   connection, so it is told as an error.
// States: handshake -> open -> gone. In `gone` the handler hears of onClose alone.
import type { X509Certificate } from 'node:crypto';
import type { PeerCertificate, TlsFacts } from '../network.ts';
import { SMALL_WRITE_BYTES } from './large-writes.ts';
import {
  HEADROOM,
  OWN_READ_BYTES,
  type ReadBuffer,
  type ReadBuffers,
  TAILROOM,
} from './read-buffers.ts';
import type { Pace } from './rests.ts';
import { type SocketDoor, SocketWire } from './socket-wire.ts';
import { subjectText } from './subject-text.ts';

/** What is copied, and is not less, goes to a buffer that is reused: fresh memory of this size is what V8 counts. */
const POOLED_BYTES_MIN = 16 * 1024;

/** Records of fewer bytes are small ... */
const SMALL_BYTES = 256;
/** ... and so many of them are given, one by one, before the other connections have a turn ... */
const SMALL_MAX = 64;
/** ... if they came in less time than this: a client that waits for its answers does not. */
const SMALL_MS = 5;
/** Of what is kept, small records share memory of this size. */
const KEPT_BYTES = 8192;

/** Codes of errors that we make, beside those of OpenSSL (`ERR_SSL_...`) and the system. */
const TRUNCATED = 'ERR_TLS_TRUNCATED';
const PEER_REFUSED = 'ERR_TLS_PEER_CERTIFICATE';
const CROWDED_OUT = 'ERR_TLS_CROWDED_OUT';

/** What a wire with TLS needs of its socket beside what any does. */
export interface TlsDoor extends SocketDoor {
  /** A client is asked for its certificate; it has one; why that is not to be trusted, or null. */
  readonly asksPeer: boolean;
  readonly hasPeerCertificate: boolean;
  readonly peerProblem: NodeJS.ErrnoException | null;
  /** The peer's end came by close_notify: nobody has cut what it sent. */
  readonly isEndAuthentic: boolean;
  /** Whether the system has taken everything that was encrypted. */
  readonly isWritten: boolean;
  /** After the handshake; '', false or null where there is none. */
  readonly servername?: string | false | null;
  readonly alpnProtocol: string | false | null;
  /** `reported` is called, never from within, when Node has encrypted the bytes. */
  write(bytes: Buffer, reported: () => void): boolean;
  /** From now on errors are errors of the connection. */
  secured(): void;
  isSessionReused(): boolean;
  getProtocol(): string | null;
  getCipher(): { readonly name: string } | undefined;
  getPeerX509Certificate(): X509Certificate | undefined;
  /** Calls `run` when what is going on is done, and before anything else happens. */
  soon(run: () => void): void;
  /** Without it the wire never rests: where the system's handles are not known. */
  readonly pace?: Pace | undefined;
  /** Says close_notify, and closes then. */
  destroySoon(): void;
  /** Closes with RST; a unix socket has none. */
  cutOff(): void;
}

/** What came while it could not be given: base[HEADROOM,end). */
interface Kept {
  readonly base: Buffer;
  end: number;
}

export interface TlsWireOptions {
  readonly localPort: number;
  /** As TlsWire.judge; without, the wire is a server's. */
  readonly judge?: () => string;
}

export class TlsWire extends SocketWire {
  private readonly secure: TlsDoor;
  /** On the client's side: what is wrong with the peer, as `CODE: text`, or ''. */
  private readonly judge: (() => string) | null;
  private state: 'handshake' | 'open' | 'gone' = 'handshake';
  private facts: TlsFacts | null = null;
  /** Writes that Node has not reported yet. */
  private unreported = 0;
  /** Not everything is with the system: onDrain follows. */
  private isWaiting = false;
  /** For the socket: so much is encrypted at a time. It grows with what is written, where there is room (large-writes.ts). */
  writeBytesMax = SMALL_WRITE_BYTES;
  /** What lies in them is not reported yet. */
  private copies: ReadBuffer[] = [];
  /** What came after `pause`, or while it rests, in order. */
  private kept: Kept[] = [];
  /** Small records that were given since `smallSinceMs`, and whether the wire rests. */
  private small = 0;
  private smallSinceMs = 0;
  private isResting = false;
  private isGivingKept = false;
  private hasKeptEnd = false;
  /** Both sides have ended and the socket has closed, and what came before is still kept. */
  private hasKeptClose = false;
  private fault: NodeJS.ErrnoException | null = null;
  /** Called once, when the handshake is done or the connection is gone. */
  onSettled: (() => void) | null = null;

  constructor(socket: TlsDoor, buffers: ReadBuffers, { localPort, judge }: TlsWireOptions) {
    super(socket, buffers, localPort);
    this.secure = socket;
    this.judge = judge ?? null;
  }

  override get tls(): TlsFacts | null {
    return this.facts;
  }

  override get isHandshaking(): boolean {
    return this.state === 'handshake';
  }

  override get isCopying(): boolean {
    return true;
  }

  override get isFlushed(): boolean {
    return !this.isWaiting;
  }

  /** For the socket: the system's handle is not read, for the handler has paused, or the wire rests. */
  get isHeldBack(): boolean {
    return this.isPaused || this.isResting;
  }

  /** For the socket's side: the handshake is done. */
  secured(): void {
    if (this.state !== 'handshake') return;
    this.settle();
    const problem = this.judge === null ? this.clientProblem() : this.judge();
    if (problem !== '') {
      const at = this.judge === null ? -1 : problem.indexOf(': ');
      this.fail(at < 0 ? PEER_REFUSED : problem.slice(0, at), problem.slice(at < 0 ? 0 : at + 2));
      return;
    }
    this.state = 'open';
    this.facts = new SocketFacts(this.secure);
    this.secure.secured();
    if (this.judge !== null) {
      this.connected();
      return;
    }
    try {
      this.handler.onSecure?.();
    } catch (error) {
      this.broken(error);
    }
  }

  /** Why a client is refused that was asked for its certificate; '' where it is not. */
  private clientProblem(): string {
    const { secure } = this;
    if (!secure.asksPeer || !secure.hasPeerCertificate) return '';
    const { peerProblem } = secure;
    return peerProblem === null ? '' : (peerProblem.code ?? peerProblem.message);
  }

  private settle(): void {
    const { onSettled } = this;
    this.onSettled = null;
    onSettled?.();
  }

  /** Its handshake gets nowhere, and others wait. */
  crowdedOut(): void {
    this.fail(CROWDED_OUT, 'the handshake took too long while others waited');
  }

  private fail(code: string, why: string): void {
    this.fault ??= Object.assign(new Error(why), { code });
    this.isClosing = true;
    this.secure.destroy();
  }

  override write(bytes: Buffer): boolean {
    if (bytes.length > this.writeBytesMax) this.grow(bytes.length);
    if (this.unreported > 0 || bytes.length > this.writeBytesMax) {
      this.isWaiting = true;
      this.writePieces(bytes);
    } else {
      this.writePiece(bytes);
      if (!this.secure.isWritten) this.isWaiting = true;
    }
    return !this.isWaiting;
  }

  private grow(wanted: number): void {
    if (this.isClosing) return;
    this.writeBytesMax = this.buffers.largeWrites.raise(this.writeBytesMax, wanted);
  }

  private writePiece(bytes: Buffer): void {
    this.unreported += 1;
    this.secure.write(bytes, this.onReported);
  }

  /** The first is encrypted at once where nothing waits; the others lie in a copy until then. */
  private writePieces(bytes: Buffer): void {
    const { writeBytesMax } = this;
    let rest = bytes;
    if (this.unreported === 0) {
      this.writePiece(bytes.subarray(0, writeBytesMax));
      rest = bytes.subarray(writeBytesMax);
    }
    const copy = this.copyOf(rest);
    for (let at = 0; at < copy.length; at += writeBytesMax)
      this.writePiece(copy.subarray(at, at + writeBytesMax));
  }

  private copyOf(bytes: Buffer): Buffer {
    const { length } = bytes;
    if (length < POOLED_BYTES_MIN || length > OWN_READ_BYTES) return Buffer.from(bytes);
    const buffer = this.buffers.take(length);
    this.copies.push(buffer);
    bytes.copy(buffer.view);
    return buffer.view.subarray(0, length);
  }

  private readonly onReported = (): void => {
    this.unreported -= 1;
    // One that is destroyed may report what it has not encrypted: its buffers are free when it has closed.
    if (this.secure.destroyed) return;
    if (this.unreported === 0 && this.copies.length > 0) this.giveCopies();
    if (this.unreported > 0 || !this.isWaiting) return;
    this.isWaiting = false;
    this.giveBack();
    try {
      this.handler.onDrain();
    } catch (error) {
      this.broken(error);
    }
  };

  private giveCopies(): void {
    for (const buffer of this.copies) this.buffers.give(buffer);
    this.copies = [];
  }

  override resume(): void {
    if (!this.isPaused) return;
    this.isPaused = false;
    if (this.isResting) return;
    if (this.kept.length === 0 && !this.hasKeptEnd) this.socket.resume();
    else if (!this.isGivingKept) {
      this.isGivingKept = true;
      this.secure.soon(() => this.giveKept());
    }
  }

  override pause(): void {
    if (this.isPaused) return;
    this.isPaused = true;
    this.socket.pause();
  }

  private giveKept(): void {
    this.isGivingKept = false;
    while (!this.isPaused && this.state !== 'gone') {
      const kept = this.kept.shift();
      if (kept === undefined) break;
      try {
        this.handler.onBytes(kept.base, HEADROOM, kept.end);
      } catch (error) {
        this.broken(error);
      }
    }
    if (this.isPaused || this.state === 'gone') return;
    if (this.hasKeptEnd) {
      this.hasKeptEnd = false;
      super.ended();
      this.closeKept();
    } else this.socket.resume();
  }

  /** The socket, which had nothing to wait for, has closed before. */
  private closeKept(): void {
    if (!this.hasKeptClose) return;
    this.hasKeptClose = false;
    this.secure.soon(() => this.closed(null));
  }

  override deliver(count: number): boolean {
    if (this.state === 'gone') return true;
    if (!this.isHeldBack && this.kept.length === 0) {
      if (count < SMALL_BYTES) this.countSmall();
      const goesOn = super.deliver(count);
      return goesOn && !this.isResting;
    }
    this.keep(count);
    return !this.isHeldBack;
  }

  private keep(count: number): void {
    let last = this.kept.at(-1);
    if (last === undefined || last.base.length - TAILROOM - last.end < count) {
      // The first is most often the only one.
      const room = last === undefined ? count : Math.max(count, KEPT_BYTES);
      last = { base: Buffer.allocUnsafeSlow(HEADROOM + room + TAILROOM), end: HEADROOM };
      this.kept.push(last);
    }
    this.buffer.view.copy(last.base, last.end, 0, count);
    last.end += count;
  }

  /** A record costs more than its bytes, and the system gives up to 32 reads with them at a time. */
  private countSmall(): void {
    const { pace } = this.secure;
    if (pace === undefined) return;
    if (this.small === 0) this.smallSinceMs = pace.nowMs();
    this.small += 1;
    if (this.small < SMALL_MAX) return;
    this.small = 0;
    if (pace.nowMs() - this.smallSinceMs >= SMALL_MS) return;
    this.isResting = true;
    this.socket.pause();
    this.buffers.rests.add(this, pace);
  }

  /** For `rests`: others have had their turn. */
  rested(): void {
    this.isResting = false;
    if (!this.isPaused && !this.isGivingKept && this.state !== 'gone') this.giveKept();
  }

  override ended(): void {
    if (this.state === 'gone') return;
    if (!this.secure.isEndAuthentic || this.state === 'handshake') {
      this.fail(TRUNCATED, 'the peer closed without close_notify');
    } else if (this.kept.length > 0) this.hasKeptEnd = true;
    else super.ended();
  }

  /** Says close_notify, and closes; what the system did not take yet is lost, and is not said then. */
  override destroy(): void {
    if (this.state === 'gone') return;
    const isOrderly = this.state === 'open' && !this.isWaiting;
    this.state = 'gone';
    this.isClosing = true;
    this.kept = [];
    if (isOrderly) this.secure.destroySoon();
    else this.secure.destroy();
    this.closeKept();
    // What still comes is read and thrown away, until Node has closed it.
    this.secure.resume();
  }

  override reset(): void {
    if (this.secure.connecting) {
      this.destroy();
      return;
    }
    this.state = 'gone';
    this.isClosing = true;
    this.kept = [];
    this.secure.cutOff();
    this.closeKept();
  }

  override closed(error: NodeJS.ErrnoException | null): void {
    if (this.state === 'open' && this.fault === null && error === null && this.hasKeptEnd) {
      this.hasKeptClose = true;
      return;
    }
    this.state = 'gone';
    this.settle();
    this.giveCopies();
    this.buffers.largeWrites.leave(this.writeBytesMax);
    this.writeBytesMax = SMALL_WRITE_BYTES;
    super.closed(this.fault ?? error);
  }
}

/** Read from the socket when they are asked for: most connections are asked for few of them. */
class SocketFacts implements TlsFacts {
  readonly serverName: string;
  readonly protocol: string;
  readonly isResumed: boolean;
  readonly version: string;
  private readonly socket: TlsDoor;
  private known: PeerCertificate | null | undefined;

  constructor(socket: TlsDoor) {
    const { servername, alpnProtocol } = socket;
    this.socket = socket;
    this.serverName = servername ? servername.toLowerCase() : '';
    this.protocol = alpnProtocol || '';
    this.isResumed = socket.isSessionReused();
    this.version = socket.getProtocol() ?? '';
  }

  get cipher(): string {
    return this.socket.getCipher()?.name ?? '';
  }

  get peer(): PeerCertificate | null {
    if (this.known === undefined) this.known = this.readPeer();
    return this.known;
  }

  private readPeer(): PeerCertificate | null {
    if (!this.socket.asksPeer) return null;
    const certificate = this.socket.getPeerX509Certificate();
    if (certificate === undefined) return null;
    const fingerprint = certificate.fingerprint256.replaceAll(':', '').toLowerCase();
    return { subject: subjectText(certificate.subject), fingerprint };
  }
}
