// The door to Consul agents: what the client needs of HTTP. Over undici in the program
// (http-pools.ts), over a simulated registry in `sim/`.
import type { TlsSettings } from '../../model/registries/tls.ts';
import type { Headers } from './answer.ts';

export interface ConsulRequest {
  /** Path and query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Gives the exchange up: what is open then rejects. */
  readonly signal: AbortSignal;
}

export interface ConsulResponse {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: Headers;
  /** Throws where the connection breaks before its end. */
  readonly body: AsyncIterable<Buffer>;
}

/** The way to one agent. */
export interface ConsulChannel {
  /** GET; resolves with the head of the answer. Rejects where no answer comes. */
  get(request: ConsulRequest): Promise<ConsulResponse>;
  /** Ends a shared connection on which nothing comes any more: it may be dead, unnoticed. */
  recycle(): void;
}

export interface ConsulTransport {
  /** The channel to the agent at this address, as it is now. */
  to(address: string): ConsulChannel | Promise<ConsulChannel>;
  /** Whether many open queries share a connection to `address`, as far as is known. */
  isMultiplexed(address: string): boolean;
  /** Closes all connections; what is open rejects. */
  close(): Promise<void>;
}

/** `onProtocol` is called when isMultiplexed of an address turns out to be false. */
export type OpenConsul = (tls: TlsSettings, onProtocol: () => void) => ConsulTransport;
