// Challenges of ACME as listeners answer them: for outstanding tokens and names alone, before anything
// that a route, a redirect or a certificate says, while everyone else is served as before.
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { connect as connectHttp2 } from 'node:http2';
import { connect as connectPlain } from 'node:net';
import { connect, type TLSSocket } from 'node:tls';
import { crypto } from 'acme-client';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { type ListenPolicy, type ListenTls, PLAIN_LISTEN } from '../../../src/model/listener.ts';
import { materialKey } from '../../../src/model/tls.ts';
import { validateHttp, validateTls } from '../../support/acme-validation.ts';
import { Authority, certificateOf, materialOf } from '../../support/certificates.ts';
import { answer, closePlanes, openPair, type Plane, type Policy } from '../../support/plane.ts';

const authority = new Authority();
afterAll(() => authority.remove());
const localhost = certificateOf(['localhost'], authority.issue(['localhost']));
afterEach(closePlanes);

const TLS: ListenTls = {
  ...{ certificates: [], minVersion: '1.2', clientAuth: 'off', clientCaFile: '' },
};
const DOMAIN = 'a.example';
const TOKEN = 'LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0';
const EXPECTED = `${TOKEN}.9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI`;
const HTTP = { type: 'http-01', domain: DOMAIN, token: TOKEN, answer: EXPECTED } as const;

/** A listener with one endpoint behind it, which answers everything with its own text. */
async function serve(policy: Partial<ListenPolicy>, service: Policy = {}): Promise<Plane> {
  const { endpoint, plane } = await openPair(service);
  endpoint.serve(async (peer) => {
    for (;;) {
      await peer.until('\r\n\r\n');
      peer.send(answer('routed'));
    }
  });
  plane.worker.setTls([materialOf([localhost], { key: materialKey(TLS) })]);
  plane.listener = { ...plane.listener!, policy: { ...PLAIN_LISTEN, ...policy } };
  const listeners = [plane.listener];
  await plane.worker.apply({ version: 2, upsert: [], remove: [], listeners });
  return plane;
}

const asked = (plane: Plane, parts = {}) => ({
  ...{ domain: DOMAIN, token: TOKEN, expected: EXPECTED, port: plane.port },
  ...parts,
});
const get = (host: string, path: string, method = 'GET') =>
  `${method} ${path} HTTP/1.1\r\nHost: ${host}\r\n\r\n`;
const PATH = `/.well-known/acme-challenge/${TOKEN}`;

