// Requests that come in over TLS: what an endpoint is told of them, what the client is told, and what
// becomes of connections whose handshake does not end well.
import { once } from 'node:events';
import { connect as connectHttp2 } from 'node:http2';
import { connect as connectPlain } from 'node:net';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { WorkerColumn } from '../../../src/ledger/layout.ts';
import { type ListenPolicy, type ListenTls, PLAIN_LISTEN } from '../../../src/model/listener.ts';
import { materialKey, type TlsMaterial } from '../../../src/model/tls.ts';
import { Authority, certificateOf, materialOf } from '../../support/certificates.ts';
import { Peer } from '../../support/peer.ts';
import { answer, closePlanes, openPair, type Plane, type Policy } from '../../support/plane.ts';

const authority = new Authority();
afterAll(() => authority.remove());
const localhost = certificateOf(['localhost'], authority.issue(['localhost']));
const alice = authority.issue([], { subject: '/CN=alice' });

afterEach(closePlanes);

/** A plane whose listener speaks TLS, with one endpoint. */
async function serve(
  parts: { policy?: Partial<ListenPolicy>; service?: Policy; material?: Partial<TlsMaterial> } = {},
) {
  const { endpoint, plane } = await openPair(parts.service);
  const clientAuth = parts.material?.clientAuth ?? 'off';
  const tls: ListenTls = { certificates: [], minVersion: '1.2', clientAuth, clientCaFile: '' };
  const material = materialOf([localhost], { key: materialKey(tls), ...parts.material });
  plane.worker.setTls([material]);
  await speak(plane, { tls, ...parts.policy });
  return { endpoint, plane };
}

async function speak(plane: Plane, policy: Partial<ListenPolicy>): Promise<void> {
  plane.listener = { ...plane.listener!, policy: { ...PLAIN_LISTEN, ...policy } };
  const listeners = [plane.listener];
  await plane.worker.apply({ version: 2, upsert: [], remove: [], listeners });
}

async function dial(plane: Plane, options: ConnectionOptions = {}): Promise<Peer> {
  const known = { port: plane.port, host: '127.0.0.1', ca: authority.ca, servername: 'localhost' };
  const socket = connect({ ...known, ...options });
  const peer = new Peer(socket);
  await once(socket, 'secureConnect');
  return peer;
}

const GET = 'GET /a?b=c HTTP/1.1\r\nHost: localhost\r\n';
const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

