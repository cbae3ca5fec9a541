// Connections to registries over TLS.
import { once } from 'node:events';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { afterAll, expect, it } from 'vitest';
import { HttpPools } from '../../src/reach/http-pools.ts';
import { Authority } from '../support/certificates.ts';

const authority = new Authority();
afterAll(() => authority.remove());

it('shows and judges a certificate on each connection: no session is resumed', async () => {
  const resumed: boolean[] = [];
  const { cert, key } = authority.issue(['127.0.0.1']);
  const server = createServer({ cert, key }, (request, response) => {
    resumed.push((request.socket as TLSSocket).isSessionReused());
    response.setHeader('connection', 'close');
    response.end('ok');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const tls = { caFile: authority.caFile, certFile: '', keyFile: '', serverName: '', verify: true };
  const pools = new HttpPools(tls);
  for (let i = 0; i < 2; i += 1) {
    const asked = { path: '/', headers: {}, signal: AbortSignal.timeout(5000) };
    const { body } = await (await pools.to(`https://127.0.0.1:${port}`)).get(asked);
    for await (const piece of body) expect(String(piece)).toBe('ok');
  }
  await pools.close();
  server.close();
  expect(resumed).toEqual([false, false]);
});
