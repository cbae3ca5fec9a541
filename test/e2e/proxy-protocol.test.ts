// PROXY protocol between Upriver and real HAProxy and nginx, on either side.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, request, type Server } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { Authority } from '../support/certificates.ts';
import { has, program } from '../support/databases.ts';
import { freePorts } from '../support/ports.ts';
import { startUpriver, type UpriverProcess } from '../support/upriver.ts';

const folder = mkdtempSync(join(tmpdir(), 'upriver-proxy-'));
const children: ChildProcess[] = [];
const servers: Server[] = [];
let upriver: UpriverProcess | null = null;

afterEach(async () => {
  for (const child of children.splice(0)) {
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
  }
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
  await upriver?.stop();
  upriver = null;
});
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));

/** Answers with what it was told of the client. */
async function startOrigin(): Promise<number> {
  const server = createServer((asked, response) => {
    response.end(String(asked.headers['x-forwarded-for']));
  });
  servers.push(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as { port: number }).port;
}

async function run(name: 'haproxy' | 'nginx', port: number, text: string): Promise<void> {
  const { path, env } = program(name);
  const file = join(folder, `${name}-${port}.conf`);
  writeFileSync(file, text);
  const args = name === 'haproxy' ? ['-db', '-f', file] : ['-p', folder, '-c', file];
  const child = spawn(path, args, { env, stdio: ['ignore', 'inherit', 'inherit'] });
  children.push(child);
  await expect
    .poll(
      () =>
        new Promise((resolve) => {
          const socket = connect(port, '127.0.0.1');
          socket.once('connect', () => resolve('up'));
          socket.once('error', () => resolve('down'));
          socket.once('close', () => socket.destroy());
          socket.end();
        }),
    )
    .toBe('up');
}

const haproxy = (lines: string) => `
defaults
  mode http
  timeout connect 5s
  timeout client 5s
  timeout server 5s
${lines}
`;

/** Asks from this address of loopback; the body of the answer. */
function ask(port: number, localAddress: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = { port, host: '127.0.0.1', localAddress, agent: false };
    const sent = request(options, (response) => {
      let body = '';
      response.on('data', (bytes) => {
        body += bytes;
      });
      response.on('end', () =>
        resolve(response.statusCode === 200 ? body : `${response.statusCode}`),
      );
    });
    sent.on('error', reject);
    sent.end();
  });
}

async function serve(endpoint: number, listen: object | string, more: object = {}): Promise<void> {
  const file = join(folder, 'upriver.yaml');
  const service = { listen, from: { registry: 'static' }, ...more };
  const config = { static: { web: [`127.0.0.1:${endpoint}`] }, services: { web: service } };
  writeFileSync(file, JSON.stringify(config));
  upriver = await startUpriver({ args: ['--config', file, '--workers', '2'] });
}

describe.skipIf(!has('haproxy'))('HAProxy', () => {
  it.each(['send-proxy', 'send-proxy-v2', 'send-proxy-v2-ssl-cn'])(
    'in front, with %s: the client is who HAProxy says',
    async (option) => {
      const [front, port] = (await freePorts(2)) as [number, number];
      await serve(await startOrigin(), {
        address: `127.0.0.1:${port}`,
        accept_proxy: ['127.0.0.1'],
      });
      const lines = `listen front
  bind 127.0.0.1:${front}
  server up 127.0.0.1:${port} ${option}`;
      await run('haproxy', front, haproxy(lines));
      expect(await ask(front, '127.0.0.9')).toBe('127.0.0.9');
      // Not through HAProxy, from a network that is not trusted.
      expect(await ask(port, '127.0.0.8')).toBe('127.0.0.8');
    },
  );

  it('in front of a listener with TLS: the header comes before the handshake', async () => {
    const [front, port] = (await freePorts(2)) as [number, number];
    const authority = new Authority();
    const { certFile: cert_file, keyFile: key_file } = authority.issue(['site.test']);
    const tls = { certificates: [{ cert_file, key_file }] };
    const listen = { address: `127.0.0.1:${port}`, accept_proxy: ['127.0.0.1'], tls };
    await serve(await startOrigin(), listen);
    const lines = `listen front
  bind 127.0.0.1:${front}
  server up 127.0.0.1:${port} send-proxy-v2 ssl verify none`;
    await run('haproxy', front, haproxy(lines));
    expect(await ask(front, '127.0.0.9')).toBe('127.0.0.9');
    authority.remove();
  });

  it.each(['v1', 'v2'])('behind, with %s: it learns who the client is', async (version) => {
    const [behind, port] = (await freePorts(2)) as [number, number];
    const origin = await startOrigin();
    const lines = `listen behind
  bind 127.0.0.1:${behind} accept-proxy
  option forwardfor
  http-request del-header X-Forwarded-For
  server origin 127.0.0.1:${origin}`;
    await run('haproxy', behind, haproxy(lines));
    const health = { path: '/', interval: '200ms' };
    await serve(behind, `127.0.0.1:${port}`, { upstream: { send_proxy: version }, health });
    // Its checks must say who they are, too, or it would take each for a broken connection.
    await upriver!.waitForLog((line) => line.to === 'up', 'its check is good');
    for (const address of ['127.0.0.9', '127.0.0.8', '127.0.0.9']) {
      expect(await ask(port, address)).toBe(address);
    }
  });
});

describe.skipIf(!has('nginx'))('nginx', () => {
  it.each(['v1', 'v2'])('behind, with %s: it learns who the client is', async (version) => {
    const [behind, port] = (await freePorts(2)) as [number, number];
    const text = `daemon off; master_process off; pid ${folder}/nginx.pid; error_log stderr crit;
events {}
http {
  access_log off;
  client_body_temp_path ${folder}/body; proxy_temp_path ${folder}/proxy;
  fastcgi_temp_path ${folder}/fastcgi; uwsgi_temp_path ${folder}/uwsgi; scgi_temp_path ${folder}/scgi;
  server { listen 127.0.0.1:${behind} proxy_protocol; return 200 "$proxy_protocol_addr"; }
}`;
    await run('nginx', behind, text);
    await serve(behind, `127.0.0.1:${port}`, { upstream: { send_proxy: version } });
    for (const address of ['127.0.0.9', '127.0.0.8'])
      expect(await ask(port, address)).toBe(address);
  });
});
