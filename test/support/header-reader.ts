// Stands before a server that knows nothing of PROXY headers: reads one from each connection, keeps it,
// and passes on what follows. Whatever does not begin with a whole header is reset.
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { type ProxyHeader, readProxyHeader } from '../../src/proxy/proxy-protocol/proxy-header.ts';

export interface HeaderReader {
  readonly port: number;
  /** What each connection began with; `bad` for those that were reset. */
  readonly headers: ProxyHeader[];
  /** Codes of errors on connections to it. */
  readonly errors: string[];
  close(): void;
}

/** In front of the server on this port of loopback. */
export async function readHeadersFor(behind: number): Promise<HeaderReader> {
  const headers: ProxyHeader[] = [];
  const errors: string[] = [];
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on('error', (error: NodeJS.ErrnoException) => errors.push(error.code ?? ''));
    let bytes = Buffer.alloc(0);
    const onData = (piece: Buffer): void => {
      bytes = Buffer.concat([bytes, piece]);
      const header = readProxyHeader(bytes);
      if (header.kind === 'partial') return;
      headers.push(header);
      socket.off('data', onData);
      if (header.kind === 'bad') return void socket.resetAndDestroy();
      const onward = connect({ port: behind, host: '127.0.0.1', allowHalfOpen: true });
      sockets.add(onward);
      onward.on('error', () => socket.resetAndDestroy());
      if (bytes.length > header.length) onward.write(bytes.subarray(header.length));
      socket.pipe(onward);
      onward.pipe(socket);
    };
    socket.on('data', onData);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  return {
    ...{ port, headers, errors },
    close: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
