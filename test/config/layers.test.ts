// Where settings come from, and which of them wins.
import { describe, expect, it } from 'vitest';
import { load, problemsOf, serviceOf, settingsOf } from '../support/config.ts';

describe('the layers', () => {
  it('are: flag over environment over overlay over file over default', () => {
    const file = 'workers: 2\nservices: { web: { listen: 82 } }';
    const kv = 'services: { web: { listen: 8083 } }';
    const env = { UPRIVER_WORKERS: '4' };
    const flags = { workers: '5', service: ['web=85'] };
    const portOf = (given: Parameters<typeof serviceOf>[0]) => serviceOf(given).listen[0]!.address;
    expect(settingsOf({ file }).workers).toBe(2);
    expect(portOf({ file })).toMatchObject({ port: 82 });
    expect(portOf({ file, kv })).toMatchObject({ port: 8083 });
    expect(portOf({ file, kv, flags })).toMatchObject({ port: 85 });
    expect(settingsOf({ file, env }).workers).toBe(4);
    expect(settingsOf({ file, env, flags }).workers).toBe(5);
    expect(settingsOf({}).workers).toBeGreaterThan(0);
  });

  it('are laid over each other key by key; lists are replaced', () => {
    const file = 'services: { web: { listen: [80, 81], balance: p2c, health: { path: /a } } }';
    const kv = 'services: { web: { listen: 8082, health: { interval: 7s } } }';
    const web = serviceOf({ file, kv });
    expect(web.listen).toMatchObject([{ address: { kind: 'tcp', host: '', port: 8082 } }]);
    expect(web.balance.policy).toBe('p2c');
    expect(web.health).toMatchObject({ path: '/a', intervalMs: 7000 });
  });

  it('that say nothing of a map leave it as it is', () => {
    const file = 'services: { web: { listen: 80, health: { path: /a } } }';
    const web = serviceOf({ file, kv: 'services: { web: { health: } }\nrouters:\n' });
    expect(web.health).toMatchObject({ path: '/a' });
    expect(settingsOf({ file: 'services:\nstatic:\nrouters:\nlog:\n' }).services).toEqual([]);
    expect(serviceOf({ file: 'services: { web: { health: } }' }).health).not.toBeNull();
  });

  it('may add services', () => {
    const given = {
      file: 'services: { a: { listen: 81 } }',
      kv: 'services: { b: { listen: 8082 } }',
      flags: { service: ['c=83'] },
    };
    expect(settingsOf(given).services.map(({ name }) => name)).toEqual(['a', 'b', 'c']);
  });
});

