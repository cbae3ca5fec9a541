// What containers call themselves, in the registries that are written to: every name that a label can hold,
// through the rules for containers into the real clients. Nothing leads out of the prefix, and a check asks
// the container itself.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, it } from 'vitest';
import { servicesOf } from '../../src/containers/container-services.ts';
import { EtcdClient } from '../../src/discovery/etcd/client.ts';
import { HttpPools } from '../../src/reach/http-pools.ts';
import { ConsulApi } from '../../src/registrar/consul-api.ts';
import { ConsulKvRegistry } from '../../src/registrar/consul-kv.ts';
import { consulRegistration } from '../../src/registrar/consul-registration.ts';
import { ConsulRegistry } from '../../src/registrar/consul-registry.ts';
import { EtcdRegistry } from '../../src/registrar/etcd-registry.ts';
import type { Registration, Registry } from '../../src/registrar/registry.ts';
import { ManualClock } from '../support/clock.ts';
import { container, rules } from '../support/containers.ts';
import { etcdSettings, keepingLogger } from '../support/discovery.ts';
import { HOSTILE_NAMES } from '../support/hostile-names.ts';

const NAMES = [
  ...Object.values(HOSTILE_NAMES),
  ...[
    '..',
    '.',
    '../victim',
    '../../etc/secret',
    'a/../../b',
    'a//b',
    '/a',
    'a/',
    'port',
    '%2e%2e',
  ],
  ...['?recursive=true', '#x', '%2F..%2F', 'a/b', 'upriver.listen', ' '],
];
const TLS = { caFile: '', certFile: '', keyFile: '', serverName: '', verify: true };

const endings: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of endings.splice(0).reverse()) await end();
});

interface Asked {
  readonly method: string;
  readonly path: string;
  readonly body: string;
}

