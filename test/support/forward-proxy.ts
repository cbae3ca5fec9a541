// A proxy by which the containers of a test's engine, whose network leads nowhere, reach what this machine
// reaches: plain HTTP, and tunnels by CONNECT. It listens on the engine's link alone.
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';

export interface ForwardProxy {
  readonly url: string;
  close(): Promise<void>;
}

export async function startForwardProxy(address: string): Promise<ForwardProxy> {
  const sockets = new Set<Socket>();
  const server = createServer(forward);
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  server.on('connect', (asked: IncomingMessage, client: Socket, head: Buffer) => {
    const { hostname, port } = new URL(`http://${asked.url}`);
    const far = connect(Number(port || 80), hostname, () => {
      client.write('HTTP/1.1 200 Connection established\r\n\r\n');
      far.write(head);
      far.pipe(client).pipe(far);
    });
    far.on('error', () => client.destroy());
    client.on('error', () => far.destroy());
    client.on('close', () => far.destroy());
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(0, address, resolve);
  });
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://${address}:${port}`,
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function forward(asked: IncomingMessage, answer: ServerResponse): void {
  const { method, headers } = asked;
  const sent = request(asked.url ?? '', { method: method ?? 'GET', headers }, (got) => {
    answer.writeHead(got.statusCode ?? 502, got.headers);
    got.pipe(answer);
  });
  sent.on('error', () => answer.destroy());
  asked.pipe(sent);
}
