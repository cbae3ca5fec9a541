// What the product has Node's TLSSocket for: connections of clients that are asked for a certificate, and those to a
// unix socket. As a TlsDoor it does what that one does; below it is the same as under a CipherSocket.
import type { X509Certificate } from 'node:crypto';
import { AcceptedCipher, type AcceptedOptions } from '../../src/proxy/wire/accepted-cipher.ts';
import type { SystemHandles } from '../../src/proxy/wire/system-handles.ts';
import { type Certificate, readCertificate } from './certificate.ts';
import { hashOf, mix } from './records.ts';
import type { SimCipherHandle } from './sim-cipher-handle.ts';
import { SimPipeHandle, type SimTcpHandle } from './sim-tcp-handle.ts';

export class SimTlsSocket extends AcceptedCipher {
  private readonly asks: boolean;
  private readonly isPipe: boolean;

  constructor(
    system: SystemHandles,
    handle: SimTcpHandle,
    { view, options, asks }: { view: Buffer; options: AcceptedOptions; asks: boolean },
  ) {
    super(system, handle, view, options);
    this.asks = asks;
    this.isPipe = (handle as object) instanceof SimPipeHandle;
    // Node's TLSSocket does not wait for the first bytes.
    this.encrypt();
  }

  override get remoteAddress(): string | undefined {
    return this.isPipe ? undefined : super.remoteAddress;
  }

  override get remotePort(): number | undefined {
    return this.isPipe ? undefined : super.remotePort;
  }

  override get localAddress(): string | undefined {
    return this.isPipe ? undefined : super.localAddress;
  }

  override get localPort(): number | undefined {
    return this.isPipe ? undefined : super.localPort;
  }

  /** A unix socket has no reset. */
  override cutOff(): void {
    if (this.isPipe) this.destroy();
    else super.cutOff();
  }

  private get simCipher(): SimCipherHandle {
    return this.cipher as SimCipherHandle;
  }

  private get certificate(): Certificate | null {
    return readCertificate(this.simCipher.peerChain);
  }

  override get asksPeer(): boolean {
    return this.asks;
  }

  override get hasPeerCertificate(): boolean {
    return this.certificate !== null;
  }

  override get peerProblem(): NodeJS.ErrnoException | null {
    return this.simCipher.verifyError();
  }

  override getPeerX509Certificate(): X509Certificate | undefined {
    const { certificate } = this;
    if (certificate === null) return undefined;
    const { subject } = certificate;
    const fingerprint256 = fingerprintOf(certificate);
    // This much of one is read.
    return { subject, fingerprint256 } as X509Certificate;
  }
}

/** As Node has it: bytes with colons between them. */
export function fingerprintOf({ serial, subject }: Certificate): string {
  const hash = mix(serial, hashOf(Buffer.from(subject)));
  const bytes = Buffer.alloc(32);
  for (let i = 0; i < 8; i += 1) bytes.writeUInt32BE(mix(hash, i), 4 * i);
  return bytes.toString('hex').toUpperCase().match(/../g)!.join(':');
}
