import { describe, expect, it } from 'vitest';
import { type TranslateRules, translate } from '../../../src/discovery/docker/translate.ts';
import type { DockerSettings } from '../../../src/model/registries/docker.ts';
import { type ContainerSpec, container } from '../../support/containers.ts';
import { dockerSettings } from '../../support/docker.ts';

function translated(
  spec: ContainerSpec,
  settings: Partial<DockerSettings> = {},
  more: Partial<TranslateRules> = {},
  stopping = '',
) {
  return translate(
    { container: container(spec), json: null, stopping },
    {
      settings: dockerSettings(settings),
      hostAddress: '127.0.0.1',
      isInside: false,
      containerOf: () => null,
      driverOf: () => 'bridge',
      ...more,
    },
  );
}

const endpointsOf = (...args: Parameters<typeof translated>) =>
  translated(...args).instances.map(({ name, endpoint }) => ({ name, ...endpoint }));

const web: ContainerSpec = { name: 'w1', image: 'team/web', published: { '80/tcp': '32768' } };
const inner: ContainerSpec = { ...web, published: { '80/tcp': '' } };

describe('addresses', () => {
  it('are those of published ports', () => {
    expect(endpointsOf(web)).toEqual([
      {
        ...{ name: 'web', id: 'w1:80', address: '127.0.0.1', port: 32768, weight: 1 },
        ...{ status: 'passing', statusText: '' },
      },
    ]);
  });

  it('are those of containers, if they are to be', () => {
    const expected = { address: '172.17.0.2', port: 80 };
    expect(endpointsOf(web, { place: 'container' })[0]).toMatchObject(expected);
    expect(endpointsOf(inner, { place: 'container' })[0]).toMatchObject(expected);
    const both = { ...web, networks: { bridge: '172.17.0.2', back: '172.20.0.2' } };
    const there = { ...expected, address: '172.20.0.2' };
    expect(endpointsOf(both, { place: 'container', network: 'back' })[0]).toMatchObject(there);
  });

  it('auto takes those of a container that publishes nothing and asks to be served', () => {
    expect(endpointsOf(inner)).toEqual([]);
    for (const more of [
      { env: ['SERVICE_NAME=web'] },
      { env: ['SERVICE_80_NAME=web'] },
      { labels: { 'upriver.listen': '80' } },
    ]) {
      expect(endpointsOf({ ...inner, ...more })[0]).toMatchObject({
        address: '172.17.0.2',
        port: 80,
      });
      expect(endpointsOf({ ...inner, ...more }, { place: 'published' })).toEqual([]);
    }
  });

  it('auto takes those of containers where Upriver is one itself', () => {
    expect(endpointsOf(web, {}, { isInside: true })[0]).toMatchObject({
      address: '172.17.0.2',
      port: 80,
    });
  });

  it('of a virtual host are at its port, published or not', () => {
    const env = ['VIRTUAL_HOST=a.example.com', 'VIRTUAL_PORT=8080'];
    const spec = { ...web, published: { '80/tcp': '32768', '8080/tcp': '' }, env };
    const routed = translated(spec).instances.find(({ name }) => name === 'a.example.com')!;
    expect(routed.endpoint).toMatchObject({ id: 'w1:8080', address: '172.17.0.2', port: 8080 });
    expect(routed.route).toEqual({
      'route.listen': ':80',
      'route.host': 'a.example.com',
      'route.path': '/',
    });
    const [problem = ''] = translated(spec, { place: 'published' }).problems;
    expect(problem).toContain('port 8080 is not published');
    expect(translated(spec, { selfDescribed: false }).instances).toHaveLength(1);
    expect(endpointsOf({ ...web, networkMode: 'host', networks: {}, env })[1]).toMatchObject({
      address: '127.0.0.1',
      port: 8080,
    });
  });

  it('are none where a container has none', () => {
    expect(endpointsOf({ ...inner, networks: {} }, { place: 'container' })).toEqual([]);
  });
});

