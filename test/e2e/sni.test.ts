// TLS passed on by the name in the ClientHello, with the real program, real clients (curl, openssl and
// Node) and real TLS servers; services with and without TLS on one port.
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer as createTcp, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ConnectionOptions, connect as connectTls, createServer as createTls } from 'node:tls';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Authority } from '../support/certificates.ts';
import { freePorts } from '../support/ports.ts';
import { startUpriver, type UpriverProcess } from '../support/upriver.ts';

const run = promisify(execFile);
const folder = mkdtempSync(join(tmpdir(), 'upriver-sni-'));
const servers: Server[] = [];
const sockets = new Set<Socket>();
let authority: Authority;
let upriver: UpriverProcess;
let port: number;

async function listen(server: Server): Promise<number> {
  servers.push(server);
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as { port: number }).port;
}

/** A TLS server whose certificate is for these names; it answers any request with its own. */
function startTls(name: string, names: readonly string[]): Promise<number> {
  const { cert, key } = authority.issue(names);
  const server = createTls({ cert, key, ALPNProtocols: ['h2', 'http/1.1'] }, (socket) => {
    socket.on('error', () => {});
    socket.on('data', () => {
      socket.end(
        `HTTP/1.1 200 OK\r\nContent-Length: ${name.length}\r\nConnection: close\r\n\r\n${name}`,
      );
    });
  });
  return listen(server);
}

/** Greets, as SMTP does, and echoes. */
function startPlain(): Promise<number> {
  return listen(
    createTcp((socket) => {
      socket.write('220 plain\r\n');
      socket.on('data', (bytes) => socket.write(bytes));
    }),
  );
}

beforeAll(async () => {
  authority = new Authority();
  const ports = {
    db: await startTls('db', ['db.example.com']),
    wild: await startTls('wild', ['*.example.com']),
    any: await startTls('any', ['other.test']),
    h2: await startTls('h2', ['db.example.com']),
    plain: await startPlain(),
  };
  port = (await freePorts(1))[0]!;
  const services = Object.keys(ports).map((name) => {
    const protocol = name === 'any' ? 'http' : 'tcp';
    return [name, { protocol, from: { registry: 'static' } }];
  });
  const endpoints = Object.entries(ports).map(([name, at]) => [name, [`127.0.0.1:${at}`]]);
  const routes = [
    { sni: '*', service: 'any' },
    { sni: '*.example.com', service: 'wild' },
    { sni: 'db.example.com', service: 'db' },
    { sni: 'db.example.com', alpn: ['h2'], service: 'h2' },
    { service: 'plain' },
  ];
  const file = join(folder, 'upriver.yaml');
  const router = { listen: { address: `127.0.0.1:${port}`, tls: 'pass' }, routes };
  writeFileSync(
    file,
    JSON.stringify({
      static: Object.fromEntries(endpoints),
      services: Object.fromEntries(services),
      routers: [router],
    }),
  );
  upriver = await startUpriver({ args: ['--config', file, '--workers', '2'] });
});

afterAll(async () => {
  for (const socket of sockets) socket.destroy();
  for (const server of servers) server.close();
  await upriver.stop();
  authority.remove();
  rmSync(folder, { recursive: true, force: true });
});

/** Who answers a client with these options, by the certificate and by what it says. */
async function asked(options: ConnectionOptions): Promise<string> {
  const client = connectTls({ port, host: '127.0.0.1', ca: authority.ca, ...options });
  await once(client, 'secureConnect');
  client.write('GET / HTTP/1.1\r\n\r\n');
  let answer = '';
  client.on('data', (bytes) => {
    answer += bytes;
  });
  await once(client, 'end');
  client.destroy();
  return answer.split('\r\n\r\n')[1]!;
}

