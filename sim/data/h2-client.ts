// An HTTP/2 client: sends its requests over one connection after the other, many at once on each.
import type { Chance } from '../kernel/chance.ts';
import type { Request } from './book.ts';
import { drawCall } from './h2/calls.ts';
import { H2ClientConnection } from './h2/client-connection.ts';
import { drawStream, type StreamScript } from './h2/request-script.ts';
import { drawTunnel } from './h2/tunnels.ts';
import { type ClientSetting, type HttpClientPlan, PATIENCE_MS } from './http-client.ts';
import type { Peer } from './introductions.ts';
import { type SecureClient, secureClient } from './tls/secure-client.ts';

/** How a client goes about it. */
export interface H2Manner {
  /** Requests at once. */
  readonly depth: number;
  readonly isSlowWriter: boolean;
  /** Its system takes nothing for a while; its windows are the connection's manner. */
  readonly isSlowReader: boolean;
  readonly thinkMs: number;
  /** It uploads, much. */
  readonly isHeavy: boolean;
}

const RETRIES_MAX = 20;
/** From here on bodies are larger than what waits anywhere. */
export const LARGE_BYTES = 100_000;

export class H2Client {
  isDone = false;
  readonly plan: HttpClientPlan;
  readonly setting: ClientSetting;
  readonly secure: SecureClient | null;
  readonly chance: Chance;
  readonly manner: H2Manner;
  /** Connections so far. */
  connections = 0;
  private asked = 0;
  private failures = 0;

  constructor(setting: ClientSetting, plan: HttpClientPlan) {
    this.setting = setting;
    this.plan = plan;
    this.secure = secureClient(setting, { ...plan, speaks: 'http' });
    const chance = setting.kernel.chance(`client ${plan.name}`);
    this.chance = chance;
    this.manner = {
      depth: chance.happens(0.7) ? chance.int(2, 20) : 1,
      isSlowWriter: chance.happens(0.08),
      isSlowReader: chance.happens(plan.weights.slowReaders),
      thinkMs: chance.pick([0, 0, 5, 50]),
      isHeavy: plan.bodyMax > LARGE_BYTES && chance.happens(plan.weights.heavy),
    };
    setting.kernel.at(plan.startMs, () => this.connect());
  }

  private connect(): void {
    this.connections += 1;
    new H2ClientConnection(this);
  }

  get hasMore(): boolean {
    const { requests, startMs } = this.plan;
    return this.asked < requests && this.setting.kernel.nowMs < startMs + PATIENCE_MS;
  }

  /** The next request, entered in the book. */
  next(
    idleSinceMs: number,
    source: Peer,
    takesTunnels: boolean,
  ): { request: Request; script: StreamScript } {
    const { name, host, faultShare, bodyMax, hasCalls, hasTunnels, weights } = this.plan;
    const id = `${name}-${this.asked}`;
    this.asked += 1;
    const { kernel } = this.setting;
    const { isHeavy } = this.manner;
    const { asksTunnel: asks, large } = weights;
    const options = { id, host, faultShare, bodyMax, isHeavy, asks, large };
    const call = hasCalls ? drawCall(kernel.chance(`call ${id}`), options) : null;
    const mayTunnel = hasTunnels && takesTunnels && call === null;
    const tunnel = mayTunnel ? drawTunnel(kernel.chance(`tunnel ${id}`), options) : null;
    const script = call ?? tunnel ?? drawStream(kernel.chance(`request ${id}`), options);
    return { request: this.enter(id, { idleSinceMs, source, script }), script };
  }

  /** Enters a request that is reset as soon as it was sent; returns its name. */
  openReset(id: string, source: Peer): string {
    const name = `${this.plan.name}-${this.connections}r${id}`;
    const request = this.enter(name, { idleSinceMs: 0, source, script: null });
    request.end = 'quit';
    request.endMs = request.startMs;
    return name;
  }

  private enter(id: string, { idleSinceMs, source, script }: Entered): Request {
    const { name, port, service } = this.plan;
    const { book, kernel } = this.setting;
    const tunnel = script?.tunnel ?? null;
    const request: Request = {
      id,
      client: name,
      port,
      service,
      idleSinceMs,
      isHttp2: true,
      secure: this.secure?.facts ?? null,
      call: script?.call ?? null,
      address: source.address,
      sourcePort: source.port,
      method: script?.method ?? 'GET',
      body: script?.asked ?? EMPTY,
      hasTrailers: script?.fault === '' && script.trailers.length > 0,
      isUpgrade: tunnel !== null,
      websocketKey: tunnel === null ? undefined : '',
      rests: tunnel?.rests ?? false,
      isForbidden: script?.isForbidden ?? false,
      isBroken: script?.isBroken ?? false,
      isOrderly: script?.fault === '',
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
    return request;
  }

  /** A connection has ended: goes on with another one, or is done. */
  left(isFailure: boolean): void {
    if (isFailure) this.failures += 1;
    if (!this.hasMore || this.failures > RETRIES_MAX) {
      this.isDone = true;
      return;
    }
    this.setting.kernel.after(this.chance.between(0, isFailure ? 200 : 20), () => this.connect());
  }
}

interface Entered {
  readonly idleSinceMs: number;
  /** Who the product must take the client for. */
  readonly source: Peer;
  readonly script: StreamScript | null;
}

const EMPTY = Buffer.alloc(0);
