// What is registered in Consul, field by field as Registrator's documentation has it.
import { describe, expect, it } from 'vitest';
import { servicesOf } from '../../src/containers/container-services.ts';
import { consulRegistration, unfitMeta } from '../../src/registrar/consul-registration.ts';
import { CONTAINER_ID, container, rules } from '../support/containers.ts';

function registered(...env: string[]) {
  const spec = { name: 'nginx.0', image: 'nginx', published: { '80/tcp': '8000' }, env };
  const [service] = servicesOf(container(spec), rules());
  return consulRegistration(service!);
}

const checkOf = (...env: string[]) => registered(...env).Check;

it('is what the container says', () => {
  expect(registered('SERVICE_TAGS=a,b', 'SERVICE_REGION=us2')).toEqual({
    ID: 'hostname:nginx.0:80',
    Name: 'nginx',
    Tags: ['a', 'b'],
    Port: 8000,
    Address: '192.168.1.102',
    Meta: { region: 'us2' },
  });
});

it('has what its check is made of as Meta too', () => {
  expect(registered('SERVICE_80_CHECK_HTTP=/health', 'SERVICE_80_CHECK_INTERVAL=15s').Meta).toEqual(
    {
      check_http: '/health',
      check_interval: '15s',
    },
  );
});

describe('a check', () => {
  it('is none without a word of it', () =>
    expect(checkOf('SERVICE_CHECK_INTERVAL=1s')).toBeUndefined());

  it.each([
    [
      [
        'CHECK_HTTP=/health/path',
        'CHECK_INTERVAL=15s',
        'CHECK_TIMEOUT=1s',
        'CHECK_HTTP_METHOD=HEAD',
      ],
      {
        HTTP: 'http://192.168.1.102:8000/health/path',
        ...{ Interval: '15s', Timeout: '1s', Method: 'HEAD' },
      },
    ],
    [
      ['CHECK_HTTPS=/h', 'CHECK_HTTPS_METHOD=HEAD'],
      { HTTP: 'https://192.168.1.102:8000/h', Method: 'HEAD', Interval: '10s' },
    ],
    [
      ['CHECK_TCP=true', 'CHECK_TIMEOUT=3s'],
      { TCP: '192.168.1.102:8000', Timeout: '3s', Interval: '10s' },
    ],
    [
      ['CHECK_SCRIPT=nc $SERVICE_IP $SERVICE_PORT | grep OK'],
      { Args: ['nc 192.168.1.102 8000 | grep OK'], Interval: '10s' },
    ],
    [
      ['CHECK_CMD=/check'],
      { Args: ['check-cmd', CONTAINER_ID.slice(0, 12), '80', '/check'], Interval: '10s' },
    ],
    [['CHECK_TTL=30s', 'CHECK_INTERVAL=5s'], { TTL: '30s' }],
    [
      [
        'CHECK_GRPC=true',
        'CHECK_GRPC_USE_TLS=true',
        'CHECK_TLS_SKIP_VERIFY=true',
        'CHECK_INTERVAL=5s',
      ],
      { GRPC: '192.168.1.102:8000', GRPCUseTLS: true, TLSSkipVerify: true, Interval: '5s' },
    ],
    [
      ['CHECK_GRPC=true', 'CHECK_TLS_SKIP_VERIFY=true'],
      { GRPC: '192.168.1.102:8000', Interval: '10s' },
    ],
    [
      ['CHECK_TCP=true', 'CHECK_INITIAL_STATUS=passing', 'CHECK_DEREGISTER_AFTER=10m'],
      {
        ...{ TCP: '192.168.1.102:8000', Interval: '10s', Status: 'passing' },
        DeregisterCriticalServiceAfter: '10m',
      },
    ],
    // The first in Registrator's order counts.
    [['CHECK_TCP=true', 'CHECK_HTTP=/'], { HTTP: 'http://192.168.1.102:8000/', Interval: '10s' }],
    [['CHECK_TTL=1s', 'CHECK_SCRIPT=x'], { Args: ['x'], Interval: '10s' }],
  ])('of %j', (say, expected) => {
    expect(checkOf(...say.map((one) => `SERVICE_${one}`))).toEqual(expected);
  });

  it('of an IPv6 address has brackets', () => {
    const spec = { published: { '80/tcp': 'fd00::1:8000' }, env: ['SERVICE_CHECK_TCP=1'] };
    const [service] = servicesOf(container(spec), rules());
    expect(consulRegistration(service!).Check).toMatchObject({ TCP: '[fd00::1]:8000' });
  });
});

it('leaves out of Meta what Consul would refuse the service for', () => {
  const bad = ['SERVICE_A.B=x', `SERVICE_LONG=${'x'.repeat(513)}`, 'SERVICE_CONSUL-X=y'];
  const spec = { published: { '80/tcp': '1' }, env: [...bad, 'SERVICE_GOOD=1'] };
  const [service] = servicesOf(container(spec), rules());
  expect(consulRegistration(service!).Meta).toEqual({ good: '1' });
  expect([...unfitMeta(service!)].sort()).toEqual(['a.b', 'consul-x', 'long']);
  const many = Array.from({ length: 70 }, (_, i) => `SERVICE_K${i}=v`);
  const [full] = servicesOf(container({ ...spec, env: many }), rules());
  expect(Object.keys(consulRegistration(full!).Meta)).toHaveLength(64);
});
