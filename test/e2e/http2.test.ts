// HTTP/2 with the real program and real clients: curl, nghttp and h2load of nghttp2, Node over TLS; and
// streams of gRPC balanced over two workers.
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type ClientHttp2Session, type ClientHttp2Stream, connect } from 'node:http2';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { Authority } from '../support/certificates.ts';
import { type EndpointProcess, startEndpoint } from '../support/endpoint.ts';
import { answerOf, ask, closeHttp2 } from '../support/http2.ts';
import { closeHttp2Endpoints, type Http2Endpoint, serveHttp2 } from '../support/http2-endpoint.ts';
import { freePorts } from '../support/ports.ts';
import { startUpriver, type UpriverProcess } from '../support/upriver.ts';

const run = promisify(execFile);
const authority = new Authority();
const site = authority.issue(['site.test']);
const folder = mkdtempSync(join(tmpdir(), 'upriver-http2-'));
afterAll(() => {
  authority.remove();
  rmSync(folder, { recursive: true });
});
const nghttp = process.env.NGHTTP_BIN ?? '/usr/bin/nghttp';
/** Of the same package. */
const h2load = join(dirname(nghttp), 'h2load');

let upriver: UpriverProcess | null = null;
let endpoint: EndpointProcess | null = null;
const sessions: ClientHttp2Session[] = [];

afterEach(async () => {
  for (const session of sessions.splice(0)) session.destroy();
  closeHttp2();
  await upriver?.stop();
  await endpoint?.kill();
  closeHttp2Endpoints();
  upriver = null;
  endpoint = null;
});

/** Two workers; `web` by HTTP/1.1 to one endpoint, plain and over TLS. */
async function launch(): Promise<{ plain: number; secure: number }> {
  endpoint = await startEndpoint('one');
  const [plain = 0, secure = 0] = await freePorts(2);
  const file = join(folder, 'upriver.yaml');
  const tls = `{ certificates: [ { cert_file: ${site.certFile}, key_file: ${site.keyFile} } ] }`;
  writeFileSync(
    file,
    `static: { web: [ "127.0.0.1:${endpoint.port}" ] }
services:
  web:
    from: { registry: static }
    listen:
      - { address: "127.0.0.1:${plain}", http2: true }
      - { address: "127.0.0.1:${secure}", http2: true, tls: ${tls} }
`,
  );
  upriver = await startUpriver({ args: ['--config', file, '--workers', '2'] });
  return { plain, secure };
}

/** Requests in flight on the one endpoint. */
async function active(): Promise<number> {
  const response = await fetch(`${upriver!.statsUrl}/api/v1/services/web`);
  // The API's own shape (docs/reference/admin-api.md).
  const service = (await response.json()) as { endpoints: { active: number }[] };
  return service.endpoints[0]!.active;
}