describe('the environment', () => {
  it.each([
    ['UPRIVER_STATS', '127.0.0.1:99', { stats: { listen: { port: 99 } } }],
    ['UPRIVER_STATS', 'off', { stats: { listen: null } }],
    ['UPRIVER_ADMIN_TOKEN', 's3cret', { stats: { adminToken: 's3cret' } }],
    ['UPRIVER_LOG_FORMAT', 'pretty', { log: { format: 'pretty' } }],
    ['UPRIVER_ACCESS_LOG', 'stdout', { log: { access: 'stdout' } }],
    ['UPRIVER_SHUTDOWN_GRACE', '5s', { shutdownGraceMs: 5000 }],
    ['CONSUL_HTTP_ADDR', 'c:8500', { registries: { consul: { addresses: ['http://c:8500'] } } }],
    [
      'CONSUL_HTTP_ADDR',
      'https://c:8501',
      { registries: { consul: { addresses: ['https://c:8501'] } } },
    ],
    [
      'CONSUL_HTTP_ADDR',
      'unix:///run/c.sock',
      { registries: { consul: { addresses: ['unix:///run/c.sock'] } } },
    ],
    ['CONSUL_HTTP_TOKEN', 't', { registries: { consul: { token: 't' } } }],
    ['CONSUL_HTTP_TOKEN_FILE', '/run/t', { registries: { consul: { tokenFile: '/run/t' } } }],
    ['CONSUL_HTTP_AUTH', 'u:p', { registries: { consul: { httpAuth: 'u:p' } } }],
    ['CONSUL_HTTP_SSL_VERIFY', '0', { registries: { consul: { tls: { verify: false } } } }],
    ['CONSUL_HTTP_SSL_VERIFY', 'false', { registries: { consul: { tls: { verify: false } } } }],
    ['CONSUL_HTTP_SSL_VERIFY', '1', { registries: { consul: { tls: { verify: true } } } }],
    ['CONSUL_CACERT', '/ca', { registries: { consul: { tls: { caFile: '/ca' } } } }],
    ['CONSUL_CLIENT_CERT', '/c', { registries: { consul: { tls: { certFile: '/c' } } } }],
    ['CONSUL_CLIENT_KEY', '/k', { registries: { consul: { tls: { keyFile: '/k' } } } }],
    ['CONSUL_TLS_SERVER_NAME', 's', { registries: { consul: { tls: { serverName: 's' } } } }],
    ['CONSUL_NAMESPACE', 'n', { registries: { consul: { namespace: 'n' } } }],
    ['CONSUL_PARTITION', 'p', { registries: { consul: { partition: 'p' } } }],
  ])('%s=%s', (variable, value, expected) => {
    expect(settingsOf({ env: { [variable]: value } })).toMatchObject(expected);
  });

  it.each(['1', 't', 'true', 'TRUE'])(
    "CONSUL_HTTP_SSL=%s means https, as in Consul's CLI",
    (on) => {
      const addresses = (address: string) =>
        settingsOf({ env: { CONSUL_HTTP_ADDR: address, CONSUL_HTTP_SSL: on } }).registries.consul
          ?.addresses;
      expect(addresses('c:8501')).toEqual(['https://c:8501']);
      expect(addresses('http://c:8501')).toEqual(['https://c:8501']);
      expect(addresses('unix:///run/c.sock')).toEqual(['unix:///run/c.sock']);
      const env = { CONSUL_HTTP_SSL: on };
      const flags = { consul: ['a:1', 'b:2'] };
      expect(settingsOf({ env, flags }).registries.consul?.addresses).toEqual([
        'https://a:1',
        'https://b:2',
      ]);
      expect(settingsOf({ env: { ...env, CONSUL: 'c:1' } }).registries.consul?.addresses).toEqual([
        'https://c:1',
      ]);
    },
  );

  it.each(['0', 'f', 'false', ''])('CONSUL_HTTP_SSL=%s means http', (off) => {
    const env = { CONSUL_HTTP_ADDR: 'c:8500', CONSUL_HTTP_SSL: off };
    expect(settingsOf({ env }).registries.consul?.addresses).toEqual(['http://c:8500']);
  });

  it.each([
    [{ CONSUL_HTTP_SSL: 'yes' }, 'CONSUL_HTTP_SSL: "yes": expected true or false'],
    [{ CONSUL_HTTP_SSL_VERIFY: 'no' }, 'CONSUL_HTTP_SSL_VERIFY: "no": expected true or false'],
    [{ CONSUL_CAPATH: '/ca' }, 'CONSUL_CAPATH: a folder of certificates is not yet supported'],
    [{ ETCD_ENDPOINTS: 'a' }, 'ETCD_ENDPOINTS: registries.etcd.address: "a": expected'],
    [{ CONSUL_HTTP_ADDR: 'c' }, 'CONSUL_HTTP_ADDR: registries.consul.address: "c": expected'],
  ])('%o is refused', (env, message) => {
    expect(problemsOf({ env })).toEqual([expect.stringContaining(message)]);
  });

  it("CONSUL_CACERT wins over CONSUL_CAPATH, as in Consul's CLI", () => {
    const env = { CONSUL_CAPATH: '/ca', CONSUL_CACERT: '/ca.pem' };
    expect(settingsOf({ env }).registries.consul?.tls.caFile).toBe('/ca.pem');
  });

  it("CONSUL_HTTP_TOKEN wins over the file's token_file", () => {
    const file = 'registries: { consul: { token_file: /run/t } }';
    const env = { CONSUL_HTTP_TOKEN: 't' };
    expect(settingsOf({ file, env }).registries.consul).toMatchObject({
      token: 't',
      tokenFile: '',
    });
    const both = { ...env, CONSUL_HTTP_TOKEN_FILE: '/run/u' };
    expect(settingsOf({ file, env: both }).registries.consul).toMatchObject({
      tokenFile: '/run/u',
    });
  });

  it('with CONSUL_HTTP_SSL alone asks the usual address over https', () => {
    const env = { CONSUL_HTTP_SSL: 'true' };
    expect(settingsOf({ env }).registries.consul?.addresses).toEqual(['https://127.0.0.1:8500']);
  });

  it('empty variables are as good as none', () => {
    const env = { UPRIVER_WORKERS: '', CONSUL_HTTP_ADDR: '', CONSUL_HTTP_TOKEN: '' };
    expect(settingsOf({ env }).registries.consul?.addresses).toEqual(['http://127.0.0.1:8500']);
  });
});

