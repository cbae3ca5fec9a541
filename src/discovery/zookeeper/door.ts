// The door to members of ZooKeeper: one TCP or TLS connection.
import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { type ConnectionOptions, connect as connectTls } from 'node:tls';
import { CodedError } from '../../base/coded-error.ts';
import type { TlsSettings } from '../../model/registries/tls.ts';
import { tlsOptions } from '../../reach/tls-files.ts';
import type { Channel, ChannelEvents, OpenZookeeper } from './wire.ts';

export const openZookeeper: OpenZookeeper = ({ server, tls }, events) => {
  const { address: host, port } = server;
  if (tls === null) return join(connectTcp({ host, port, noDelay: true }), 'connect', events);
  return whenReady(async () => {
    const socket = connectTls({ host, port, ...(await optionsFor(tls, host)) });
    socket.setNoDelay(true);
    return socket;
  }, events);
};

/** A connection whose files are read first; nothing is written before it is open. */
function whenReady(open: () => Promise<Socket>, events: ChannelEvents): Channel {
  let channel: Channel | null = null;
  let isOver = false;
  const begun = (socket: Socket): void => {
    channel = join(socket, 'secureConnect', events);
    if (isOver) channel.destroy();
  };
  // A file that can't be read, or holds no certificate.
  const failed = (error: unknown): void => {
    if (!isOver) events.onEnd(error instanceof Error ? error : new Error(String(error)));
  };
  void open().then(begun, failed);
  const end = (how: 'destroy' | 'end') => (): void => {
    isOver = true;
    channel?.[how]();
  };
  return { write: (bytes) => channel?.write(bytes), destroy: end('destroy'), end: end('end') };
}

function join(socket: Socket, opened: 'connect' | 'secureConnect', events: ChannelEvents): Channel {
  let isOver = false;
  const end = (error: Error): void => {
    if (isOver) return;
    isOver = true;
    socket.destroy();
    events.onEnd(error);
  };
  socket.on('error', end);
  socket.on('close', () => end(new CodedError('closed', 'closed the connection')));
  socket.on(opened, () => {
    if (!isOver) events.onOpen();
  });
  socket.on('data', (bytes: Buffer) => {
    if (!isOver) events.onData(bytes);
  });
  return {
    write: (bytes) => void socket.write(bytes),
    destroy: () => {
      isOver = true;
      socket.destroy();
    },
    end: () => {
      isOver = true;
      socket.destroySoon();
    },
  };
}

/** An IP address is no server name (RFC 6066 section 3). */
async function optionsFor(tls: TlsSettings, host: string): Promise<ConnectionOptions> {
  const name = tls.serverName || host;
  const serverName = isIP(name) === 0 ? name : '';
  return { ...(await tlsOptions({ ...tls, serverName })), minVersion: 'TLSv1.2' };
}
