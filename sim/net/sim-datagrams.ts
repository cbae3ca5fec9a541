// Simulated datagrams behind the product's door (src/proxy/datagrams.ts): they are lost, doubled, late and out
// of order as `Weather` says. A session's socket is connected: what others than its endpoint send to it never
// comes, and a port without anybody is told of. Several workers listen on one port; a source comes to one of them.

import { hashText } from '../../src/balance/hash.ts';
import { CodedError } from '../../src/base/coded-error.ts';
import type {
  DatagramHandler,
  DatagramListenOptions,
  DatagramPort,
  DatagramServer,
  DatagramSocket,
  Datagrams,
} from '../../src/proxy/datagrams.ts';
import type { Chance } from '../kernel/chance.ts';
import type { Kernel } from '../kernel/kernel.ts';
import type { Descriptors } from './descriptors.ts';

export interface DatagramWeather {
  readonly latencyMs: readonly [number, number];
  readonly lossShare: number;
  readonly doubleShare: number;
}

/** What is told of the product's side. */
export interface DatagramWatch {
  /** A listener has got a client's datagram. */
  onReceived(worker: number, port: number, bytes: Buffer, from: string): void;
  /** A listener answers a client. */
  onReplied(worker: number, port: number, bytes: Buffer, to: string): void;
  onOpened(socket: SimDatagramSocket): void;
  onSent(socket: SimDatagramSocket, bytes: Buffer): void;
  onAnswered(socket: SimDatagramSocket, bytes: Buffer): void;
  /** The product has done with that answer. */
  onTaken(socket: SimDatagramSocket): void;
  onClosed(socket: SimDatagramSocket): void;
}

interface Listening {
  readonly worker: number;
  readonly options: DatagramListenOptions;
}

/** Called with what comes, and what sends back to where it came from. */
export type OnDatagram = (bytes: Buffer, answer: (bytes: Buffer) => void) => void;

export interface DatagramNetworkOptions {
  readonly weather: DatagramWeather;
  readonly descriptors: Descriptors;
  readonly watch: DatagramWatch;
}

export class SimDatagrams {
  readonly kernel: Kernel;
  readonly options: DatagramNetworkOptions;
  /** Sockets of sessions that are open. */
  readonly open = new Set<SimDatagramSocket>();
  private readonly chance: Chance;
  private readonly listening = new Map<number, Listening[]>();
  private readonly endpoints = new Map<number, OnDatagram>();
  private readonly clients = new Map<string, (bytes: Buffer, from: number) => void>();

  constructor(kernel: Kernel, options: DatagramNetworkOptions) {
    this.kernel = kernel;
    this.options = options;
    this.chance = kernel.chance('datagrams');
  }

  /** The door, as one worker has it. */
  of(worker: number): Datagrams {
    return {
      listen: (options) => Promise.resolve(this.listen(worker, options)),
      connect: (_address, port, handler) => new SimDatagramSocket(this, { worker, port, handler }),
    };
  }

  private listen(worker: number, options: DatagramListenOptions): DatagramServer {
    const { port } = options;
    const one = { worker, options };
    this.listening.set(port, [...(this.listening.get(port) ?? []), one]);
    const close = (): void => {
      const left = (this.listening.get(port) ?? []).filter((other) => other !== one);
      this.listening.set(port, left);
    };
    return { port, close };
  }

  /** Takes it over the network, as often as it arrives. */
  carry(arrive: () => void): void {
    const { chance, kernel } = this;
    const { latencyMs, lossShare, doubleShare } = this.options.weather;
    if (chance.happens(lossShare)) return;
    const count = chance.happens(doubleShare) ? 2 : 1;
    for (let i = 0; i < count; i += 1) kernel.after(chance.between(...latencyMs), arrive);
  }

  // Actors

  /** A client's socket at `source` (`address:port`). */
  bind(source: string, onBytes: (bytes: Buffer, from: number) => void): void {
    this.clients.set(source, onBytes);
  }

  send(source: string, port: number, bytes: Buffer): void {
    this.carry(() => this.comeIn(source, port, bytes));
  }

  private comeIn(source: string, port: number, bytes: Buffer): void {
    const all = this.listening.get(port) ?? [];
    if (all.length === 0) return;
    const { worker, options } = all[hashText(`${source} ${port}`) % all.length]!;
    const { watch } = this.options;
    const at = source.lastIndexOf(':');
    const via: DatagramPort = {
      name: '127.0.0.1',
      reply: (answer, address, to) => {
        const back = `${address}:${to}`;
        watch.onReplied(worker, port, answer, back);
        this.carry(() => this.clients.get(back)?.(answer, port));
      },
    };
    watch.onReceived(worker, port, bytes, source);
    options.receiver.onDatagram(bytes, source.slice(0, at), Number(source.slice(at + 1)), via);
  }

  /** An endpoint listens; null: its port is closed. */
  serve(port: number, onDatagram: OnDatagram | null): void {
    if (onDatagram === null) this.endpoints.delete(port);
    else this.endpoints.set(port, onDatagram);
  }

  endpointAt(port: number): OnDatagram | undefined {
    return this.endpoints.get(port);
  }
}

let numbers = 0;

/** The product's socket of a session, or of all that goes one way. */
export class SimDatagramSocket implements DatagramSocket {
  readonly worker: number;
  readonly port: number;
  readonly number: number;
  descriptor: number;
  private readonly network: SimDatagrams;
  private readonly handler: DatagramHandler;
  private isOpen = true;

  constructor(
    network: SimDatagrams,
    { worker, port, handler }: { worker: number; port: number; handler: DatagramHandler },
  ) {
    numbers += 1;
    this.number = numbers;
    this.worker = worker;
    this.port = port;
    this.network = network;
    this.handler = handler;
    this.descriptor = network.options.descriptors.take();
    if (this.descriptor < 0) throw new CodedError('EMFILE', 'no descriptor is left');
    network.open.add(this);
    network.options.watch.onOpened(this);
  }

  send(bytes: Buffer): void {
    if (!this.isOpen) return;
    const { network } = this;
    network.options.watch.onSent(this, bytes);
    network.carry(() => {
      const endpoint = network.endpointAt(this.port);
      if (endpoint !== undefined) endpoint(bytes, (answer) => this.answer(answer));
      else network.carry(() => this.refused());
    });
  }

  private answer(bytes: Buffer): void {
    const { network } = this;
    network.carry(() => {
      if (!this.isOpen) return;
      network.options.watch.onAnswered(this, bytes);
      this.tell(() => this.handler.onAnswer(bytes));
      if (this.isOpen) network.options.watch.onTaken(this);
    });
  }

  private refused(): void {
    if (this.isOpen) this.tell(() => this.handler.onUnsent('ECONNREFUSED'));
  }

  private tell(run: () => void): void {
    try {
      run();
    } catch (error) {
      this.handler.onBug(error);
    }
  }

  close(): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    const { network } = this;
    network.open.delete(this);
    network.options.descriptors.give(this.descriptor);
    network.options.watch.onClosed(this);
    this.descriptor = -1;
  }
}
