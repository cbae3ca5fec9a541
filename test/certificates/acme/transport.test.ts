// A certificate authority that answers and never ends its answer.
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, it } from 'vitest';
import { systemClock } from '../../../src/base/clock.ts';
import { Transport } from '../../../src/certificates/acme/transport.ts';
import { BOUNDS } from '../../../src/model/bounds.ts';

let server: Server;
afterEach(() => {
  server.closeAllConnections();
  server.close();
});

it('has as long as the bound says until its answer is whole', async () => {
  const drops = new Set<NodeJS.Timeout>();
  server = createServer((_, response) => {
    response.writeHead(200, { 'content-type': 'application/json' });
    drops.add(setInterval(() => response.write(' '), 1000));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/directory`;
  const place = { directory: url, caFile: '' };
  const transport = new Transport(place, systemClock, new AbortController().signal);
  const beganMs = performance.now();
  await expect(transport.exchange({ url, method: 'GET', headers: {}, body: null })).rejects.toThrow(
    'no answer within 30 s',
  );
  expect(performance.now() - beganMs).toBeGreaterThan(BOUNDS.acmeExchange.max - 100);
  for (const one of drops) clearInterval(one);
  await transport.close();
}, 60_000);
