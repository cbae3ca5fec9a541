// An endpoint as a process of its own, so that tests can kill and freeze it. Answers every request
// with its id; /health with 200; /requests with how many others there were; /slow?ms=N after N ms; /held when its
// parent says so; PUT and POST echo the body's length. Its parent may tell it over the IPC channel to behave
// otherwise, and is told when it does.
// Prints one JSON line with its port when it listens. Arguments: id, port, address.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { Behaviour } from './behaviour.ts';

const [id = 'endpoint', port = '0', host = '127.0.0.1'] = process.argv.slice(2);
let behaviour: Required<Behaviour> = { requests: 'ok', delayMs: 0, holds: true, health: 200 };
const held: (() => void)[] = [];

process.on('message', (told: Behaviour) => {
  behaviour = { ...behaviour, ...told };
  if (!behaviour.holds) for (const release of held.splice(0)) release();
  process.send?.('done');
});

let requestCount = 0;
const server = createServer((request, response) => {
  let bytes = 0;
  request.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
  });
  request.on('end', () => {
    const url = new URL(request.url ?? '/', 'http://endpoint');
    if (url.pathname === '/health') {
      answer(request, response, behaviour.health, bytes);
      return;
    }
    if (url.pathname === '/requests') {
      response.end(String(requestCount));
      return;
    }
    requestCount += 1;
    const { requests } = behaviour;
    if (requests === 'reset') {
      request.socket.resetAndDestroy();
      return;
    }
    const own = url.pathname === '/slow' ? Number(url.searchParams.get('ms') ?? 0) : 0;
    const delayMs = own + behaviour.delayMs;
    const status = requests === 'ok' ? 200 : requests;
    const now = (): void => answer(request, response, status, bytes);
    if (url.pathname === '/held' && behaviour.holds) held.push(now);
    else if (delayMs > 0) setTimeout(now, delayMs);
    else now();
  });
});

function answer(
  request: IncomingMessage,
  response: ServerResponse,
  status: number,
  bytes: number,
): void {
  response.writeHead(status, { 'x-endpoint': id });
  response.end(`${id} ${request.method} ${bytes}\n`);
}

server.keepAliveTimeout = 60_000;
server.listen(Number(port), host, () => {
  const address = server.address();
  console.log(JSON.stringify({ port: typeof address === 'object' ? address?.port : 0 }));
});
// An orderly stop answers what is in flight, as a well-behaved service does.
process.on('SIGTERM', () => server.close(() => process.exit(0)));
// The channel keeps nobody alive, and its end means that the parent is gone.
process.channel?.unref();
process.on('disconnect', () => process.exit(0));
