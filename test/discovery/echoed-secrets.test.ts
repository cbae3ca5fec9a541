// A registry, or a proxy in front of it, that gives back what it was sent in its errors: no secret of ours
// is in what is said of it. /readyz says it to every client.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { ConsulClient } from '../../src/discovery/consul/client.ts';
import { EtcdClient } from '../../src/discovery/etcd/client.ts';
import { HttpPools } from '../../src/reach/http-pools.ts';
import { ConsulApi } from '../../src/registrar/consul-api.ts';
import { consulSettings, etcdSettings } from '../support/discovery.ts';

const endings: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of endings.splice(0).reverse()) await end();
});

const PASSWORD = 's3cr3t "pass" & word';
const TOKEN = 's3cr3t-token';
const BASIC = Buffer.from(`user:${PASSWORD}`).toString('base64');
/** Pieces by which a secret would be known, whole or cut. */
const MARKS = ['s3cr3t', '& word', '%20word', BASIC.slice(0, 10), BASIC.slice(-10)];

type Body = (said: string) => string;

/** Answers each request with what was in it; resolves with its URL and what it got. */
async function echo(status: number, body: Body) {
  let heard = '';
  const server = createServer((request, response) => {
    const pieces: Buffer[] = [];
    request.on('data', (piece: Buffer) => pieces.push(piece));
    request.on('end', () => {
      const { 'x-consul-token': token, authorization } = request.headers;
      const said = [token, authorization, Buffer.concat(pieces)].join(' ');
      heard += said;
      response.writeHead(status).end(body(said));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  endings.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, heard: () => heard };
}

const BODIES: Readonly<Record<string, readonly [number, Body]>> = {
  'plain text': [403, (said) => `refused ${said}`],
  'text that is cut': [403, (said) => `${'x'.repeat(180)} ${said}`],
  'a page': [200, (said) => `<p>${said}`],
  'an error of etcd': [400, (said) => JSON.stringify({ error: said, message: said, cause: said })],
};

const asking = () => ({ deadlineMs: 10_000, signal: new AbortController().signal });
const open = (tls: ConstructorParameters<typeof HttpPools>[0]) => new HttpPools(tls);

/** How each client asks; what comes out is the error. */
const CLIENTS: Readonly<Record<string, (url: string) => Promise<unknown>>> = {
  consul: (url) => {
    const settings = { ...consulSettings(url), token: TOKEN, httpAuth: `user:${PASSWORD}` };
    const client = new ConsulClient(settings, systemClock, open);
    endings.push(() => client.close());
    return client.get({ path: '/v1/health/service/web', ...asking() });
  },
  'consul, to register': (url) => {
    const pools = new HttpPools(consulSettings(url).tls);
    endings.push(() => pools.close());
    const access = { httpAuth: `user:${PASSWORD}`, namespace: '', token: () => TOKEN };
    const api = new ConsulApi({
      ...{ ...access, address: url, channel: () => pools.to(url) },
      close: () => Promise.resolve(),
      setTimer: (ms: number, run: () => void) => systemClock.setTimer(ms, run),
    });
    return api.json('/v1/status/leader', new AbortController().signal);
  },
  'etcd v2': (url) => etcd(url).get('/v2/keys/backends', { ...asking(), address: url }),
  'etcd v3': (url) => etcd(url).post('/v3/kv/range', {}, { ...asking(), address: url }),
};

function etcd(url: string): EtcdClient {
  const settings = { ...etcdSettings(url), username: 'user' };
  const client = new EtcdClient({ settings, clock: systemClock, open, password: () => PASSWORD });
  endings.push(() => client.close());
  return client;
}

describe.each(Object.entries(CLIENTS))('%s', (_, ask) => {
  it.each(Object.entries(BODIES))('that is answered by %s', async (_name, [status, body]) => {
    const { url, heard } = await echo(status, body);
    const error = await ask(url).then(
      () => null,
      (reason: unknown) => reason,
    );
    expect(heard()).toMatch(/s3cr3t|dXNlc/);
    expect(error).toBeInstanceOf(Error);
    const { message } = error as Error;
    for (const mark of MARKS) expect(message).not.toContain(mark);
  });
});
