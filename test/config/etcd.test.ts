// What configuration makes of etcd: the environment of docker-discover, addresses, and users.
import { describe, expect, it } from 'vitest';
import { problemsOf, settingsOf } from '../support/config.ts';

type Given = Parameters<typeof settingsOf>[0];

const etcdOf = (given: Given) => settingsOf(given).registries.etcd;

const EVERY_PORT = [{ kind: 'tcp', network: '', from: 1, to: 65_535 }];

describe('ETCD_HOST', () => {
  it.each([
    ['10.0.0.5', 'http://10.0.0.5:4001'],
    ['etcd.example', 'http://etcd.example:4001'],
    ['10.0.0.5:2379', 'http://10.0.0.5:2379'],
    ['fd00::5', 'http://[fd00::5]:4001'],
    ['[fd00::5]', 'http://[fd00::5]:4001'],
    ['[fd00::5]:2379', 'http://[fd00::5]:2379'],
    ['https://etcd.example:2379', 'https://etcd.example:2379'],
  ])('%s is the member %s', (host, address) => {
    expect(etcdOf({ env: { ETCD_HOST: host } })?.addresses).toEqual([address]);
  });

  it('follows docker-register, by whichever API, on every port', () => {
    const etcd = etcdOf({ env: { ETCD_HOST: 'a' } });
    expect(etcd).toMatchObject({ api: 'auto', prefix: '/backends', layout: 'backends' });
    expect(etcd?.selfDescribed).toBe(true);
    expect(etcd?.listenAllow).toEqual(EVERY_PORT);
  });

  it('leaves ports to what the configuration says of them', () => {
    const file = 'registries: { etcd: { listen_allow: ["8000-8999"], address: "b:1" } }';
    const etcd = etcdOf({ env: { ETCD_HOST: 'a:4001' }, file });
    expect(etcd?.listenAllow).toEqual([{ kind: 'tcp', network: '', from: 8000, to: 8999 }]);
    expect(etcd?.addresses).toEqual(['http://a:4001']);
    expect(etcdOf({ file })?.addresses).toEqual(['http://b:1']);
  });

  it('follows no etcd where it is empty', () => {
    expect(settingsOf({ env: { ETCD_HOST: '' } }).registries.etcd).toBeUndefined();
  });
});

describe('etcd', () => {
  it('has a list of members by flags and by ETCD_ENDPOINTS', () => {
    const addresses = ['http://a:2379', 'https://b:2379'];
    expect(etcdOf({ flags: { etcd: ['a:2379', 'https://b:2379'] } })?.addresses).toEqual(addresses);
    const env = { ETCD_ENDPOINTS: 'a:2379,https://b:2379' };
    expect(etcdOf({ env })?.addresses).toEqual(addresses);
  });

  it('allows no port below 1024 but 80 and 443 unless told', () => {
    const rules = etcdOf({ flags: { etcd: ['a:1'] } })?.listenAllow;
    expect(rules?.map((rule) => rule.kind === 'tcp' && [rule.from, rule.to])).toEqual([
      [80, 80],
      [443, 443],
      [1024, 65_535],
    ]);
  });

  it('is not followed for a user or a certificate alone', () => {
    const env = { ETCD_USERNAME: 'u', ETCD_PASSWORD: 'p', ETCD_CACERT: '/ca.pem' };
    expect(settingsOf({ env }).registries.etcd).toBeUndefined();
    const etcd = etcdOf({ env: { ...env, ETCD_ENDPOINTS: 'a:2379' } });
    expect(etcd).toMatchObject({ username: 'u', password: 'p', addresses: ['https://a:2379'] });
  });

  it('takes the user of an address, and does not show it', () => {
    const etcd = etcdOf({ flags: { etcd: ['http://me:s%3Acret@a:2379'] } });
    expect(etcd).toMatchObject({
      username: 'me',
      password: 's:cret',
      addresses: ['http://a:2379'],
    });
  });

  it('has a prefix without the slash at its end', () => {
    const file = (prefix: string) => `registries: { etcd: { prefix: ${JSON.stringify(prefix)} } }`;
    expect(etcdOf({ file: file('/services/') })?.prefix).toBe('/services');
    expect(etcdOf({ file: file('/') })?.prefix).toBe('');
    expect(problemsOf({ file: file('/a/../b') })[0]).toContain('without segments . and ..');
  });

  it('is not the only one with keys: Consul has them by from.kv', () => {
    const file = (from: string) => `services: { web: { listen: 80, from: { ${from} } } }`;
    const [service] = settingsOf({ file: file('kv: services/') }).services;
    expect(service?.from[0]?.source).toMatchObject({ registry: 'consul', kv: 'services/' });
    expect(problemsOf({ file: file('kv: services, tag: v1') })).toEqual([
      expect.stringContaining('a service of from.kv has no tag: take it out'),
    ]);
    expect(problemsOf({ file: file('kv: a/../b') })[0]).toContain('without segments . and ..');
    // Whoever may write the overlay need not be allowed to see other keys.
    const refused = expect.stringContaining('must not be set by the overlay');
    expect(problemsOf({ kv: file('kv: services') })).toEqual([refused]);
    const list = 'services: { web: { listen: 80, from: [{ service: a }, { kv: b }] } }';
    expect(problemsOf({ kv: list })).toEqual([refused]);
  });

  it('has no part in prepared queries: those say themselves what they ask for', () => {
    const file = (from: string) => `services: { web: { listen: 80, from: { ${from} } } }`;
    const { services, registries } = settingsOf({
      file: file('query: near-web, datacenter: dc2, accept: [passing]'),
    });
    expect(services[0]?.from[0]?.source).toMatchObject({ query: 'near-web', datacenter: 'dc2' });
    expect(registries.consul?.queryIntervalMs).toBe(5000);
    for (const [key, value] of [
      ['tag', 'v1'],
      ['kv', 'a'],
      ['filter', 'x'],
      ['peer', 'b'],
    ]) {
      expect(problemsOf({ file: file(`query: q, ${key}: ${value}`) })).toEqual([
        expect.stringContaining(`a service of from.query has no ${key}: take it out`),
      ]);
    }
    for (const bad of ['../kv', 'a//b', '/a']) {
      expect(problemsOf({ file: file(`query: ${bad}`) })[0]).toContain('prepared query');
    }
    // A query may have been made with a token that sees more than whoever writes the overlay.
    expect(problemsOf({ kv: file('query: q') })).toEqual([
      expect.stringContaining('must not be set by the overlay'),
    ]);
    const often = 'registries: { consul: { query_interval: 10ms } }';
    expect(problemsOf({ file: often })[0]).toContain('query_interval');
  });

  it('gives a service its endpoints by from, and no key of Consul there', () => {
    const file = (from: string) =>
      `registries: { etcd: {} }\nservices: { web: { listen: 80, from: { registry: etcd${from} } } }`;
    const [service] = settingsOf({ file: file(', service: a/b') }).services;
    expect(service?.from[0]?.source).toMatchObject({ registry: 'etcd', service: 'a/b' });
    expect(problemsOf({ file: file(', tag: v1') })[0]).toContain('registry etcd has no tag');
  });
});
