import { describe, expect, it } from 'vitest';
import type { KnownContainer } from '../../src/containers/container-watch.ts';
import { desiredOf, isDeregistered, isOfHost } from '../../src/registrar/desired.ts';
import { dockerRegisterServices } from '../../src/registrar/docker-register.ts';
import { entriesOf, registeredIn } from '../../src/registrar/key-layout.ts';
import { type ContainerSpec, container } from '../support/containers.ts';

const web: ContainerSpec = { id: '736ab83847bb'.padEnd(64, '1'), image: 'jwilder/whoami:v1' };
const known = (spec: ContainerSpec, stopping = ''): KnownContainer => {
  return { container: container(spec), json: null, stopping };
};

describe('what is to stand in the registry', () => {
  it.each([
    [{}, '', 'live', ''],
    [{ health: 'healthy' }, '', 'live', ''],
    [{ health: 'starting' }, '', 'waiting', 'waits for its health check'],
    [{ health: 'unhealthy', healthOutput: 'no db' }, '', 'suspended', 'unhealthy: no db'],
    [{ status: 'paused' }, '', 'suspended', 'paused'],
    [{ health: 'unhealthy' }, 'signal 15', 'suspended', 'stopping: signal 15'],
  ])('%j %s', (more, stopping, state, reason) => {
    const [service] = dockerRegisterServices(
      container({ published: { '80/tcp': '1' } }),
      '10.0.0.5',
    );
    const [one] = desiredOf(known({ ...web, ...more }, stopping), [service!]);
    expect([one!.state, one!.reason]).toEqual([state, reason]);
  });

  it.each([
    ['host:web:80', true],
    ['host:web.1_x-y:53:udp', true],
    ['other:web:80', false],
    ['host:web', false],
    ['host:web:x', false],
    ['host::80', false],
    ['https.12345', false],
    ['more:host:web:80', false],
  ])('%s is of this host: %s', (id, isOwn) => expect(isOfHost(id, 'host')).toBe(isOwn));

  it.each([
    ['always', 1, true],
    ['on-success', 0, true],
    ['on-success', 1, false],
    ['on-success', 137, true],
    ['on-success', 143, true],
    ['on-success', null, true],
  ] as const)('%s after exit code %s: %s', (mode, code, isGone) =>
    expect(isDeregistered(mode, code)).toBe(isGone),
  );
});

describe("docker-register's layout", () => {
  const entries = (spec: ContainerSpec, hostIp = '10.0.0.5') =>
    dockerRegisterServices(container({ ...web, ...spec }), hostIp).flatMap((service) =>
      entriesOf('docker-register', '/backends', service).map(({ key, value }) => [key, value]),
    );

  it("is that of its documentation's example", () => {
    expect(entries({ published: { '8000/tcp': '49153' } })).toEqual([
      ['/backends/whoami/736ab83847bb', '10.0.0.5:49153'],
      ['/backends/whoami/port', '8000'],
    ]);
  });

  it('has nothing of what is not published', () => {
    expect(entries({ published: { '8000/tcp': '', '53/udp': '1' } })).toEqual([]);
  });

  it('has a service for each of several ports, as its fork', () => {
    const keys = entries({ published: { '80/tcp': '1', '443/tcp': '2' } }).map(([key]) => key);
    expect(keys).toEqual([
      ...['/backends/whoami-80/736ab83847bb', '/backends/whoami-80/port'],
      ...['/backends/whoami-443/736ab83847bb', '/backends/whoami-443/port'],
    ]);
  });

  it.each([
    ['whoami', 'whoami'],
    ['registry:5000/team/web@sha256:abc', 'team/web'],
  ])('%s is called %s', (image, name) => {
    const [[key] = ['']] = entries({ image, published: { '80/tcp': '1' } });
    expect(key).toBe(`/backends/${name}/736ab83847bb`);
  });
});

describe("other layouts' keys", () => {
  const [service] = dockerRegisterServices(
    container({ ...web, published: { '80/tcp': '1' } }),
    'fd00::1',
  );

  it("are Registrator's", () => {
    expect(entriesOf('registrator', '/services', service!)).toEqual([
      { key: '/services/whoami/736ab83847bb', value: '[fd00::1]:1' },
    ]);
  });

  it("are SkyDNS'", () => {
    expect(entriesOf('skydns', '/skydns/local/cluster', service!)).toEqual([
      { key: '/skydns/local/cluster/whoami/736ab83847bb', value: '{"host":"fd00::1","port":1}' },
    ]);
  });

  it('are read as what is registered', () => {
    const keys = ['/b/web/h:w:80', '/b/team/web/id', '/b/web/port', '/other/web/x', '/b/lone'];
    expect(registeredIn('/b', keys)).toEqual([
      { id: 'h:w:80', name: 'web', isSuspended: false },
      { id: 'id', name: 'team/web', isSuspended: false },
    ]);
  });
});
