// An endpoint as a process of its own, so that tests can kill and freeze it. Answers every request
// with its id; /health with 200; /slow?ms=N after N ms; PUT and POST echo the body's length.
// Prints one JSON line with its port when it listens.
import { createServer } from 'node:http';

const id = process.argv[2] ?? 'endpoint';
const port = Number(process.argv[3] ?? 0);

const server = createServer((request, response) => {
  let bytes = 0;
  request.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
  });
  request.on('end', () => {
    const url = new URL(request.url ?? '/', 'http://endpoint');
    const delayMs = url.pathname === '/slow' ? Number(url.searchParams.get('ms') ?? 0) : 0;
    const answer = () => {
      response.setHeader('x-endpoint', id);
      response.end(`${id} ${request.method} ${bytes}\n`);
    };
    if (delayMs > 0) setTimeout(answer, delayMs);
    else answer();
  });
});
server.keepAliveTimeout = 60_000;
server.listen(port, '127.0.0.1', () => {
  const address = server.address();
  console.log(JSON.stringify({ port: typeof address === 'object' ? address?.port : 0 }));
});
// An orderly stop answers what is in flight, as a well-behaved service does.
process.on('SIGTERM', () => server.close(() => process.exit(0)));