/** A dollar is written as a percent sign: what follows is no template of this file. */
const dollars = (text: string) => text.replaceAll('%', '$');

describe('variables in the file', () => {
  const env = { PORT: '8080', NAME: 'web', EMPTY: '' };
  it.each([
    ['%{NAME}', 'web'],
    ['%{NAME}-%{PORT}', 'web-8080'],
    ['%{NONE:-fallback}', 'fallback'],
    ['%{NONE:-}', ''],
    ['%{EMPTY:-fallback}', 'fallback'],
    ['%{NAME:-fallback}', 'web'],
    ['%{NAME:?must be there}', 'web'],
    ['%%', '%'],
    ['%%{NAME}', '%{NAME}'],
    ['a%b', 'a%b'],
    ['%NAME', '%NAME'],
  ])('%s is %j', (text, expected) => {
    const file = `services: { web: { from: { tag: "${dollars(text)}" } } }`;
    expect(serviceOf({ file, env }).from[0]!.source.tag).toBe(dollars(expected));
  });

  it('give numbers and keys as well', () => {
    expect(
      serviceOf({ file: dollars('services:\n  web:\n    listen: %{PORT}'), env }).listen,
    ).toMatchObject([{ address: { kind: 'tcp', host: '', port: 8080 } }]);
    expect(serviceOf({ file: dollars('services: { "%{NAME}": { listen: 1 } }'), env }).name).toBe(
      'web',
    );
  });

  it('that are not set are told with their place', () => {
    expect(problemsOf({ file: dollars('log:\n  level: %{LEVEL}\n') })).toEqual([
      'upriver.yaml:2:10: the variable LEVEL is not set',
    ]);
    expect(problemsOf({ file: dollars('log:\n  level: %{LEVEL:?say how loud}\n') })).toEqual([
      'upriver.yaml:2:10: the variable LEVEL is not set: say how loud',
    ]);
  });
});

