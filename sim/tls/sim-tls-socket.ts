// What the product has Node's TLSSocket for: connections to endpoints, and of clients that are asked for a
// certificate. As a TlsDoor it does what that one does; below it is the same as under a CipherSocket.
import type { X509Certificate } from 'node:crypto';
import type { PeerCertificate } from 'node:tls';
import type { ClientTls } from '../../src/proxy/network.ts';
import { type CipherOptions, CipherSocket } from '../../src/proxy/wire/cipher-socket.ts';
import { SessionKeeper } from '../../src/proxy/wire/session-keeper.ts';
import type { SystemHandles } from '../../src/proxy/wire/system-handles.ts';
import type { TlsWire } from '../../src/proxy/wire/tls-wire.ts';
import { systemError } from '../kernel/system-error.ts';
import type { TcpEnd } from '../net/tcp.ts';
import { type Certificate, problemWith, readCertificate } from './certificate.ts';
import { hashOf, mix } from './records.ts';
import type { SimCipherHandle } from './sim-cipher-handle.ts';
import type { SimTcpHandle } from './sim-tcp-handle.ts';

export interface JudgeParts {
  readonly nowMs: () => number;
  /** Who may issue the peer's certificate. */
  readonly authority: string;
  readonly asksPeer: boolean;
}

export class SimTlsSocket extends CipherSocket {
  private readonly judging: JudgeParts;
  private sessions: SessionKeeper | null = null;
  private introduction: Buffer | null = null;

  constructor(
    system: SystemHandles,
    handle: SimTcpHandle,
    { view, options, judging }: { view: Buffer; options: CipherOptions; judging: JudgeParts },
  ) {
    super(system, handle, view, options);
    this.judging = judging;
    // Node's TLSSocket does not wait for the first bytes.
    this.encrypt();
  }

  private get simCipher(): SimCipherHandle {
    return this.cipher as SimCipherHandle;
  }

  private get certificate(): Certificate | null {
    return readCertificate(this.simCipher.peerChain);
  }

  override get asksPeer(): boolean {
    return this.judging.asksPeer;
  }

  override get hasPeerCertificate(): boolean {
    return this.certificate !== null;
  }

  override get peerProblem(): NodeJS.ErrnoException | null {
    const { authority, nowMs } = this.judging;
    const { certificate } = this;
    const problem =
      certificate === null
        ? 'UNABLE_TO_GET_ISSUER_CERT'
        : problemWith(certificate, { authority, nowMs: nowMs() });
    return problem === '' ? null : systemError(problem);
  }

  override getPeerX509Certificate(): X509Certificate | undefined {
    const { certificate } = this;
    if (certificate === null) return undefined;
    const { subject } = certificate;
    const fingerprint256 = fingerprintOf(certificate);
    // This much of one is read.
    return { subject, fingerprint256 } as X509Certificate;
  }

  getPeerCertificate(): PeerCertificate {
    const { names = [] } = this.certificate ?? {};
    const subjectaltname = names.map((name) => `DNS:${name}`).join(', ');
    return { subject: {}, subjectaltname } as unknown as PeerCertificate;
  }

  // A client

  /** What the connection begins with, in plain; and where its sessions are kept. */
  prepare(introduction: Buffer | null, tls: ClientTls): void {
    this.introduction = introduction;
    this.connecting = true;
    const sessions = new SessionKeeper(tls);
    this.sessions = sessions;
    this.simCipher.onnewsession = (ticket) => sessions.take(ticket);
  }

  /** For the network: it has a descriptor. */
  open(descriptor: number): void {
    (this._handle as SimTcpHandle).fd = descriptor;
  }

  /** For the network: the connection stands. */
  begun(end: TcpEnd): void {
    if (this.destroyed) return end.close();
    this.connecting = false;
    const handle = this._handle as SimTcpHandle;
    handle.attach(end);
    if (this.introduction !== null) handle.send(this.introduction, () => {});
    this.simCipher.start();
    this.start();
  }

  /** For the network: there is none. */
  refused(code: string): void {
    if (this.destroyed) return;
    this.error = systemError(code);
    this.destroy();
  }

  override handshaken(): void {
    super.handshaken();
    if ((this.wire as TlsWire).tls !== null) this.sessions?.believed();
  }
}

/** As Node has it: bytes with colons between them. */
export function fingerprintOf({ serial, subject }: Certificate): string {
  const hash = mix(serial, hashOf(Buffer.from(subject)));
  const bytes = Buffer.alloc(32);
  for (let i = 0; i < 8; i += 1) bytes.writeUInt32BE(mix(hash, i), 4 * i);
  return bytes.toString('hex').toUpperCase().match(/../g)!.join(':');
}
