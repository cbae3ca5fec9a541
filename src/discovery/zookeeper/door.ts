// The door to members of ZooKeeper: one TCP or TLS connection.
import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { type ConnectionOptions, connect as connectTls } from 'node:tls';
import { CodedError, messageOf } from '../../base/coded-error.ts';
import { readRegularFile } from '../../base/regular-file.ts';
import { BOUNDS } from '../../model/bounds.ts';
import type { TlsSettings } from '../../model/registries/tls.ts';
import type { Channel, ChannelEvents, OpenZookeeper } from './wire.ts';

export const openZookeeper: OpenZookeeper = ({ server, tls }, events) => {
  const { address: host, port } = server;
  try {
    if (tls === null) return join(connectTcp({ host, port, noDelay: true }), 'connect', events);
    const socket = connectTls({ host, port, ...tlsOptions(tls, host) });
    socket.setNoDelay(true);
    return join(socket, 'secureConnect', events);
  } catch (error) {
    // A file that can't be read, or holds no certificate.
    setImmediate(events.onEnd, error instanceof Error ? error : new Error(String(error)));
    return { write() {}, destroy() {}, end() {} };
  }
};

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

/** The files are read for each connection, so that those that were replaced count. */
function tlsOptions(tls: TlsSettings, host: string): ConnectionOptions {
  const { caFile, certFile, keyFile, serverName, verify } = tls;
  const name = serverName || host;
  return {
    rejectUnauthorized: verify,
    minVersion: 'TLSv1.2',
    ...(isIP(name) === 0 ? { servername: name } : {}),
    ...(caFile === '' ? {} : { ca: read(caFile) }),
    ...(certFile === '' ? {} : { cert: read(certFile) }),
    ...(keyFile === '' ? {} : { key: read(keyFile) }),
  };
}

function read(file: string): Buffer {
  try {
    return readRegularFile(file, BOUNDS.tlsFile.max);
  } catch (error) {
    throw new CodedError('tls-file', `${file}: ${messageOf(error)}`);
  }
}