describe('states', () => {
  it.each([
    [{ health: 'healthy' }, '', { weight: 1, status: 'passing', statusText: '' }],
    [
      { health: 'starting' },
      '',
      { status: 'critical', statusText: expect.stringMatching(/^starting/) },
    ],
    [
      { health: 'unhealthy', healthOutput: 'no db' },
      '',
      { weight: 1, status: 'critical', statusText: 'unhealthy: no db' },
    ],
    [{}, 'signal 15', { weight: 0, status: 'passing', statusText: 'stopping: signal 15' }],
  ])('%j %s', (more, stopping, expected) => {
    expect(endpointsOf({ ...web, ...more }, {}, {}, stopping)[0]).toMatchObject(expected);
  });

  it('paused there is none', () => expect(endpointsOf({ ...web, status: 'paused' })).toEqual([]));
});

describe('what a container says of its service', () => {
  const tagsOf = (spec: ContainerSpec) =>
    translated(spec).instances.map(({ entry }) => entry.Service!.Tags);

  it('are tags and labels, those of a port for its service alone', () => {
    const two = { ...web, published: { '80/tcp': '1', '81/tcp': '2' } };
    const labels = { 'upriver.listen': '80', 'upriver.81.listen': '81', upriver: 'x', other: 'y' };
    const env = ['SERVICE_TAGS=a,upriver.balance=random'];
    expect(tagsOf({ ...two, labels, env })).toEqual([
      ['a', 'upriver.balance=random', 'upriver.listen=80'],
      ['a', 'upriver.balance=random', 'upriver.listen=80', 'upriver.listen=81'],
    ]);
  });

  it('is its weight, unless it is about to end', () => {
    const labels = { 'upriver.weight': '5' };
    expect(endpointsOf({ ...web, labels })[0]!.weight).toBe(5);
    expect(endpointsOf({ ...web, labels }, {}, {}, 'signal 9')[0]!.weight).toBe(0);
  });
});

describe('the checks that a container declares', () => {
  const env = ['SERVICE_CHECK_HTTP=/health', 'SERVICE_CHECK_INTERVAL=2s'];
  const checksOf = (...args: Parameters<typeof translated>) =>
    translated(...args).instances.map(({ endpoint }) => endpoint.check ?? null);

  it('become checks of its endpoints, those of a port of that one alone', () => {
    const two = { ...web, published: { '80/tcp': '1', '81/tcp': '2' } };
    const labels = { SERVICE_81_CHECK_HTTP: '/other', SERVICE_81_CHECK_TIMEOUT: '1s' };
    expect(checksOf({ ...two, env, labels })).toMatchObject([
      { type: 'http', path: '/health', intervalMs: 2000, timeoutMs: 2000, initial: 'down' },
      { type: 'http', path: '/other', intervalMs: 2000, timeoutMs: 1000 },
    ]);
    expect(checksOf({ ...web, env: ['SERVICE_CHECK_TCP=true'] })).toMatchObject([{ type: 'tcp' }]);
    expect(checksOf(web)).toEqual([null]);
  });

  it('hold for its virtual hosts as well, and not for what answers by UDP', () => {
    const routed = { ...web, env: [...env, 'VIRTUAL_HOST=a.test', 'VIRTUAL_PORT=80'] };
    expect(checksOf(routed)).toMatchObject([{ path: '/health' }, { path: '/health' }]);
    const both = { ...web, env, published: { '53/tcp': '1', '53/udp': '2' } };
    expect(checksOf(both)).toMatchObject([{ path: '/health' }, null]);
  });

  it('are left out where they are not wanted, or wrong, which is said', () => {
    expect(checksOf({ ...web, env }, { declaredChecks: false })).toEqual([null]);
    const wrong = { ...web, env: ['SERVICE_CHECK_HTTP=health', 'SERVICE_CHECK_SCRIPT=nc x 80'] };
    const [instance] = translated(wrong).instances;
    expect(instance!.endpoint.check).toBeUndefined();
    expect(instance!.problems).toEqual([
      "instance w1:80: check_http 'health': expected a path that begins with a slash",
      "instance w1:80: check_script can't be run from here: no check is made of it",
    ]);
  });
});
