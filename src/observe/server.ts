// The stats port as a server: opens, bounds what one peer can hold (connections.ts, outbox.ts,
// renderer.ts), closes. Who may read is `stats.read` (access.ts); changes come from loopback, or with
// the admin token (admin.ts).
import { createServer, type Server, type ServerOptions, type ServerResponse } from 'node:http';
import { systemClock } from '../base/clock.ts';
import { messageOf } from '../base/coded-error.ts';
import { formatListen, type ListenAddress } from '../model/listener.ts';
import type { AccessSettings } from './access.ts';
import { Connections, type Places } from './connections.ts';
import { listenAlone } from './listening.ts';
import { Outbox } from './outbox.ts';
import { type MaterialNow, speakTls } from './over-tls.ts';
import { loadAssets } from './page.ts';
import { StatsPort } from './port.ts';
import { Pump } from './pump.ts';
import { Reading } from './reading.ts';
import { sendError } from './reply.ts';
import { callOf, serve } from './routes.ts';
import type { StatsSources } from './sources.ts';
import type { Sibling } from './succession.ts';

/** For a peer to have read the answer, streams apart. */
const RESPONSE_MS = 30_000;
/** What one request, and one connection, may take of Node's server. */
const LIMITS: ServerOptions = {
  /** For a request to arrive whole, and for its head, ms. */
  requestTimeout: 10_000,
  headersTimeout: 5000,
  keepAliveTimeout: 5000,
  /** How often Node looks for those that are late; its default is half a minute. */
  connectionsCheckingInterval: 1000,
  maxHeaderSize: 16 * 1024,
};

export interface StatsOptions {
  readonly listen: ListenAddress;
  /** Who may read, and who may change something. */
  readonly access: AccessSettings;
  /** Given by tests. */
  readonly places?: Places;
  readonly sources: StatsSources;
  /** What TLS is spoken with; plain HTTP where there is none. */
  readonly tls?: MaterialNow;
  /** The process that had the address before, where it handed it over. */
  readonly takenFrom?: Sibling;
}

export interface StatsServer {
  /** Where it listens, with the port that was given for port 0. */
  readonly address: string;
  /** Closes what lies idle and what is not read: memory is short. */
  shed(): void;
  /** The process drains: who waits for the port gets it now, or as soon as it asks. */
  drain(): void;
  /** Ends streams and connections; resolves when the port is free. */
  close(): Promise<void>;
}

/** Opens the stats port. Rejects with the system's error when it can't. */
export async function startStatsServer(options: StatsOptions): Promise<StatsServer> {
  const { listen, sources } = options;
  const pump = new Pump();
  const port = new StatsPort(sources, {
    pump,
    access: options.access,
    takenFrom: options.takenFrom ?? null,
    release: () => {
      port.close();
      server.close();
    },
  });
  const connections = new Connections(options.places);
  const outbox = new Outbox(pump);
  const reading = new Reading(systemClock);
  const assets = loadAssets();
  const server = createServer(LIMITS, (request, response) => {
    connections.take(response, (connection) => {
      const endTime = giveTime(response);
      const hold = (): void => {
        connection.isStream = true;
        endTime();
      };
      const call = callOf({ response, connection, outbox, hold });
      serve(port, assets, call).catch((error: unknown) => {
        sources.log.error({ url: request.url, err: messageOf(error) }, 'stats request failed');
        if (response.headersSent) response.destroy();
        else sendError(call, 500, 'internal error').catch(() => response.destroy());
      });
    });
  });
  if (options.tls !== undefined) speakTls(server, { connections, reading }, options.tls);
  else {
    server.on('connection', (socket) => {
      const connection = connections.add(socket);
      if (connection !== null) reading.read(socket, connection);
    });
  }
  try {
    await listenAlone(server, listen);
  } catch (error) {
    port.close();
    connections.close();
    throw error;
  }
  return {
    address: addressOf(server, listen),
    shed: () => connections.shed(),
    drain: () => port.succession.drain(),
    close: () => {
      port.close();
      connections.close();
      return new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      });
    },
  };
}

/** A peer that reads too slowly is cut. Returns what makes an exception of a response. */
function giveTime(response: ServerResponse): () => void {
  const timer = setTimeout(() => response.destroy(), RESPONSE_MS).unref();
  const hold = (): void => clearTimeout(timer);
  response.once('close', hold);
  return hold;
}

function addressOf(server: Server, listen: ListenAddress): string {
  const bound = server.address();
  if (listen.kind === 'unix' || typeof bound !== 'object' || bound === null) {
    return formatListen(listen);
  }
  return formatListen({ ...listen, port: bound.port });
}
