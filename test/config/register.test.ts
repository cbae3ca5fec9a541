// The command line and the environment of the registrar.
import { describe, expect, it } from 'vitest';
import { normalizeRegisterArgs } from '../../src/cli/register-flags.ts';
import { readRegister } from '../../src/config/register.ts';
import { type RegisterInput, registerSchema } from '../../src/config/schema/register.ts';
import { problemsOf, settingsOf } from '../support/config.ts';

const input = (more: Partial<RegisterInput> = {}): RegisterInput => ({
  ...registerSchema.parse({}),
  ...more,
});
const read = (to: string, env: Record<string, string> = {}, more: Partial<RegisterInput> = {}) =>
  readRegister(input({ to, ...more }), '', env);
function target(to: string, env: Record<string, string> = {}) {
  const { settings, problems } = read(to, env);
  if (settings === null) throw new Error(problems.join());
  return settings.target;
}

describe("Registrator's command line", () => {
  it.each([
    [
      ['-ip', '10.0.0.1', 'consul://c:8500'],
      ['--ip=10.0.0.1', 'consul://c:8500'],
    ],
    [['-ip=10.0.0.1'], ['--ip=10.0.0.1']],
    [['--resync', '600'], ['--resync=600']],
    [
      ['-internal', '-cleanup=true', '-explicit=false'],
      ['--internal', '--cleanup'],
    ],
    [['-retry-attempts', '-1'], ['--retry-attempts=-1']],
    [
      ['-useIpFromLabel', 'x', '-useipfromlabel=y'],
      ['--useIpFromLabel=x', '--useIpFromLabel=y'],
    ],
    [['-tags', '-odd'], ['--tags=-odd']],
    [['-nonsense'], ['--nonsense']],
    [['-ttl'], ['--ttl']],
    [['--help'], ['--help']],
  ])('%j is %j', (argv, words) => expect(normalizeRegisterArgs(argv)).toEqual(words));
});

describe('the URI of a registry', () => {
  const address = (to: string, env: Record<string, string> = {}) => {
    const one = target(to, env);
    return one.kind === 'etcd' ? one.etcd.addresses.join() : one.access.address;
  };

  it.each([
    ['consul://localhost:8500', 'http://localhost:8500'],
    ['consul://localhost', 'http://localhost:8500'],
    ['consul:', 'http://127.0.0.1:8500'],
    ['consul://', 'http://127.0.0.1:8500'],
    ['consul-tls://c:8501', 'https://c:8501'],
    ['consul-unix:///run/consul.sock', 'unix:///run/consul.sock'],
    ['consulkv://c:8500/services', 'http://c:8500'],
    ['consulkv-unix:///run/consul.sock:/services', 'unix:///run/consul.sock'],
    ['etcd://e:2379/services', 'http://e:2379'],
    ['etcd://a:1,b:2/services', 'http://a:1,http://b:2'],
    ['etcd:///services', 'http://127.0.0.1:2379'],
    ['skydns2://e/cluster.local', 'http://e:2379'],
    ['docker-register://e/backends', 'http://e:4001'],
  ])('%s is %s', (to, expected) => expect(address(to)).toBe(expected));

  it('takes what is not said from the environment', () => {
    const env = {
      ...{ CONSUL_HTTP_ADDR: 'https://c.example:8501', CONSUL_HTTP_TOKEN: 'secret' },
      ...{ CONSUL_CACERT: '/ca.pem', CONSUL_NAMESPACE: 'ns', CONSUL_HTTP_AUTH: 'me:pass' },
    };
    expect(target('consul:', env)).toMatchObject({
      access: {
        ...{ address: 'https://c.example:8501', token: 'secret', namespace: 'ns' },
        ...{ httpAuth: 'me:pass', tls: { caFile: '/ca.pem', verify: true } },
      },
    });
    expect(address('consul://c', { CONSUL_HTTP_SSL: 'true' })).toBe('https://c:8501');
    expect(address('etcd:///x', { ETCD_ENDPOINTS: 'http://e:1' })).toBe('http://e:1');
  });

  it('says where keys are', () => {
    expect(target('consulkv://c/a/b/')).toMatchObject({ prefix: 'a/b' });
    expect(target('consulkv-unix:///s.sock:/a')).toMatchObject({ prefix: 'a' });
    expect(target('etcd://e/services/')).toMatchObject({
      layout: 'registrator',
      etcd: { prefix: '/services', api: 'auto' },
    });
    expect(target('etcd3://e/x')).toMatchObject({ etcd: { api: 'v3' } });
    expect(target('etcd2://e/x')).toMatchObject({ etcd: { api: 'v2' } });
    expect(target('skydns2://e/cluster.local')).toMatchObject({
      layout: 'skydns',
      etcd: { prefix: '/skydns/local/cluster' },
    });
  });

  it.each([
    ['', 'a registry is missing'],
    ['eureka://x', "'eureka://x'"],
    ['localhost:8500', 'expected consul://'],
    ['consulkv://c', 'expected a prefix'],
    ['skydns2://e', 'expected a domain'],
    ['docker-register://', 'expected a host, or ETCD_HOST'],
  ])('%s is none: %s', (to, problem) => expect(read(to).problems.join()).toContain(problem));
});