describe('flags', () => {
  it('--service takes a port, and settings by dotted keys', () => {
    const web = serviceOf({
      flags: {
        service: ['web=8080,balance=hash(header:x-user),health.path=/h,retry.on=connect'],
      },
    });
    expect(web.listen).toMatchObject([{ address: { kind: 'tcp', host: '', port: 8080 } }]);
    expect(web.balance).toEqual({ policy: 'hash', hash: { on: 'header', name: 'x-user' } });
    expect(web.health).toMatchObject({ path: '/h', intervalMs: 2000 });
    expect([...web.retry.on]).toEqual(['connect']);
  });

  it.each([
    ['web', [{ kind: 'tcp', host: '', port: 80 }]],
    ['web,balance=p2c', [{ kind: 'tcp', host: '', port: 80 }]],
    ['web=:80', [{ kind: 'tcp', host: '', port: 80 }]],
    ['web=127.0.0.1:80', [{ kind: 'tcp', host: '127.0.0.1', port: 80 }]],
    ['web=[::1]:80', [{ kind: 'tcp', host: '::1', port: 80 }]],
    ['web=/run/web.sock', [{ kind: 'unix', path: '/run/web.sock' }]],
  ])('--service %s', (text, listen) => {
    const { listen: read } = serviceOf({ flags: { service: [text] } });
    expect(read.map(({ address }) => address)).toEqual(listen);
  });

  it.each([
    ['', "--service: '': expected NAME[=PORT][,key=value...]"],
    ['=80', "--service: '=80': expected NAME[=PORT][,key=value...]"],
    ['web=80,fast', "--service: 'fast' in 'web=80,fast': expected key=value"],
  ])('--service %j is refused', (text, message) => {
    expect(problemsOf({ flags: { service: [text] } })).toEqual([message]);
  });

  it('--service without a port takes the one that is given elsewhere, or that of its router', () => {
    const flags = { service: ['web,balance=p2c'] };
    const file = 'services: { web: { listen: 8080 } }';
    expect(serviceOf({ file, flags })).toMatchObject({ listen: [{ address: { port: 8080 } }] });
    const routed = 'routers: [{ listen: 8080, routes: [{ service: web }] }]';
    expect(serviceOf({ file: routed, flags }).listen).toEqual([]);
  });

  it('--service takes lists', () => {
    const { retry, listen } = serviceOf({ flags: { service: ['web=80,retry.on=connect,502'] } });
    expect(retry.onStatus).toEqual(new Set([502]));
    expect(listen).toHaveLength(1);
  });

  it('--static gives endpoints, and the service of that name uses them', () => {
    const flags = {
      static: ['web=10.0.0.1:80 weight=5,[::1]:81,db.example:82'],
      service: ['web=8080'],
    };
    const { static: fixed, services, registries } = settingsOf({ flags });
    expect(fixed.web).toEqual([
      { address: '10.0.0.1', port: 80, weight: 5 },
      { address: '::1', port: 81, weight: 1 },
      { address: 'db.example', port: 82, weight: 1 },
    ]);
    expect(services[0]!.from[0]!.source).toMatchObject({ registry: 'static', service: 'web' });
    expect(registries, 'nothing else is followed').toEqual({});
    expect(problemsOf({ flags: { static: ['web'] } })[0]).toMatch(
      /^--static: 'web': expected NAME=/,
    );
    expect(problemsOf({ flags: { static: ['web=x'] } })[0]).toMatch(/^--static: static\.web\.0: /);
  });

  it('--consul is a list for fail-over', () => {
    const flags = { consul: ['a:8500', 'https://b:8501'] };
    const expected = ['http://a:8500', 'https://b:8501'];
    expect(settingsOf({ flags }).registries.consul?.addresses).toEqual(expected);
  });
});

describe('Consul', () => {
  it('is followed where nothing else is, and where a service wants it', () => {
    expect(settingsOf({}).registries.consul?.addresses).toEqual(['http://127.0.0.1:8500']);
    expect(settingsOf({ file: 'services: { a: { listen: 1 } }' }).registries.consul).toBeDefined();
    const fixed =
      'static: { a: [h:1] }\nservices: { a: { listen: 1 }, b: { from: { service: a } } }';
    expect(load({ file: fixed }).settings?.registries).toEqual({});
    const env = { CONSUL_HTTP_TOKEN: 't', CONSUL_HTTP_SSL: '1' };
    expect(settingsOf({ file: fixed, env }).registries, 'a token is no wish').toEqual({});
    expect(settingsOf({ env }).registries.consul).toMatchObject({ token: 't' });
    const both = `${fixed}\nregistries: { consul: {} }`;
    expect(settingsOf({ file: both }).registries.consul).toBeDefined();
  });
});
