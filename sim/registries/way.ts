// The way to the servers of a registry that speaks HTTP: connections that are refused, break or stall,
// answers that take their time and come in pieces. What a server says is its own (Serve).

import type { PoolRequest } from '../../src/reach/http-pools.ts';
import type { Chance } from '../kernel/chance.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { systemError } from '../kernel/system-error.ts';

/** What is wrong with a server, or with the way to it; times are simulated ms, past ones mean: nothing. */
export interface WayTrouble {
  /** Refuses connections. */
  readonly downUntilMs: number;
  /** Nothing passes in either direction: the network stalls, and goes on. */
  readonly silentUntilMs: number;
  /** Each answer, or piece of one, takes up to so long. */
  readonly slowUntilMs: number;
  readonly slowMs: number;
  /** What the server answers fails. */
  readonly failingUntilMs: number;
  /** It knows of what happens so much later than the others. */
  readonly lagUntilMs: number;
  readonly lagMs: number;
}

const NO_TROUBLE: WayTrouble = {
  ...{ downUntilMs: 0, silentUntilMs: 0, slowUntilMs: 0, slowMs: 0, failingUntilMs: 0 },
  ...{ lagUntilMs: 0, lagMs: 0 },
};

export interface WayResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: AsyncIterable<Buffer>;
}

export type WayRequest = Pick<PoolRequest, 'path'> & Partial<PoolRequest>;

/** Answers a request that has come to the server at `address`. */
export type Serve = (address: string, request: WayRequest, exchange: Exchange) => void;

export class SimWay {
  readonly open = new Set<Exchange>();
  questions = 0;
  private readonly kernel: Kernel;
  private readonly chance: Chance;
  private readonly serve: Serve;
  private readonly troubles = new Map<string, WayTrouble>();

  constructor(kernel: Kernel, name: string, serve: Serve) {
    this.kernel = kernel;
    this.chance = kernel.chance(`way ${name}`);
    this.serve = serve;
  }

  trouble(address: string): WayTrouble {
    return this.troubles.get(address) ?? NO_TROUBLE;
  }

  isDown(address: string): boolean {
    return this.trouble(address).downUntilMs > this.kernel.nowMs;
  }

  isFailing(address: string): boolean {
    return this.trouble(address).failingUntilMs > this.kernel.nowMs;
  }

  /** How far behind the server is, ms. */
  lagOf(address: string): number {
    const { lagUntilMs, lagMs } = this.trouble(address);
    return lagUntilMs > this.kernel.nowMs ? lagMs : 0;
  }

  begin(address: string, trouble: Partial<WayTrouble>): void {
    this.troubles.set(address, { ...this.trouble(address), ...trouble });
    if (trouble.downUntilMs !== undefined) this.cut(address, 'other side closed');
  }

  endTroubles(): void {
    this.troubles.clear();
  }

  /** All connections to the server break; to all of them with ''. */
  cut(address: string, why: string): void {
    for (const one of [...this.open]) {
      if (address === '' || one.address === address) one.cut(systemError('UND_ERR_SOCKET', why));
    }
  }

  /** One exchange; a process that is dead hears nothing of its end. */
  request(address: string, request: WayRequest, isDead: () => boolean): Promise<WayResponse> {
    this.questions += 1;
    return new Promise((resolve, reject) => {
      const exchange = new Exchange(this, { address, isDead, resolve, reject });
      this.open.add(exchange);
      const { signal } = request;
      const abort = (): void => exchange.cut(systemError('ABORT_ERR', 'aborted'));
      signal?.addEventListener('abort', abort, { once: true });
      exchange.onEnd.push(() => signal?.removeEventListener('abort', abort));
      if (signal?.aborted === true) return abort();
      this.after(this.wayMs(address), () => {
        if (!exchange.isOpen) return;
        if (this.isDown(address)) {
          exchange.cut(systemError('ECONNREFUSED', `connect ECONNREFUSED ${address}`));
        } else this.serve(address, request, exchange);
      });
    });
  }

  /** How long something is on its way now, ms. */
  wayMs(address: string): number {
    const { silentUntilMs, slowUntilMs, slowMs } = this.trouble(address);
    const { nowMs } = this.kernel;
    const slow = slowUntilMs > nowMs ? this.chance.between(0, slowMs) : 0;
    return Math.max(0, silentUntilMs - nowMs) + slow + this.chance.between(0.1, 2);
  }

  after(ms: number, run: () => void): void {
    this.kernel.after(ms, run);
  }

  get nowMs(): number {
    return this.kernel.nowMs;
  }
}

interface Asker {
  readonly address: string;
  readonly isDead: () => boolean;
  readonly resolve: (response: WayResponse) => void;
  readonly reject: (error: Error) => void;
}

/** One exchange as its server has it. What is sent arrives in order. */
export class Exchange {
  readonly address: string;
  /** Run when it is over, whoever has ended it. */
  readonly onEnd: (() => void)[] = [];
  isOpen = true;
  private readonly way: SimWay;
  private readonly asker: Asker;
  private readonly body = new SimBody(() => this.close());
  private hasHead = false;
  private arrivesMs = 0;

  constructor(way: SimWay, asker: Asker) {
    this.way = way;
    this.asker = asker;
    this.address = asker.address;
  }

  /** A whole answer. */
  answer(status: number, headers: Record<string, string>, text: string): void {
    this.head(status, headers);
    this.write(text);
    this.end();
  }

  head(status: number, headers: Record<string, string>): void {
    this.arrive(() => {
      this.hasHead = true;
      if (!this.asker.isDead()) this.asker.resolve({ status, headers, body: this.body });
    });
  }

  write(text: string): void {
    const bytes = Buffer.from(text);
    this.arrive(() => this.body.push(bytes));
  }

  end(): void {
    this.arrive(() => {
      this.body.end(null);
      this.close();
    });
  }

  /** The connection breaks, now. */
  cut(error: Error): void {
    if (!this.isOpen) return;
    this.close();
    if (this.asker.isDead()) return;
    if (this.hasHead) this.body.end(error);
    else this.asker.reject(error);
  }

  private arrive(run: () => void): void {
    const { way } = this;
    this.arrivesMs = Math.max(this.arrivesMs, way.nowMs + way.wayMs(this.address));
    way.after(this.arrivesMs - way.nowMs, () => {
      if (this.isOpen) run();
    });
  }

  private close(): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    this.way.open.delete(this);
    for (const run of this.onEnd) run();
  }
}

/** A body as its reader has it. Who stops reading ends the exchange. */
class SimBody implements AsyncIterable<Buffer> {
  private readonly chunks: Buffer[] = [];
  private ending: { readonly error: Error | null } | null = null;
  private wake: (() => void) | null = null;
  private readonly onLeft: () => void;

  constructor(onLeft: () => void) {
    this.onLeft = onLeft;
  }

  push(chunk: Buffer): void {
    this.chunks.push(chunk);
    this.wake?.();
  }

  end(error: Error | null): void {
    this.ending ??= { error };
    this.wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer, void, undefined> {
    try {
      for (;;) {
        const chunk = this.chunks.shift();
        if (chunk !== undefined) yield chunk;
        else if (this.ending === null) await this.more();
        else if (this.ending.error !== null) throw this.ending.error;
        else return;
      }
    } finally {
      this.onLeft();
    }
  }

  private more(): Promise<void> {
    return new Promise((resolve) => {
      this.wake = () => {
        this.wake = null;
        resolve();
      };
    });
  }
}