describe("docker-register's environment", () => {
  it('is a registry, an address and times', () => {
    const { settings } = read('', { ETCD_HOST: '10.0.0.9:4001', HOST_IP: '10.0.0.5' });
    expect(settings).toMatchObject({
      target: { layout: 'docker-register', etcd: { prefix: '/backends' } },
      ...{ ip: '10.0.0.5', ttlMs: 15_000, refreshMs: 10_000 },
    });
    expect(target('', { ETCD_HOST: '10.0.0.9' })).toMatchObject({
      etcd: { addresses: ['http://10.0.0.9:4001'] },
    });
  });

  it('means nothing to others', () => {
    const { settings } = read('consul://c', { HOST_IP: '10.0.0.5', ETCD_HOST: 'e' });
    expect(settings).toMatchObject({ target: { kind: 'consul' }, ip: '', ttlMs: 0 });
  });
});

it('refuses a template of tags that is none', () => {
  const { problems } = read('consul:', {}, { tags: '{{ if .ID }}' });
  expect(problems.join()).toContain("-tags: 'if' is not known in a template");
});

describe('beside the balancer', () => {
  const registered = (given: Parameters<typeof settingsOf>[0]) => settingsOf(given).register;

  it('it registers where services are followed, or at its URI', () => {
    const file =
      'registries: { consul: { address: http://c:8500, token: t }, docker: { address: /d.sock } }';
    expect(registered({ file })).toBeUndefined();
    expect(registered({ file, flags: { register: '' } })).toMatchObject({
      target: { kind: 'consul', access: { address: 'http://c:8500', token: 't' } },
      docker: { addresses: [{ url: 'unix:///d.sock' }] },
    });
    const flags = { register: 'etcd://e:2379/services' };
    expect(registered({ file, flags })).toMatchObject({ target: { kind: 'etcd' } });
    const etcd = 'registries: { etcd: { prefix: /b } }\nregister: { cleanup: true, resync: 1m }';
    expect(registered({ file: etcd })).toMatchObject({
      ...{ cleanup: true, resyncMs: 60_000 },
      target: { kind: 'etcd', layout: 'registrator', etcd: { prefix: '/b' } },
    });
  });

  it('it says what it lacks', () => {
    const problems = problemsOf({ file: 'registries: { docker: {} }', flags: { register: '' } });
    expect(problems).toHaveLength(1);
    expect(problems[0]).toContain('--register: register: a registry is missing');
  });
});

describe('times', () => {
  it.each([
    [{ ttl: 10_000, ttl_refresh: 0 }, 'expected both'],
    [{ ttl: 0, ttl_refresh: 1000 }, 'expected both'],
    [{ ttl: 5000, ttl_refresh: 5000 }, 'expected more than'],
  ])('%j are refused: %s', (more, problem) => {
    expect(read('etcd://e/x', {}, more).problems.join()).toContain(problem);
  });

  it('that fit are taken', () => {
    const more = { ttl: 60_000, ttl_refresh: 20_000 };
    expect(read('etcd://e/x', {}, more).settings).toMatchObject({
      ttlMs: 60_000,
      refreshMs: 20_000,
    });
  });
});

it('names the engine by flag, by DOCKER_HOST, or takes the usual sockets', () => {
  const urls = (docker: string, env: Record<string, string>) =>
    readRegister(input({ to: 'consul:' }), docker, env).settings?.docker.addresses.map(
      ({ url }) => url,
    );
  expect(urls('/a.sock', { DOCKER_HOST: 'tcp://x:1' })).toEqual(['unix:///a.sock']);
  expect(urls('', { DOCKER_HOST: 'tcp://x:1' })).toEqual(['http://x:1']);
  expect(urls('', {})).toHaveLength(3);
  const tls = { DOCKER_HOST: 'tcp://x:2376', DOCKER_TLS_VERIFY: '1', DOCKER_CERT_PATH: '/c' };
  expect(urls('', tls)).toEqual(['https://x:2376']);
  expect(readRegister(input({ to: 'consul:' }), 'ssh://x', {}).problems.join()).toContain(
    'expected',
  );
});
