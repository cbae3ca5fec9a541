// TLS of a simulated network: what stands in the place of the product's node-tls.ts and system-handles.ts.
import type { SecureContext } from 'node:tls';
import { certificateFor, type TlsMaterial, type UpstreamMaterial } from '../../src/model/tls.ts';
import type { ConnectHandler, Wire } from '../../src/proxy/network.ts';
import type { AcceptedOptions } from '../../src/proxy/wire/accepted-cipher.ts';
import { protocolList } from '../../src/proxy/wire/alpn.ts';
import { connectCipher, type TlsTarget } from '../../src/proxy/wire/connect-tls.ts';
import type { ReadBuffers } from '../../src/proxy/wire/read-buffers.ts';
import type { SystemHandles } from '../../src/proxy/wire/system-handles.ts';
import type { Accepted, TlsParts, Wrapping } from '../../src/proxy/wire/tls-parts.ts';
import { TlsWire } from '../../src/proxy/wire/tls-wire.ts';
import type { Chance } from '../kernel/chance.ts';
import type { Kernel } from '../kernel/kernel.ts';
import type { Descriptors } from '../net/descriptors.ts';
import { IntroSocket } from '../net/intro-socket.ts';
import type { EngineOptions } from './engine-parts.ts';
import { SimCipherHandle, type SimContext } from './sim-cipher-handle.ts';
import { type HandleParts, SimTcpHandle } from './sim-tcp-handle.ts';
import { SimTlsSocket } from './sim-tls-socket.ts';

/** How long a client that spoke plainly may take to read its answer, ms. */
const PLAIN_REPLY_MS = 1000;
const LATENT = { address: '', port: 0 };

export interface SimTlsOptions {
  readonly kernel: Kernel;
  readonly descriptors: Descriptors;
  readonly buffers: ReadBuffers;
}

/** A request of the system's; its fields are its owner's. */
class Request {
  oncomplete: (status: number) => void = () => {};
  owner: unknown = null;
  bytes: Buffer | null = null;
}

export class SimTls {
  /** Handshakes of clients: how many there were at a time at most. */
  mostUnderWay = 0;
  private underWay = 0;
  readonly parts: TlsParts;
  private readonly options: SimTlsOptions;
  /** What handles of the system, and what encrypts over them, have in common. */
  readonly cipher: HandleParts;
  private readonly chance: Chance;

  constructor(options: SimTlsOptions) {
    const { kernel, descriptors } = options;
    this.options = options;
    this.chance = kernel.chance('tls of the product');
    const state = new Int32Array(2);
    this.cipher = { kernel, descriptors, state, readCount: 0, wasAsync: 1 };
    this.parts = {
      clock: kernel.clock,
      system: this.systemFor({}),
      ...{ contextFor, upstreamContext },
      wrap: (accepted, wrapping) => this.wrap(accepted, wrapping),
    };
  }

  private systemFor(engine: Partial<EngineOptions>): SystemHandles {
    const { cipher } = this;
    const { kernel } = this.options;
    return {
      TCP: SimTcpHandle as unknown as SystemHandles['TCP'],
      TCPConnectWrap: Request,
      WriteWrap: Request,
      ShutdownWrap: Request,
      wrap: (handle, context, isServer) => {
        const random = Math.floor(this.chance.next() * 2 ** 32);
        const { chain, ticketKey, authority } = context as SimContext;
        const options = { isServer, random, protocols: [], chain, ticketKey, ...engine };
        const made = new SimCipherHandle(cipher, handle as SimTcpHandle, { options, authority });
        if (isServer) this.watch(made);
        return made;
      },
      soon: (run) => kernel.tick(run),
      later: (run) => void kernel.after(0, run),
      nowMs: () => kernel.nowMs,
      sendPlain: (handle, reply, done) => this.sendPlain(handle as SimTcpHandle, reply, done),
      state: cipher.state,
      readCount: cipher.readCount,
      wasAsync: cipher.wasAsync,
    };
  }

