// Connections to a container engine, over a unix socket or TCP. One of them is held by the stream of
// events for as long as the engine lives.
import { stat } from 'node:fs/promises';
import { Agent, buildConnector } from 'undici';
import { inTime } from '../base/timely-file.ts';
import type { EngineAddress } from '../model/engine-address.ts';
import type { TlsSettings } from '../model/registries/tls.ts';
import { tlsOptions } from '../reach/tls-files.ts';
import type { EngineTransport } from './transport.ts';

/** The stream of events, what is asked at a time, and a few to spare. */
const CONNECTIONS_MAX = 16;
const CONNECT_MS_MAX = 5000;

/** Opens no connection yet. Rejects where a file of `tls` can't be read. */
export async function openEngine(
  address: EngineAddress,
  tls: TlsSettings,
): Promise<EngineTransport> {
  const { socketPath, url } = address;
  const isTls = url.startsWith('https:');
  const connect = buildConnector({
    timeout: CONNECT_MS_MAX,
    ...(socketPath === '' ? {} : { socketPath }),
    // As for registries: a resumed session would be trusted beyond its certificate's end.
    ...(isTls ? { ...(await tlsOptions(tls)), maxCachedSessions: 0 } : {}),
  });
  const agent = new Agent({ connect, connections: CONNECTIONS_MAX, allowH2: false });
  return {
    get: async ({ path, signal }) => {
      const { statusCode, headers, body } = await agent.request({
        origin: socketPath === '' ? url : 'http://docker',
        method: 'GET',
        path,
        signal,
        // The client's deadline bounds both; events have none: Podman sends no head before the first.
        headersTimeout: 0,
        bodyTimeout: 0,
      });
      return { status: statusCode, headers, body };
    },
    close: () => agent.destroy(),
  };
}

/** Whether there is a unix socket at `path`; false, too, where that is not known in time. Never rejects. */
export function hasSocket(path: string): Promise<boolean> {
  return inTime(path, async () => (await stat(path)).isSocket()).catch(() => false);
}
