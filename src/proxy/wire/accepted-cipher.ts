// A client's connection with TLS over the system's handle. It does what most listeners want; one that asks
// clients for certificates gets a TLSSocket (accept-tls.ts).
// States: silent -> encrypted. Encryption is made with the client's first bytes, which are read as those of
// any connection and handed to it in small pieces: what it reads by itself lands in 64 KiB of Node's, which it
// keeps for as long as the connection lives, and a client that says nothing has no use for it.
import type { SecureContext } from 'node:tls';
import { CipherSocket } from './cipher-socket.ts';
import type { CipherHandle, SystemHandles, TcpHandle } from './system-handles.ts';
import { HTTP_REQUEST } from './tls-socket.ts';

/**
 * Node's memory for cipher text begins with 1 KiB, is joined by 16 KiB for good as soon as that is full, and
 * is empty again after each piece.
 */
const PIECE_BYTES = 1023;

/** The same for all connections of a listener. */
export interface AcceptedOptions {
  readonly context: SecureContext;
  /** As ALPN has it on the wire; null for none. */
  readonly protocols: Uint8Array | null;
  /** By the name that the client asks for; null where there is one certificate. */
  readonly choose: ((serverName: string) => SecureContext | null) | null;
  readonly plainReply: Buffer;
}

export class AcceptedCipher extends CipherSocket {
  private readonly options: AcceptedOptions;
  /** It spoke HTTP without TLS, and gets an answer. */
  private isPlain = false;

  constructor(system: SystemHandles, handle: TcpHandle, view: Buffer, options: AcceptedOptions) {
    super(system, handle, view);
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

  protected encrypt(): CipherHandle {
    const { context, protocols, choose } = this.options;
    const cipher = this.wrap(context, true);
    if (protocols !== null) cipher.setALPNProtocols(protocols);
    if (choose !== null) {
      cipher.oncertcb = onHello;
      cipher.enableCertCb();
    }
    return cipher;
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

  override broken(error: NodeJS.ErrnoException): void {
    if (this.destroyed) return;
    this.isPlain = error.code === HTTP_REQUEST && this.options.plainReply.length > 0;
    super.broken(error);
  }

  protected override close(): void {
    if (!this.isPlain) return super.close();
    const { system, _handle: handle } = this;
    // OpenSSL is still within the call that tells of the error.
    system.later(() => {
      this.cipher!.destroySSL();
      // A socket of Node's begins to read by itself.
      handle.readStop();
      system.sendPlain(handle, this.options.plainReply, () => this.closed());
    });
  }
}

function onHello(this: CipherHandle, { servername }: { readonly servername: string }): void {
  (this.holder as AcceptedCipher).hello(servername);
}
