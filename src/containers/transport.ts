// The door to a container engine: what its client needs of HTTP. Over undici in the program
// (door.ts), over scripted answers elsewhere.

import type { EngineAddress } from '../model/engine-address.ts';
import type { TlsSettings } from '../model/registries/tls.ts';

export interface EngineRequest {
  /** Path and query. */
  readonly path: string;
  /** Gives the exchange up: what is open then rejects. */
  readonly signal: AbortSignal;
}

export interface EngineResponse {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** Throws where the connection breaks before its end. */
  readonly body: AsyncIterable<Buffer>;
}

export interface EngineTransport {
  /** GET; resolves with the head of the answer, which an event stream of Podman sends late. */
  get(request: EngineRequest): Promise<EngineResponse>;
  /** Closes all connections; what is open rejects. */
  close(): Promise<void>;
}

export type OpenEngine = (
  address: EngineAddress,
  tls: TlsSettings,
) => EngineTransport | Promise<EngineTransport>;

/** Whether a unix socket is there. */
export type HasSocket = (path: string) => boolean | Promise<boolean>;
