// The baseline: http-proxy with a keep-alive agent, round robin over the endpoints.
import { Agent, createServer } from 'node:http';
import httpProxy from 'http-proxy';

const [port, endpoints] = [Number(process.argv[2]), process.argv[3].split(',').map(Number)];
const agent = new Agent({ keepAlive: true, maxSockets: 512 });
const proxy = httpProxy.createProxyServer({ agent, xfwd: true });
proxy.on('error', (_error, _request, response) => response.destroy?.());
let next = 0;
createServer((request, response) => {
  next = (next + 1) % endpoints.length;
  proxy.web(request, response, { target: { host: '127.0.0.1', port: endpoints[next] } });
}).listen(port, '127.0.0.1');