/** Answers everything, and notes what was asked as it stood on the wire. */
async function notes(): Promise<{ readonly url: string; readonly asked: Asked[] }> {
  const asked: Asked[] = [];
  const server = createServer((request, response) => {
    let body = '';
    request.on('data', (piece) => {
      body += String(piece);
    });
    request.on('end', () => {
      asked.push({ method: request.method!, path: request.url!, body });
      response.end('{}');
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  endings.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked };
}

type Make = (url: string) => Registry;

const consulApi = (url: string): ConsulApi => {
  const pools = new HttpPools(TLS);
  endings.push(() => pools.close());
  return new ConsulApi({
    ...{ address: url, httpAuth: '', namespace: '', token: () => '' },
    channel: () => pools.to(url),
    close: () => Promise.resolve(),
    setTimer: () => ({ cancel: () => {} }),
  });
};
const etcd =
  (api: 'v2' | 'v3'): Make =>
  (url) => {
    const clock = new ManualClock();
    const settings = etcdSettings(url, { api });
    const open = (tls: typeof TLS) => new HttpPools(tls);
    const client = new EtcdClient({ settings, clock, open, password: () => '' });
    endings.push(() => client.close());
    const layout = 'registrator' as const;
    return new EtcdRegistry({ client, api, layout, prefix: '/backends', ttlMs: 0 });
  };
const makers: Readonly<Record<string, Make>> = {
  consul: (url) => new ConsulRegistry(consulApi(url), keepingLogger().log),
  consulkv: (url) => new ConsulKvRegistry(consulApi(url), 'backends'),
  'etcd v2': etcd('v2'),
  'etcd v3': etcd('v3'),
};
/** Where what is asked for must be, once whoever answers has decoded and folded the path. */
const WITHIN: Readonly<Record<string, RegExp>> = {
  consul: /^\/v1\/agent\/(service\/(register|deregister\/.)|health\/service\/id\/.)/,
  consulkv: /^\/v1\/kv\/backends\/./,
  'etcd v2': /^\/v2\/keys\/backends\/./,
  'etcd v3': /^\/backends\/./,
};

function services(name: string): readonly Registration[] {
  const spec = { name: 'c', image: 'web', published: { '80/tcp': '8000' } };
  const named = [
    { SERVICE_NAME: name },
    { SERVICE_ID: name },
    { SERVICE_NAME: name, SERVICE_ID: name },
  ];
  return named.flatMap((labels) => servicesOf(container({ ...spec, labels }), rules()));
}

/** The path, or the key of v3, as the store reads it. */
function placesOf({ path, body }: Asked, name: string): string[] {
  if (name === 'etcd v3') {
    const { key } = JSON.parse(body) as { key: string };
    return [Buffer.from(key, 'base64').toString()];
  }
  const decoded = decodeURIComponent(path.split('?')[0]!);
  return [decoded, folded(decoded)];
}

/** As Go's path.Clean does. */
function folded(path: string): string {
  const kept: string[] = [];
  for (const part of path.split('/')) {
    if (part === '..') kept.pop();
    else if (part !== '' && part !== '.') kept.push(part);
  }
  return `/${kept.join('/')}`;
}

it.each(Object.keys(makers))('%s: no name leads elsewhere', async (kind) => {
  const { url, asked } = await notes();
  const registry = makers[kind]!(url);
  const { signal } = new AbortController();
  let fit = 0;
  for (const name of NAMES) {
    for (const service of services(name)) {
      if (registry.unfit(service) !== '') continue;
      fit += 1;
      asked.length = 0;
      await registry.register(service, signal);
      await registry.deregister(service, signal);
      expect(asked.length).toBeGreaterThan(1);
      for (const one of asked) {
        for (const place of placesOf(one, kind)) {
          expect(place).toMatch(WITHIN[kind]!);
          // Consul escapes what it stores; folding changes nothing of a key.
          if (kind !== 'consul') expect(folded(place)).toBe(place);
        }
      }
    }
  }
  expect(fit).toBeGreaterThan(20);
});

it.each(Object.entries(makers))('%s takes neither ., .. nor what is too long', async (_, make) => {
  const registry = make('http://127.0.0.1:1');
  // Bounds: registeredName
  for (const name of ['.', '..', 'x'.repeat(513), 'a\nb', 'a\0b', '\x1b[2J']) {
    for (const service of services(name)) expect(registry.unfit(service), name).not.toBe('');
  }
  for (const name of ['web', 'größe', 'a.b_c-d', 'host:web:80']) {
    for (const service of services(name)) expect(registry.unfit(service), name).toBe('');
  }
});

it('no address of a label is anything else', () => {
  const spec = { name: 'c', image: 'web', published: { '80/tcp': '8000' } };
  const registry = makers.consul!('http://127.0.0.1:1');
  const withIp = (ip: string) =>
    servicesOf(container({ ...spec, labels: { ip } }), { ...rules(), ipLabel: 'ip' });
  for (const ip of ['evil@10.0.0.1', '10.0.0.1:80/x?', 'a b', '10.0.0.1\r\nX: y']) {
    for (const service of withIp(ip)) expect(registry.unfit(service), ip).toContain('address');
  }
  for (const service of withIp('10.0.0.1/24')) expect(registry.unfit(service)).toBe('');
});

it.each(['CHECK_HTTP', 'CHECK_HTTPS'])('SERVICE_%s asks the container itself', (key) => {
  const env = (path: string) => [`SERVICE_${key}=${path}`];
  const spec = { name: 'c', image: 'web', published: { '80/tcp': '8000' } };
  const checkOf = (path: string) => {
    const [service] = servicesOf(container({ ...spec, env: env(path) }), rules());
    return consulRegistration(service!).Check?.HTTP;
  };
  for (const path of ['@evil.example/', '.evil.example/', '0/x', 'x', '/a b', '/\r\nHost: x']) {
    expect(checkOf(path), path).toBeUndefined();
  }
  expect(URL.parse(checkOf('//evil.example/') ?? '')?.hostname).toBe('192.168.1.102');
  expect(checkOf('/health?x=@y')).toMatch(/^https?:\/\/192\.168\.1\.102:8000\/health\?x=@y$/);
});
