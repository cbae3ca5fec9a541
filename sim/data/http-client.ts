// An HTTP client: sends its requests over one connection after the other, in its own manner.
import type { Chance } from '../kernel/chance.ts';
import type { Kernel } from '../kernel/kernel.ts';
import type { SimNetwork } from '../net/sim-network.ts';
import type { Book, Request } from './book.ts';
import { keyOf } from './h2/tunnels.ts';
import { HttpClientConnection } from './http-client-connection.ts';
import type { Peer } from './introductions.ts';
import { drawRequest, type RequestScript } from './request-script.ts';
import type { Certificates, ListenRules } from './tls/rules.ts';
import { type SecureClient, secureClient } from './tls/secure-client.ts';
import type { Weights } from './weights.ts';

export interface HttpClientPlan {
  readonly name: string;
  readonly address: string;
  /** Balancers introduce their clients where it connects to. */
  readonly isIntroduced: boolean;
  readonly port: number;
  readonly host: string;
  readonly service: string;
  readonly startMs: number;
  readonly requests: number;
  readonly faultShare: number;
  readonly bodyMax: number;
  /** It speaks HTTP/2, by ALPN or by prior knowledge. */
  readonly isHttp2: boolean;
  /** Some of its requests are calls of gRPC. */
  readonly hasCalls: boolean;
  /** It opens WebSockets. */
  readonly hasTunnels: boolean;
  readonly weights: Weights;
  /** Where it connects to speaks TLS; null: it does not. */
  readonly tls: ListenRules | null;
  /** It says nothing for so long at most, before its first request and between two; 0: only as its manner is. */
  readonly idleMs: number;
}

export interface ClientSetting {
  readonly kernel: Kernel;
  readonly network: SimNetwork;
  readonly book: Book;
  /** Called when a request has come to its end, whatever that is. */
  readonly judge: (request: Request) => void;
  /** Links may be so slow that nothing can be said of times. */
  readonly isNarrow: boolean;
  /** The product may have had cause to cut connections of the service. */
  readonly mayCut: (service: string) => boolean;
  /** ... and without a GOAWAY. */
  readonly mayBreak: (service: string) => boolean;
  /** It may answer requests to the service without an endpoint. */
  readonly mayRefuse: (service: string) => boolean;
  /** Of listeners with TLS; null: there are none. */
  readonly certificates: Certificates | null;
}

/** How a client goes about it. */
export interface Manner {
  readonly depth: number;
  readonly isOld: boolean;
  readonly isSlowWriter: boolean;
  readonly isSlowReader: boolean;
  readonly thinkMs: number;
}

const RETRIES_MAX = 20;
/** No client asks for longer: where each request lasts for all its timeouts, hundreds take half an hour. */
export const PATIENCE_MS = 600_000;

export class HttpClient {
  isDone = false;
  readonly plan: HttpClientPlan;
  readonly setting: ClientSetting;
  readonly chance: Chance;
  readonly manner: Manner;
  private asked = 0;
  private failures = 0;
  /** Connections so far. */
  connections = 0;
  connection: HttpClientConnection | null = null;
  readonly secure: SecureClient | null;

  constructor(setting: ClientSetting, plan: HttpClientPlan) {
    this.setting = setting;
    this.plan = plan;
    this.secure = secureClient(setting, { ...plan, speaks: 'http' });
    const chance = setting.kernel.chance(`client ${plan.name}`);
    this.chance = chance;
    const isOld = chance.happens(0.07);
    const depth = chance.happens(0.25) ? chance.int(2, 6) : 1;
    this.manner = {
      // Without keep-alive a second request is nothing that an orderly client sends.
      depth: isOld ? 1 : depth,
      isOld,
      isSlowWriter: chance.happens(0.08),
      isSlowReader: chance.happens(0.08),
      thinkMs: chance.pick([0, 0, 5, 50]),
    };
    setting.kernel.at(plan.startMs, () => this.connect());
  }

  private connect(): void {
    this.connections += 1;
    this.connection = new HttpClientConnection(this);
  }

  get hasMore(): boolean {
    const { requests, startMs } = this.plan;
    return this.asked < requests && this.setting.kernel.nowMs < startMs + PATIENCE_MS;
  }

  /** The next request, entered in the book. */
  next(idleSinceMs: number, client: Peer): { request: Request; script: RequestScript } {
    const { name, port, host, service, faultShare, bodyMax, hasTunnels, weights } = this.plan;
    const { book, kernel } = this.setting;
    const id = `${name}-${this.asked}`;
    this.asked += 1;
    const websocketKey = hasTunnels ? keyOf(id) : '';
    const script = drawRequest(kernel.chance(`request ${id}`), {
      id,
      host,
      isOld: this.manner.isOld,
      faultShare,
      bodyMax,
      large: weights.large,
      websocketKey,
    });
    const { method, isUpgrade, isForbidden, isBroken, fault } = script;
    const request: Request = {
      id,
      client: name,
      address: client.address,
      sourcePort: client.port,
      port,
      service,
      idleSinceMs,
      secure: this.secure?.facts ?? null,
      method: isBroken ? 'POST' : method,
      body: isBroken ? GOOD : script.body,
      isUpgrade,
      websocketKey: isUpgrade && hasTunnels ? websocketKey : undefined,
      isForbidden,
      isBroken,
      isOrderly: fault === '',
      startMs: kernel.nowMs,
      wholeMs: -1,
      turnMs: 0,
      endedMs: -1,
      attempts: [],
      end: 'open',
      status: 0,
      reason: '',
      answeredBy: '',
      gotBytes: 0,
      endMs: -1,
    };
    book.open(request);
    return { request, script };
  }

  /** A connection has ended: goes on with another one, or is done. */
  left(isFailure: boolean): void {
    this.connection = null;
    if (isFailure) this.failures += 1;
    if (!this.hasMore || this.failures > RETRIES_MAX) {
      this.isDone = true;
      return;
    }
    this.setting.kernel.after(this.chance.between(0, isFailure ? 200 : 20), () => this.connect());
  }
}

/** What a body that goes wrong begins with. */
const GOOD = Buffer.from('goodabcde');
