// A relay to a port of this machine that can be cut, and that can hold back what is answered.
import { connect, createServer, type Server, type Socket } from 'node:net';
import { freePorts } from './ports.ts';

export interface Gate {
  /** Of the relay, with the scheme of the other. */
  readonly url: string;
  /** Ends every connection, and takes none until `mend`. */
  cut(): Promise<void>;
  mend(): Promise<void>;
  /** Answers wait here until `release`; questions go on. */
  hold(): void;
  release(): void;
  stop(): Promise<void>;
}

export async function startGate(to: string): Promise<Gate> {
  const { protocol, port: target } = new URL(to);
  const open = new Map<Socket, Socket>();
  let isHeld = false;
  const accept = (client: Socket): void => {
    const upstream = connect(Number(target), '127.0.0.1');
    open.set(client, upstream);
    client.pipe(upstream).pipe(client);
    if (isHeld) upstream.pause();
    const end = (): void => {
      open.delete(client);
      client.destroy();
      upstream.destroy();
    };
    for (const socket of [client, upstream]) socket.on('error', end).on('close', end);
  };
  const [port = 0] = await freePorts(1);
  let server = await listen(accept, port);
  const close = async (): Promise<void> => {
    const closed = new Promise((resolve) => server.close(resolve));
    for (const client of open.keys()) client.destroy();
    await closed;
  };
  return {
    url: `${protocol}//127.0.0.1:${port}`,
    cut: close,
    mend: async () => {
      server = await listen(accept, port);
    },
    hold: () => {
      isHeld = true;
      for (const upstream of open.values()) upstream.pause();
    },
    release: () => {
      isHeld = false;
      for (const upstream of open.values()) upstream.resume();
    },
    stop: close,
  };
}

function listen(accept: (client: Socket) => void, port: number): Promise<Server> {
  const server = createServer(accept);
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () => resolve(server));
  });
}
