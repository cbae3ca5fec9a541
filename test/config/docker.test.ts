// Where the containers of an engine are followed: by the file, by --docker, by Docker's variables.
import { describe, expect, it } from 'vitest';
import { describeService } from '../../src/config/describe.ts';
import { plainSource } from '../../src/model/source.ts';
import { load, problemsOf, settingsOf } from '../support/config.ts';

const urls = (given: Parameters<typeof settingsOf>[0]) =>
  settingsOf(given).registries.docker?.addresses.map(({ url }) => url);

describe('the address of an engine', () => {
  const defaults = [
    ...['unix:///var/run/docker.sock', 'unix:///tmp/docker.sock'],
    'unix:///run/podman/podman.sock',
  ];

  it('is one of the usual sockets, where --docker stands alone', () => {
    expect(urls({ flags: { docker: [''] } })).toEqual(defaults);
    expect(urls({ file: 'registries: { docker: {} }' })).toEqual(defaults);
    expect(urls({})).toBeUndefined();
  });

  it('is what the flag says, before the variable, before the file', () => {
    const file = 'registries: { docker: { address: /a.sock, network: back } }';
    const env = { DOCKER_HOST: 'tcp://10.0.0.1:2375' };
    expect(urls({ file })).toEqual(['unix:///a.sock']);
    expect(urls({ file, env })).toEqual(['http://10.0.0.1:2375']);
    expect(urls({ file, env, flags: { docker: ['/b.sock'] } })).toEqual(['unix:///b.sock']);
    const { registries } = settingsOf({ file, env, flags: { docker: [''] } });
    expect(registries.docker).toMatchObject({ network: 'back' });
  });

  it('by DOCKER_HOST alone has the engine followed', () => {
    expect(urls({ env: { DOCKER_HOST: 'unix:///run/user/1000/docker.sock' } })).toEqual([
      'unix:///run/user/1000/docker.sock',
    ]);
    expect(urls({ env: { DOCKER_HOST: '' } })).toBeUndefined();
  });

  it.each(['ssh://me@host', 'npipe:////./pipe/docker_engine', 'docker'])(
    '%s is refused',
    (text) => {
      const problems = problemsOf({ env: { DOCKER_HOST: text } });
      expect(problems).toHaveLength(1);
      expect(problems[0]).toContain('DOCKER_HOST: registries.docker.address');
      expect(problems[0]).toContain('expected unix:///path');
    },
  );
});

describe('TLS towards an engine', () => {
  const tls = (env: Record<string, string>) => {
    const docker = settingsOf({ env }).registries.docker!;
    return [docker.addresses[0]!.url, docker.tls] as const;
  };
  const host = { DOCKER_HOST: 'tcp://10.0.0.1:2376', HOME: '/home/me' };

  it('is off without its variables', () => {
    expect(tls(host)[0]).toBe('http://10.0.0.1:2376');
  });

  it('is what DOCKER_TLS_VERIFY and DOCKER_CERT_PATH say', () => {
    const files = (folder: string) => ({
      caFile: `${folder}/ca.pem`,
      certFile: `${folder}/cert.pem`,
      keyFile: `${folder}/key.pem`,
      verify: true,
    });
    const [url, both] = tls({ ...host, DOCKER_TLS_VERIFY: '1', DOCKER_CERT_PATH: '/certs' });
    expect(url).toBe('https://10.0.0.1:2376');
    expect(both).toMatchObject(files('/certs'));
    expect(tls({ ...host, DOCKER_TLS_VERIFY: '1' })[1]).toMatchObject(files('/home/me/.docker'));
    expect(tls({ ...host, DOCKER_CERT_PATH: '/certs' })[1]).toMatchObject({
      caFile: '',
      certFile: '/certs/cert.pem',
      verify: false,
    });
  });

  it('means nothing for a socket, or without DOCKER_HOST', () => {
    const env = { DOCKER_HOST: '/run/docker.sock', DOCKER_TLS_VERIFY: '1' };
    expect(tls(env)[1]).toMatchObject({ caFile: '', verify: true });
    expect(load({ env: { DOCKER_TLS_VERIFY: '1' } }).settings!.registries.docker).toBeUndefined();
  });
});

describe('what a container may ask for', () => {
  const source = plainSource('docker', 'web');

  it('is a route on a router', () => {
    const { service, problems } = describeService(source, {
      ...{ 'route.host': 'A.example.com', 'route.path': '/x', 'route.strip': '/x' },
      ...{ 'route.listen': '127.0.0.1:8080', balance: 'random' },
    });
    expect(problems).toEqual([]);
    expect(service).toMatchObject({
      listen: [],
      balance: { policy: 'random' },
      ownRoute: {
        listen: { address: { kind: 'tcp', host: '127.0.0.1', port: 8080 } },
        route: { host: 'a.example.com', path: '/x', stripPrefix: '/x', service: 'web' },
      },
    });
  });

  it('is port 80, where no address is said', () => {
    const { service } = describeService(source, { 'route.host': 'a.example.com' });
    expect(service!.ownRoute!.listen.address).toEqual({ kind: 'tcp', host: '', port: 80 });
  });

  it.each([
    [{ 'route.listen': '/run/a.sock' }, 'expected a port or address:port'],
    [{ 'route.listen': 'name.example.com:80' }, 'expected a port or IP address'],
    [{ 'route.listen': '' }, 'tag route.listen'],
    [{ 'route.listen.tls': 'true' }, 'tag route.listen'],
    [{ 'route.host': 'a b' }, 'tag route.host'],
    [{ 'route.path': 'x' }, 'tag route.path'],
    [{ 'route.other': 'x' }, 'tag route.other'],
    [{ protocol: 'tcp', 'route.host': 'a' }, 'tag route'],
  ])('%j is not as it should be, and said', (settings, problem) => {
    const { problems } = describeService(source, settings as Record<string, string>);
    expect(problems.join()).toContain(problem);
  });
});
