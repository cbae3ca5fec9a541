// node:http2 in front of node:http with a keep-alive agent, round robin over the endpoints.
import { Agent, request } from 'node:http';
import { createServer } from 'node:http2';

const [port, endpoints] = [Number(process.argv[2]), process.argv[3].split(',').map(Number)];
const agent = new Agent({ keepAlive: true, maxSockets: 512 });
const HOP = new Set(['connection', 'keep-alive', 'transfer-encoding', 'upgrade']);
let next = 0;
createServer()
  .on('stream', (stream, fields) => {
    next = (next + 1) % endpoints.length;
    const headers = { host: fields[':authority'] };
    for (const [name, value] of Object.entries(fields)) {
      if (!name.startsWith(':')) headers[name] = value;
    }
    const place = { port: endpoints[next], host: '127.0.0.1', agent };
    const asked = request({
      ...{ ...place, headers, method: fields[':method'], path: fields[':path'] },
    });
    asked.on('response', (response) => {
      const out = { ':status': response.statusCode };
      for (const [name, value] of Object.entries(response.headers)) {
        if (!HOP.has(name)) out[name] = value;
      }
      stream.respond(out);
      response.pipe(stream);
    });
    asked.on('error', () => stream.destroy());
    stream.on('error', () => asked.destroy());
    stream.pipe(asked);
  })
  .listen(port, '127.0.0.1');