describe('HTTP-01', () => {
  it('is answered for the outstanding token and its name alone', async () => {
    const plane = await serve({});
    expect(await validateHttp(asked(plane))).not.toBe('');
    plane.context.challenges.set({ domains: [DOMAIN], challenges: [HTTP] });
    expect(await validateHttp(asked(plane))).toBe('');
    expect((await plane.ask(get(`${DOMAIN.toUpperCase()}:80`, PATH))).body).toBe(EXPECTED);
    // Another name, another path, another method: that is the service's.
    expect((await plane.ask(get('b.example', PATH))).body).toBe('routed');
    expect((await plane.ask(get(`${DOMAIN}.`, '/.well-known/other'))).body).toBe('routed');
    expect((await plane.ask(get(DOMAIN, PATH, 'POST'))).body).toBe('routed');
    plane.context.challenges.set({ domains: [], challenges: [] });
    expect((await plane.ask(get(DOMAIN, PATH))).body).toBe('routed');
    await plane.quiet();
  });

  it('is answered by nobody else for a name that is ours', async () => {
    const plane = await serve({});
    plane.context.challenges.set({ domains: [DOMAIN], challenges: [HTTP] });
    for (const path of [
      `${PATH}x`,
      PATH.toLowerCase(),
      `${PATH}/`,
      '/.well-known/acme-challenge/',
    ]) {
      const { head, body } = await plane.ask(get(DOMAIN, path));
      expect(head).toMatch(/^HTTP\/1.1 404/);
      expect(body).not.toContain(EXPECTED);
    }
    const absolute = `GET http://${DOMAIN}${PATH}x HTTP/1.1\r\nHost: b.example\r\n\r\n`;
    expect((await plane.ask(absolute)).head).toMatch(/^HTTP\/1.1 404/);
    expect((await plane.ask(get('b.example', `${PATH}x`))).body).toBe('routed');
  });

  it('is answered before a redirect to https', async () => {
    const plane = await serve({ redirectHttps: 443 });
    plane.context.challenges.set({ domains: [DOMAIN], challenges: [HTTP] });
    expect(await validateHttp(asked(plane))).toBe('');
    expect((await plane.ask(get(DOMAIN, '/'))).head).toContain(`Location: https://${DOMAIN}/`);
  });

  it('keeps the connection, and is there where no endpoint is', async () => {
    const plane = await serve({});
    plane.context.challenges.set({ domains: [DOMAIN], challenges: [HTTP] });
    const client = await plane.client();
    for (const path of [PATH, '/other', PATH]) {
      client.send(get(DOMAIN, path));
      expect((await client.message()).body).toBe(path === PATH ? EXPECTED : 'routed');
    }
    client.send(`HEAD ${PATH} HTTP/1.1\r\nHost: ${DOMAIN}\r\nConnection: close\r\n\r\n`);
    expect(await client.until('\r\n\r\n')).toContain(`Content-Length: ${EXPECTED.length}`);
    expect(plane.access.filter(({ endpoint }) => endpoint === '')).toHaveLength(0);
  });

  it('is answered in HTTP/2 as well', async () => {
    const plane = await serve({ http2: true });
    plane.context.challenges.set({ domains: [DOMAIN], challenges: [HTTP] });
    const session = connectHttp2(`http://127.0.0.1:${plane.port}`);
    const stream = session.request({ ':path': PATH, ':authority': DOMAIN });
    let text = '';
    for await (const piece of stream) text += piece;
    expect(text).toBe(EXPECTED);
    session.close();
    await once(session, 'close');
  });
});

/** The challenge as listeners get it. */
async function tlsChallenge() {
  const rsaKey = await crypto.createPrivateRsaKey();
  const identified = { identifier: { type: 'dns', value: DOMAIN } } as Parameters<
    typeof crypto.createAlpnCertificate
  >[0];
  const [key, chain] = await crypto.createAlpnCertificate(identified, EXPECTED, rsaKey);
  const [text, privateKey] = [chain.toString(), key.toString()];
  return { type: 'tls-alpn-01' as const, domain: DOMAIN, chain: text, privateKey };
}

async function handshake(plane: Plane, servername: string, ALPNProtocols: string[]) {
  const known = { port: plane.port, host: '127.0.0.1', rejectUnauthorized: false };
  const socket: TLSSocket = connect({ ...known, servername, ALPNProtocols });
  await Promise.race([once(socket, 'secureConnect'), once(socket, 'error')]).catch(() => {});
  return socket;
}

