import { ClientEngine } from './client-engine.ts';
import type { TlsEngine } from './engine.ts';
import type { EngineOptions } from './engine-parts.ts';
import { ServerEngine } from './server-engine.ts';

/** One side of a fake TLS connection, a server's or a client's. */
export function engineOf(options: EngineOptions): TlsEngine {
  return options.isServer ? new ServerEngine(options) : new ClientEngine(options);
}
