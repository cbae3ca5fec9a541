// HTTP checks over TLS, and what they look at beside the status.
import { createServer, type Server } from 'node:https';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { probe } from '../../src/health/probe.ts';
import { checkTls } from '../../src/health/tls-check.ts';
import type { HealthCheck, UpstreamTls } from '../../src/model/service.ts';
import { Authority } from '../support/certificates.ts';
import { makeCheck } from '../support/check.ts';
import { readHeadersFor } from '../support/header-reader.ts';
import { freePorts } from '../support/ports.ts';

const authority = new Authority();
afterAll(() => authority.remove());
const own = authority.issue(['api.internal']);
const TLS: UpstreamTls = {
  ...{ caFile: authority.caFile, certFile: '', keyFile: '', serverName: '', verify: true },
};

let server: Server;
afterEach(() => server.close());

async function serve(): Promise<number> {
  server = createServer({ cert: own.cert, key: own.key }, (request, response) => {
    response.end(`state: ready ${request.headers.host} ${request.headers['x-probe'] ?? ''}`);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as { port: number }).port;
}

const run = async (parts: Partial<HealthCheck>, hostName?: string) => {
  const target = { address: '127.0.0.1', port: await serve() };
  const named = hostName === undefined ? target : { ...target, hostName };
  const check = makeCheck({ timeoutMs: 5000, tls: TLS, ...parts });
  return probe(check, named, new AbortController().signal);
};

describe('a check over TLS', () => {
  it('is good for an endpoint with the name that was registered, or that is set', async () => {
    expect(await run({}, 'api.internal')).toMatchObject({ isGood: true });
    expect(await run({ tls: { ...TLS, serverName: 'api.internal' } })).toMatchObject({
      isGood: true,
    });
  });

  it('is bad for another name, or another CA, and says so', async () => {
    expect(await run({}, 'other.internal')).toMatchObject({
      ...{ isGood: false, text: expect.stringMatching(/ALTNAME|certificate/i) },
    });
    const untrusted = await run({ tls: { ...TLS, caFile: '' } }, 'api.internal');
    expect(untrusted.isGood).toBe(false);
    const any = { ...TLS, caFile: '', verify: false };
    expect(await run({ tls: any }, 'api.internal')).toMatchObject({ isGood: true });
  });

  it('sends fields, and looks into the body', async () => {
    const bytes = (text: string) => ({ kind: 'bytes', bytes: text }) as const;
    const headers = { 'x-probe': 'yes' };
    expect(await run({ headers, expect: bytes('yes') }, 'api.internal')).toMatchObject({
      isGood: true,
    });
    expect(await run({ expect: bytes('yes') }, 'api.internal')).toEqual({
      ...{ isGood: false, text: 'GET /health answered 200, without "yes"' },
    });
    const pattern = { kind: 'pattern', source: 'state: (ready|ok)', ignoreCase: false } as const;
    expect(await run({ expect: pattern }, 'api.internal')).toMatchObject({ isGood: true });
  });
});

describe('a check over TLS of an endpoint that expects PROXY headers', () => {
  const named = { ...TLS, serverName: 'api.internal' };

  it.each(['v1', 'v2'] as const)(
    'says before the handshake that it is ours: %s',
    async (sendProxy) => {
      const reader = await readHeadersFor(await serve());
      const target = { address: '127.0.0.1', port: reader.port };
      const { signal } = new AbortController();
      const ask = (tls: UpstreamTls) =>
        probe(makeCheck({ timeoutMs: 5000, tls, sendProxy }), target, signal);
      expect(await ask(named)).toMatchObject({ isGood: true });
      // The name of the certificate is looked at as ever.
      expect(await ask(TLS)).toMatchObject({
        isGood: false,
        text: expect.stringMatching(/ALTNAME|match/i),
      });
      const tlsAlone = makeCheck({ type: 'tls', timeoutMs: 5000, sendProxy });
      expect(await checkTls(tlsAlone, target, signal)).toMatchObject({ isGood: true });
      expect(reader.headers).toHaveLength(3);
      for (const header of reader.headers)
        expect(header).toMatchObject({ kind: 'whole', peer: null });
      reader.close();
    },
  );

  it('is bad where nothing listens', async () => {
    const [port = 0] = await freePorts(1);
    await serve();
    const check = makeCheck({ timeoutMs: 5000, tls: named, sendProxy: 'v2' });
    const { signal } = new AbortController();
    expect(await probe(check, { address: '127.0.0.1', port }, signal)).toMatchObject({
      ...{ isGood: false, text: expect.stringContaining('refused') },
    });
  });
});