  /** One for all; assigned as it is written, V8 would keep each until its next full collection. */
  private readonly settled = (): void => {
    this.underWay -= 1;
  };

  private watch(made: SimCipherHandle): void {
    this.underWay += 1;
    this.mostUnderWay = Math.max(this.mostUnderWay, this.underWay);
    made.onSettled = this.settled;
  }

  /** As a socket of Node's does it that ends and reads on. */
  private sendPlain(handle: SimTcpHandle, reply: Buffer, done: () => void): void {
    const leave = (): void => {
      timer.cancel();
      if (!handle.isClosing) handle.close(() => done());
    };
    const timer = this.options.kernel.after(PLAIN_REPLY_MS, leave);
    handle.listener = { onRead() {}, onReadError: leave };
    const request = new Request();
    if (typeof handle.send(reply, () => {}) === 'number') return leave();
    handle.shutdown(request);
    handle.readStart();
  }

  private wrap(accepted: Accepted, { options, plainReply, port }: Wrapping): TlsWire {
    const { buffers } = this.options;
    const { handle, first } = heldBy(accepted);
    const { requestCert, rejectUnauthorized, secureContext, SNICallback, ALPNProtocols } = options;
    const system = this.systemFor({ asksPeer: requestCert, needsPeer: rejectUnauthorized });
    const cipher: AcceptedOptions = {
      ...{ context: secureContext, plainReply, protocols: protocolList(ALPNProtocols ?? []) },
      choose: SNICallback === undefined ? null : (name) => chosenBy(SNICallback, name),
    };
    const { view } = buffers.shared;
    const socket = new SimTlsSocket(system, handle, { view, options: cipher, asks: requestCert });
    const wire = new TlsWire(socket, buffers, { localPort: port });
    socket.wire = wire;
    if (first !== undefined && first.length > 0) system.soon(() => socket.feed(first));
    socket.start();
    return wire;
  }

  /** The product's connection to an endpoint, and the handle that the network connects. */
  client(
    target: TlsTarget,
    handler: ConnectHandler,
    introduction: Buffer | null,
  ): { readonly wire: Wire; readonly handle: SimTcpHandle } {
    const { buffers } = this.options;
    const { parts } = this;
    const handle = new SimTcpHandle(this.cipher, { remote: LATENT, local: LATENT });
    // What a constructor returns is what `new` makes.
    const TCP = function made() {
      return handle;
    } as unknown as SystemHandles['TCP'];
    const system = { ...parts.system!, TCP };
    const wire = connectCipher(target, handler, {
      system,
      parts,
      buffers,
      introduction,
      family: 4,
    });
    return { wire, handle };
  }
}

function heldBy(accepted: Accepted): { handle: SimTcpHandle; first: Buffer | undefined } {
  if ('handle' in accepted) {
    return { handle: accepted.handle as SimTcpHandle, first: accepted.first };
  }
  const { socket } = accepted;
  if (!(socket instanceof IntroSocket)) throw new Error('a socket that is not simulated');
  return { handle: socket.detach(), first: socket.rest };
}

function chosenBy(
  choose: NonNullable<Wrapping['options']['SNICallback']>,
  name: string,
): SecureContext | null {
  let chosen: SecureContext | null = null;
  choose(name, (_error, context) => {
    chosen = context ?? null;
  });
  return chosen;
}

function contextFor(material: TlsMaterial, serverName: string): SecureContext | null {
  const certificate = certificateFor(material.certificates, serverName);
  if (certificate === null) return null;
  const { key, clientCa } = material;
  const ticketKey = `${Buffer.from(material.ticketKey).toString('hex')} ${key} ${clientCa}`;
  const context: SimContext = { chain: certificate.chain, ticketKey, authority: clientCa };
  return { context };
}

function upstreamContext({ ca, cert }: UpstreamMaterial): SecureContext {
  const context: SimContext = { chain: cert, ticketKey: '', authority: ca ?? 'public' };
  return { context };
}
