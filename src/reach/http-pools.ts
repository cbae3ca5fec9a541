// Connections to registries that speak HTTP: one pool per address. Over TLS HTTP/2 is offered, so that
// all watches share a connection; over plain HTTP each open query has one.
import type { TLSSocket } from 'node:tls';
import { Agent, buildConnector } from 'undici';
import { CodedError } from '../base/coded-error.ts';
import { stampInTime } from '../base/timely-file.ts';
import type { TlsSettings } from '../model/registries/tls.ts';
import { tlsOptions } from './tls-files.ts';

/** Below an agent's default limit of 200 per client, which other programs of the host share. */
const CONNECTIONS_MAX = 128;
/** What Consul allows on one HTTP/2 connection; past it another connection is opened. */
const STREAMS_MAX = 250;
const CONNECT_MS_MAX = 5000;

export interface PoolRequest {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'DELETE';
  /** Path and query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
  /** Gives the exchange up: what is open then rejects. */
  readonly signal: AbortSignal;
}

export interface PoolResponse {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  /** Throws where the connection breaks before its end. */
  readonly body: AsyncIterable<Buffer>;
}

/** The way to one address. */
export interface PoolChannel {
  get(request: Omit<PoolRequest, 'method' | 'body'>): Promise<PoolResponse>;
  request(request: PoolRequest): Promise<PoolResponse>;
  /** Ends a shared connection on which nothing comes any more: it may be dead, unnoticed. */
  recycle(): void;
}

export class HttpPools {
  private readonly tls: TlsSettings;
  private readonly onProtocol: () => void;
  private readonly agents = new Map<string, { agent: Agent; files: string }>();
  /** Addresses that speak HTTP/1.1 over TLS: a proxy in front of the agent, say. */
  private readonly onlyHttp1 = new Set<string>();
  private isClosed = false;

  /** `onProtocol` is called when isMultiplexed of an address turns out to be false. */
  constructor(tls: TlsSettings, onProtocol: () => void = () => {}) {
    this.tls = tls;
    this.onProtocol = onProtocol;
  }

  /** Whether many open queries share a connection to `address`, as far as is known. */
  isMultiplexed(address: string): boolean {
    return address.startsWith('https:') && !this.onlyHttp1.has(address);
  }

  /** The channel to this address, as it is now. Rejects with CodedError where a file can't be read. */
  to(address: string): PoolChannel | Promise<PoolChannel> {
    if (address.startsWith('https:')) return this.toTls(address);
    return this.channel(address, this.plainAgent(address));
  }

  private channel(address: string, agent: Agent): PoolChannel {
    return {
      get: (request) => ask(agent, address, { method: 'GET', ...request }),
      request: (request) => ask(agent, address, request),
      recycle: () => this.recycle(address, agent),
    };
  }

  private plainAgent(address: string): Agent {
    const known = this.agents.get(address);
    if (known !== undefined) return known.agent;
    const agent = makePlain(address);
    this.agents.set(address, { agent, files: '' });
    return agent;
  }

  /** By the pool of an address; a new one when certificate files have changed. */
  private async toTls(address: string): Promise<PoolChannel> {
    const files = await this.fileVersions();
    if (this.agents.get(address)?.files !== files) {
      const options = await tlsOptions(this.tls);
      if (this.isClosed) throw new CodedError('closed', 'the connections are closed');
      const known = this.agents.get(address);
      // Others may have asked meanwhile.
      if (known?.files !== files) {
        // What is in flight ends by itself, the rest begins with the new files.
        void known?.agent.close();
        this.agents.set(address, { agent: this.makeTls(address, options), files });
      }
    }
    return this.channel(address, this.agents.get(address)!.agent);
  }

  private recycle(address: string, agent: Agent): void {
    if (!this.isMultiplexed(address) || this.agents.get(address)?.agent !== agent) return;
    this.agents.delete(address);
    void agent.destroy();
  }

  async close(): Promise<void> {
    this.isClosed = true;
    const agents = [...this.agents.values()];
    this.agents.clear();
    await Promise.all(agents.map(({ agent }) => agent.destroy()));
  }

  private makeTls(address: string, options: Awaited<ReturnType<typeof tlsOptions>>): Agent {
    const connect = buildConnector({
      ...options,
      timeout: CONNECT_MS_MAX,
      allowH2: true,
      // A resumed session shows no certificate; it would be trusted beyond that certificate's end.
      maxCachedSessions: 0,
    });
    return new Agent({
      allowH2: true,
      connections: CONNECTIONS_MAX,
      h2Options: { maxConcurrentStreams: STREAMS_MAX },
      connect: (options, callback) =>
        connect(options, (...result) => {
          if (result[0] === null) this.noteProtocol(address, result[1] as TLSSocket);
          callback(...result);
        }),
    });
  }

  private noteProtocol(address: string, socket: TLSSocket): void {
    if (socket.alpnProtocol === 'h2' || this.onlyHttp1.has(address)) return;
    this.onlyHttp1.add(address);
    this.onProtocol();
  }

  private async fileVersions(): Promise<string> {
    const { caFile, certFile, keyFile } = this.tls;
    return (await Promise.all([caFile, certFile, keyFile].map(versionOf))).join();
  }
}

async function ask(agent: Agent, address: string, asked: PoolRequest): Promise<PoolResponse> {
  const origin = address.startsWith('unix:') ? 'http://localhost' : new URL(address).origin;
  const { statusCode, headers, body } = await agent.request({
    origin,
    ...asked,
    // The client's deadline bounds both; undici's own timers are coarse.
    headersTimeout: 0,
    bodyTimeout: 0,
  });
  return { status: statusCode, headers, body };
}

function makePlain(address: string): Agent {
  const socket = address.startsWith('unix:') ? { socketPath: socketPathOf(address) } : {};
  return new Agent({
    connect: { timeout: CONNECT_MS_MAX, ...socket },
    connections: CONNECTIONS_MAX,
    allowH2: false,
  });
}

/** unix:///run/consul.sock and unix://run/consul.sock are both taken for the path they show. */
function socketPathOf(address: string): string {
  return address.slice('unix:'.length).replace(/^\/+/, '/');
}

/** Tells two contents of a file apart; one that is away for the moment counts as its own. */
async function versionOf(file: string): Promise<string> {
  return file === '' ? '' : stampInTime(file).catch(() => 'away');
}