describe('a router that passes TLS on', () => {
  it.each([
    ['db.example.com', 'db'],
    ['DB.example.COM', 'db'],
    ['a.b.example.com', 'wild'],
    ['other.test', 'any'],
  ])('routes by the name: %s to %s', async (servername, service) => {
    // Whose certificate it is, is checked by the client: it speaks with the endpoint itself.
    const options = servername.startsWith('a.b.') ? { checkServerIdentity: () => undefined } : {};
    expect(await asked({ servername, ...options })).toBe(service);
  });

  it('routes by the protocols that are offered, and clients without a name by default', async () => {
    expect(await asked({ servername: 'db.example.com', ALPNProtocols: ['h2'] })).toBe('h2');
    expect(await asked({ servername: 'db.example.com', ALPNProtocols: ['http/1.1'] })).toBe('db');
    expect(await asked({ checkServerIdentity: () => undefined })).toBe('any');
  });

  it('serves curl and openssl', async () => {
    const url = `https://db.example.com:${port}/`;
    const curl = ['-s', '--http1.1', '--cacert', authority.caFile];
    const { stdout } = await run('curl', [
      ...curl,
      '--resolve',
      `db.example.com:${port}:127.0.0.1`,
      url,
    ]);
    expect(stdout).toBe('db');
    for (const [name, subject] of [
      ['db.example.com', 'db.example.com'],
      ['x.example.com', '*.example.com'],
    ] as const) {
      const args = ['s_client', '-connect', `127.0.0.1:${port}`, '-servername', name];
      const asking = run('openssl', [...args, '-CAfile', authority.caFile, '-brief']);
      // It ends with its input.
      asking.child.stdin?.end();
      const shown = await asking.then(
        ({ stderr }) => stderr,
        (error: { stderr: string }) => error.stderr,
      );
      expect(shown).toContain(`CN = ${subject}`);
    }
  });

  it('takes a ClientHello in any pieces', async () => {
    const { promise, resolve } = Promise.withResolvers<string>();
    const relay = createTcp((socket) => {
      const onward = connect({ port, host: '127.0.0.1', noDelay: true });
      for (const side of [socket, onward]) side.on('error', () => {});
      onward.pipe(socket);
      // Byte by byte, each in a segment of its own, as far as the system lets it be.
      socket.on('data', async (bytes: Buffer) => {
        socket.pause();
        for (const byte of bytes) {
          onward.write(Buffer.from([byte]));
          await new Promise((done) => setImmediate(done));
        }
        socket.resume();
      });
    });
    const relayPort = await listen(relay);
    const client = connectTls({
      ...{ port: relayPort, host: '127.0.0.1', ca: authority.ca, servername: 'db.example.com' },
    });
    await once(client, 'secureConnect');
    client.write('GET / HTTP/1.1\r\n\r\n');
    client.once('data', (bytes) => resolve(String(bytes)));
    expect(await promise).toMatch(/\r\n\r\ndb$/);
    client.destroy();
  });

  it('serves what is not TLS on the same port, also where the server speaks first', async () => {
    const talking = connect(port, '127.0.0.1');
    sockets.add(talking);
    talking.write('EHLO me\r\n');
    let answer = '';
    talking.on('data', (bytes) => {
      answer += bytes;
    });
    await expect.poll(() => answer).toBe('220 plain\r\nEHLO me\r\n');
    const silent = connect(port, '127.0.0.1');
    sockets.add(silent);
    const [banner] = (await once(silent, 'data')) as [Buffer];
    expect(banner.toString()).toBe('220 plain\r\n');
  });

  it('cuts off what only begins like TLS, and says why', async () => {
    const socket = connect(port, '127.0.0.1');
    sockets.add(socket);
    socket.on('error', () => {});
    socket.write(Buffer.from([22, 3, 1, 0, 5, 2, 0, 0, 1, 3]));
    await new Promise((resolve) => socket.once('close', resolve));
    await upriver.waitForLog(
      (line) =>
        line.reason === 'bad-client-hello' && line.detail === 'the first message is no ClientHello',
      'a bad ClientHello',
    );
  });

  it('moves large bodies whole, both ways at once', async () => {
    const bytes = Buffer.alloc(8 * 2 ** 20, 'x');
    const client = connect(port, '127.0.0.1');
    sockets.add(client);
    let count = 0;
    client.on('data', (piece) => {
      count += piece.length;
    });
    client.write(bytes);
    await expect.poll(() => count).toBe(bytes.length + '220 plain\r\n'.length);
  });
});