describe('TLS-ALPN-01', () => {
  it.each(['TLSv1.2', 'TLSv1.3'] as const)('is answered by %s', async (version) => {
    const plane = await serve({ tls: TLS });
    expect(await validateTls(asked(plane), version)).not.toBe('');
    plane.context.challenges.set({ domains: [DOMAIN], challenges: [await tlsChallenge()] });
    expect(await validateTls(asked(plane), version)).toBe('');
    // For this name alone, and only what the CA wants to see.
    const other = await validateTls(asked(plane, { domain: 'localhost' }), version);
    expect(other).not.toBe('');
    expect(await validateTls(asked(plane, { expected: 'x.y' }), version)).toContain('is wrong');
    plane.context.challenges.set({ domains: [], challenges: [] });
    expect(await validateTls(asked(plane), version)).not.toBe('');
    await plane.quiet();
  });

  it('closes after the handshake: nothing is ever said over it', async () => {
    const plane = await serve({ tls: TLS });
    plane.context.challenges.set({ domains: [DOMAIN], challenges: [await tlsChallenge()] });
    const socket = await handshake(plane, DOMAIN, ['acme-tls/1']);
    expect(socket.alpnProtocol).toBe('acme-tls/1');
    socket.on('error', () => {});
    socket.write(get(DOMAIN, '/'));
    let got = '';
    socket.on('data', (piece) => {
      got += piece;
    });
    await once(socket, 'close');
    expect(got).toBe('');
  });

  it('is answered where there is no certificate yet, and nobody else is', async () => {
    const plane = await serve({ tls: TLS });
    plane.worker.setTls([]);
    plane.context.challenges.set({ domains: [DOMAIN], challenges: [await tlsChallenge()] });
    expect(await validateTls(asked(plane), 'TLSv1.3')).toBe('');
    const socket = await handshake(plane, DOMAIN, ['http/1.1']);
    expect(socket.authorized || socket.getProtocol() !== null).toBe(false);
  });

  it('leaves everyone else what they had: certificate, protocol, session, request', async () => {
    const plane = await serve({ tls: TLS, http2: true });
    plane.context.challenges.set({ domains: [DOMAIN], challenges: [await tlsChallenge()] });
    for (const name of ['localhost', DOMAIN]) {
      for (const protocols of [['http/1.1'], ['h2', 'http/1.1'], ['acme-tls/1', 'http/1.1'], []]) {
        const socket = await handshake(plane, name, protocols);
        const digest = createHash('sha256').update(socket.getPeerX509Certificate()!.raw);
        expect(digest.digest('hex')).toBe(fingerprint);
        const wanted = protocols.includes('h2') ? 'h2' : protocols.length > 0 && 'http/1.1';
        expect(socket.alpnProtocol).toBe(wanted);
        socket.destroy();
      }
    }
    const socket = await handshake(plane, 'localhost', ['http/1.1']);
    socket.write(get('localhost', '/'));
    const [bytes] = await once(socket, 'data');
    expect(String(bytes)).toContain('HTTP/1.1 200');
    socket.destroy();
    await plane.quiet();
  });

  it('reads a ClientHello in pieces, and tells who speaks plainly', async () => {
    const plane = await serve({ tls: TLS });
    plane.context.challenges.set({ domains: [DOMAIN], challenges: [await tlsChallenge()] });
    const plain = await plane.client();
    plain.send(get('localhost', '/'));
    expect((await plain.message()).head).toContain('X-Upriver-Reason: plain-http');
    expect(await slowHandshake(plane)).toBe('acme-tls/1');
  });

  it('bounds how long a ClientHello may take', async () => {
    const plane = await serve({ tls: TLS }, { timeouts: { clientHeaderMs: 100 } });
    plane.context.challenges.set({ domains: [DOMAIN], challenges: [await tlsChallenge()] });
    const client = await plane.client();
    client.send('\u0016');
    expect(await client.ended()).toBeTruthy();
    expect(await validateTls(asked(plane), 'TLSv1.3')).toBe('');
  });
});

const fingerprint = createHash('sha256')
  .update(Buffer.from(localhost.chain.replace(/-----[^-]+-----|\s/g, ''), 'base64'))
  .digest('hex');

/** A handshake whose bytes come one by one; the protocol that was agreed to. */
async function slowHandshake(plane: Plane): Promise<string> {
  const raw = connectPlain(plane.port, '127.0.0.1');
  await once(raw, 'connect');
  const { Duplex } = await import('node:stream');
  const slow = new Duplex({
    read() {},
    write(bytes: Buffer, _encoding, done) {
      void (async () => {
        for (const byte of bytes) {
          raw.write(Buffer.of(byte));
          await new Promise((resolve) => setImmediate(resolve));
        }
        done();
      })();
    },
  });
  raw.on('data', (bytes) => slow.push(bytes));
  raw.on('error', () => {});
  const socket = connect({
    ...{ socket: slow, servername: DOMAIN, ALPNProtocols: ['acme-tls/1'] },
    rejectUnauthorized: false,
  });
  socket.on('error', () => {});
  await once(socket, 'secureConnect');
  const { alpnProtocol } = socket;
  raw.destroy();
  return String(alpnProtocol);
}