describe('HTTP/2', () => {
  it('is spoken with curl, by ALPN and by prior knowledge, beside HTTP/1.1', async () => {
    const { plain, secure } = await launch();
    const resolve = ['--resolve', `site.test:${secure}:127.0.0.1`, '--cacert', authority.caFile];
    const curl = async (...args: string[]) => {
      const all = ['-sS', '--max-time', '60', '-w', ' %{http_version} %{http_code}', ...args];
      return (await run(process.env.CURL_BIN ?? 'curl', all)).stdout;
    };
    const url = `http://127.0.0.1:${plain}/`;
    expect(await curl('--http2-prior-knowledge', url)).toMatch(/ 2 200$/);
    expect(await curl(url)).toMatch(/ 1\.1 200$/);
    expect(await curl('--http2', url)).toMatch(/ 1\.1 200$/);
    const secureUrl = `https://site.test:${secure}/`;
    expect(await curl('--http2', ...resolve, secureUrl)).toMatch(/ 2 200$/);
    expect(await curl('--http1.1', ...resolve, secureUrl)).toMatch(/ 1\.1 200$/);
    const post = ['--data-binary', 'x'.repeat(100_000)];
    expect(await curl('--http2', ...resolve, ...post, secureUrl)).toMatch(/ 2 200$/);
  });

  it.skipIf(!existsSync(nghttp))('is spoken with nghttp', async () => {
    const { plain } = await launch();
    const url = `http://127.0.0.1:${plain}/`;
    const { stdout } = await run(nghttp, ['-nv', '-t', '60', url, `${url}a`, `${url}b`]);
    expect(stdout.match(/:status: 200/g)?.length).toBe(3);
    expect(stdout).not.toMatch(/RST_STREAM|PROTOCOL_ERROR/);
  });

  it.skipIf(!existsSync(h2load))('loses no request of h2load', async () => {
    const { plain } = await launch();
    const url = `http://127.0.0.1:${plain}/`;
    const { stdout } = await run(h2load, ['-n', '4000', '-c', '10', '-m', '20', url]);
    expect(stdout).toContain('4000 succeeded, 0 failed, 0 errored, 0 timeout');
    expect(stdout).toContain('4000 2xx');
  });

  it('over TLS says so to the endpoint, and loses nothing when the process drains', async () => {
    const { secure } = await launch();
    const session = connect(`https://127.0.0.1:${secure}`, {
      ...{ ca: authority.ca, servername: 'site.test' },
    });
    sessions.push(session);
    session.on('error', () => {});
    expect((await ask(session, { ':path': '/' })).status).toBe(200);
    const asked = Array.from({ length: 20 }, () => ask(session, { ':path': '/held' }));
    await expect.poll(active).toBe(20);
    const closed = new Promise((resolve) => session.once('close', resolve));
    upriver!.signal('SIGTERM');
    await upriver!.waitForLog(({ msg }) => msg === 'draining', 'that it drains');
    await endpoint!.behave({ holds: false });
    for (const { status, code } of await Promise.all(asked))
      expect([status, code]).toEqual([200, 0]);
    await closed;
    expect(await upriver!.exited).toBe(0);
  });
});

describe('gRPC over two workers', () => {
  it('is balanced by streams in flight, exactly', async () => {
    const counts = [0, 0, 0, 0];
    const endpoints: Http2Endpoint[] = [];
    for (const at of counts.keys()) {
      endpoints.push(
        await serveHttp2((stream) => {
          counts[at]! += 1;
          stream.on('close', () => {
            counts[at]! -= 1;
          });
          stream.respond({ ':status': 200, 'content-type': 'application/grpc' });
          stream.write('hello');
        }),
      );
    }
    const [port = 0] = await freePorts(1);
    const list = endpoints.map((one) => `127.0.0.1:${one.port}`).join(',');
    const service = `web=127.0.0.1:${port},http2=true,upstream.protocol=h2c`;
    const args = ['--static', `web=${list}`, '--service', service, '--workers', '2'];
    upriver = await startUpriver({ args });
    // Connections enough that both workers have some.
    const clients = Array.from({ length: 8 }, () => connect(`http://127.0.0.1:${port}`));
    sessions.push(...clients);
    const open: ClientHttp2Stream[] = [];
    const begin = async (client: ClientHttp2Session) => {
      const stream = client.request({
        ...{ ':path': '/test.Echo/Chat', ':method': 'POST', te: 'trailers' },
        'content-type': 'application/grpc',
      });
      stream.on('error', () => {});
      open.push(stream);
      await new Promise((resolve) => stream.once('data', resolve));
    };
    // Two workers that choose in the same moment may choose the same endpoint; the next ones even that out.
    for (let i = 0; i < 56; i += 8) await Promise.all(clients.map(begin));
    for (const client of clients) await begin(client);
    expect(counts).toEqual([16, 16, 16, 16]);
    // All of some connections end, whatever that does to each endpoint: what comes next evens it out.
    const ended = open.splice(0, 24).map((stream) => {
      const over = answerOf(stream);
      stream.close(8);
      return over;
    });
    await Promise.all(ended);
    await expect.poll(() => counts.reduce((sum, count) => sum + count)).toBe(40);
    for (let i = 0; i < 24; i += 1) await begin(clients[i % 8]!);
    expect(counts).toEqual([16, 16, 16, 16]);
  });
});
