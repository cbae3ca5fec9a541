// Endpoints of the scenarios: processes of their own where they are to crash or hang, and servers in
// this process where starting them must cost no time.
import { createServer, type Server } from 'node:http';
import { WebSocketServer } from 'ws';
import { type EndpointProcess, startEndpoint } from '../../test/support/endpoint.ts';
import type { Stage } from './scenario.ts';

/** Starts and registers one. With `isChecked` Consul asks it each second, as a deploy has it. */
export async function launch(
  { consul, defer }: Stage,
  id: string,
  isChecked: boolean,
): Promise<EndpointProcess> {
  const endpoint = await startEndpoint(id);
  defer(() => endpoint.kill());
  const url = `http://127.0.0.1:${endpoint.port}/health`;
  await consul.register({
    ...{ Name: 'web', ID: id, Address: '127.0.0.1', Port: endpoint.port },
    ...(isChecked && {
      Check: { HTTP: url, Interval: '1s', Timeout: '1s', Status: 'passing' },
    }),
  });
  return endpoint;
}

/** Answers with its id and echoes on WebSockets; registers nothing. Resolves with its port. */
export async function serve({ defer }: Stage, id: string): Promise<number> {
  const server: Server = createServer((_, response) =>
    response.setHeader('x-endpoint', id).end('ok'),
  );
  const sockets = new WebSocketServer({ server });
  sockets.on('connection', (socket) => socket.on('message', (data) => socket.send(data)));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  defer(() => {
    for (const socket of sockets.clients) socket.terminate();
    server.close();
    server.closeAllConnections();
  });
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}