describe('a request over TLS', () => {
  it('is told to the endpoint as one, and the connection goes on', async () => {
    const { endpoint, plane } = await serve({ service: { http: { forwarded: true } } });
    const client = await dial(plane);
    for (const _ of [1, 2]) {
      client.send(`${GET}X-Forwarded-Proto: http\r\nX-Client-Cert-Subject: CN=eve\r\n\r\n`);
      const upstream = await endpoint.accept();
      const head = await upstream.until('\r\n\r\n');
      expect(head).toContain('X-Forwarded-Proto: https\r\n');
      expect(head).not.toContain('X-Forwarded-Proto: http\r\n');
      expect(head).not.toMatch(/cert-subject/i);
      upstream.send(OK.replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n'));
      expect((await client.message()).body).toBe('ok');
      upstream.end();
    }
    expect(plane.ledger.workerTotal(WorkerColumn.tlsHandshakes)).toBe(1);
  });

  it('carries who the client is by its certificate, whatever it says itself', async () => {
    const { endpoint, plane } = await serve({
      material: { clientAuth: 'require', clientCa: authority.ca },
    });
    const client = await dial(plane, { cert: alice.cert, key: alice.key });
    client.send(`${GET}X-Client-Cert-Subject: CN=eve\r\nX_Client_Cert_Fingerprint: 00\r\n\r\n`);
    const upstream = await endpoint.accept();
    const head = await upstream.until('\r\n\r\n');
    expect(head.match(/x.client.cert.subject: (.*)\r/gi)).toEqual([
      'X-Client-Cert-Subject: CN=alice\r',
    ]);
    expect(head.match(/x.client.cert.fingerprint: \w+/gi)).toEqual([
      expect.stringMatching(/^X-Client-Cert-Fingerprint: [0-9a-f]{64}$/),
    ]);
    upstream.send(OK);
    await client.message();
  });

  it('is answered with HSTS, in place of what the endpoint says, own answers included', async () => {
    const hsts = { maxAgeSeconds: 60, includeSubdomains: true, preload: false };
    const { endpoint, plane } = await serve({ policy: { hsts } });
    const client = await dial(plane);
    client.send(`${GET}\r\n`);
    const upstream = await endpoint.accept();
    await upstream.until('\r\n\r\n');
    upstream.send(OK.replace('\r\n\r\n', '\r\nStrict-Transport-Security: max-age=0\r\n\r\n'));
    const line = 'Strict-Transport-Security: max-age=60; includeSubDomains\r';
    const { head } = await client.message();
    expect(head.match(/strict-transport.*\r/gi)).toEqual([line]);
    client.send('TRACE / HTTP/1.1\r\nHost: localhost\r\n\r\n');
    expect((await client.message()).head.match(/strict-transport.*\r/gi)).toEqual([line]);
  });

  it('that is not complete is cut, not ended, when the endpoint is lost', async () => {
    const { endpoint, plane } = await serve();
    const client = await dial(plane);
    client.send(`${GET.replace('1.1', '1.0')}\r\n`);
    const upstream = await endpoint.accept();
    await upstream.until('\r\n\r\n');
    upstream.send('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n');
    await client.until('hello');
    upstream.reset();
    expect(await client.ended()).toBe('reset');
  });
});

describe('HTTP/2', () => {
  it('is spoken where the client asks for it by ALPN, beside HTTP/1.1', async () => {
    const hsts = { maxAgeSeconds: 60, includeSubdomains: false, preload: false };
    const { endpoint, plane } = await serve({ policy: { http2: true, hsts } });
    endpoint.serve(async (peer) => {
      const head = await peer.head();
      peer.send(answer(/x-forwarded-proto: (\w+)/i.exec(head)![1]!));
    });
    const session = connectHttp2(`https://127.0.0.1:${plane.port}`, {
      ...{ ca: authority.ca, servername: 'localhost' },
    });
    const stream = session.request({ ':path': '/' });
    const [headers] = (await once(stream, 'response')) as [Record<string, string>];
    expect(headers[':status']).toBe(200);
    expect(headers['strict-transport-security']).toBe('max-age=60');
    expect(String((await once(stream, 'data'))[0])).toBe('https');
    session.close();
    const client = await dial(plane, { ALPNProtocols: ['http/1.1'] });
    client.send(`${GET}\r\n`);
    expect((await client.message()).body).toBe('https');
    expect((client.socket as TLSSocket).alpnProtocol).toBe('http/1.1');
  });
});

describe('a listener that redirects', () => {
  it.each([
    ['GET', '1.1', 'localhost', 443, '308 Permanent Redirect', 'https://localhost/a?b=c'],
    ['POST', '1.1', 'a.example:8080', 8443, '308', 'https://a.example:8443/a?b=c'],
    ['GET', '1.0', 'localhost', 443, '301', 'https://localhost/a?b=c'],
    ['GET', '1.1', '[::1]:80', 443, '308', 'https://[::1]/a?b=c'],
  ])('%s HTTP/%s for %s', async (method, version, host, port, status, location) => {
    const { plane } = await serve();
    await speak(plane, { redirectHttps: port });
    const length = method === 'POST' ? 'Content-Length: 0\r\n' : '';
    const request = `${method} /a?b=c HTTP/${version}\r\nHost: ${host}\r\n${length}\r\n`;
    const { head } = await plane.ask(request);
    expect(head).toContain(`HTTP/1.1 ${status}`);
    expect(head).toContain(`\r\nLocation: ${location}\r\n`);
  });
});

describe('a connection without TLS to a listener with TLS', () => {
  it('is told what is wrong, where it speaks HTTP', async () => {
    const { plane } = await serve();
    const { head, body } = await plane.ask(`${GET}\r\n`);
    expect(head).toMatch(/^HTTP\/1\.1 400 Bad Request\r\nX-Upriver-Reason: plain-http\r\n/);
    expect(body).toContain('HTTPS');
    await expect.poll(() => plane.ledger.workerTotal(WorkerColumn.tlsPlain)).toBe(1);
  });

  it('is closed with anything else', async () => {
    const { plane } = await serve();
    const client = await plane.client();
    client.send('\x00\x01\x02\x03\x04\x05\x06');
    await client.ended();
    await expect.poll(() => plane.ledger.workerTotal(WorkerColumn.tlsMalformed)).toBe(1);
  });
});

describe('a handshake', () => {
  it('that takes too long is cut off, and its neighbours are served', async () => {
    const { endpoint, plane } = await serve();
    await plane.relisten({ timeouts: { clientHeaderMs: 50 } });
    const slow = await plane.client();
    // The first bytes of a ClientHello.
    slow.send('\x16\x03\x01\x02\x00\x01\x00');
    expect(plane.ledger.connections(0)).toBe(1);
    const client = await dial(plane);
    client.send(`${GET}\r\n`);
    const upstream = await endpoint.accept();
    await upstream.until('\r\n\r\n');
    upstream.send(OK);
    await client.message();
    await slow.ended();
    await expect.poll(() => plane.ledger.workerTotal(WorkerColumn.tlsTimeout)).toBe(1);
  });

  it('counts for the limit of connections', async () => {
    const { plane } = await serve({ service: { limits: { connections: 2 } } });
    const [one, two, three] = await Promise.all([plane.client(), plane.client(), plane.client()]);
    expect(await Promise.race([one, two, three].map((peer) => peer!.ended()))).toBeDefined();
    await expect.poll(() => plane.ledger.connections(0)).toBe(2);
  });

  it('goes on while certificates are replaced, and the next one has the new ones', async () => {
    const { plane } = await serve();
    const other = certificateOf(['localhost'], authority.issue(['localhost', 'second']));
    const socket = connectPlain(plane.port, '127.0.0.1');
    await once(socket, 'connect');
    await expect.poll(() => plane.ledger.connections(0)).toBe(1);
    const [key] = [...plane.context.tls.keys()];
    plane.worker.setTls([materialOf([other], { key: key! })]);
    const late = connect({ socket, ca: authority.ca, servername: 'localhost' });
    await once(late, 'secureConnect');
    expect(late.getPeerCertificate().subjectaltname).toBe('DNS:localhost');
    const next = await dial(plane);
    const names = (next.socket as typeof late).getPeerCertificate().subjectaltname;
    expect(names).toBe('DNS:localhost, DNS:second');
    late.destroy();
  });
});
