import { describe, expect, it } from 'vitest';
import { virtualHostsOf } from '../../../src/discovery/docker/virtual-hosts.ts';
import { type ContainerSpec, container } from '../../support/containers.ts';

const asked = (spec: ContainerSpec) => virtualHostsOf(container(spec));
const root = { path: '/', strip: '', prefix: '' };

describe('virtual hosts', () => {
  it('are none without VIRTUAL_HOST', () => {
    expect(asked({ env: ['VIRTUAL_PORT=80'] })).toEqual({ hosts: [], problems: [] });
  });

  it('are split at commas, in lower case, by variable or label', () => {
    const env = ['VIRTUAL_HOST=Foo.example.com, bar.example.com,,*.example.org.'];
    const hosts = ['foo.example.com', 'bar.example.com', '*.example.org'];
    const expected = hosts.map((host) => ({ name: host, host, port: 80, ...root }));
    expect(asked({ env }).hosts).toEqual(expected);
    const labels = { VIRTUAL_HOST: 'foo.example.com' };
    expect(asked({ env: ['VIRTUAL_HOST=other'], labels }).hosts).toEqual(expected.slice(0, 1));
  });

  it.each([
    [['8080/tcp'], [], 8080],
    [['8080/tcp', '53/udp'], [], 8080],
    [['8080/tcp', '9090/tcp'], [], 80],
    [[], [], 80],
    [['8080/tcp', '9090/tcp'], ['VIRTUAL_PORT=9090'], 9090],
    [['8080/tcp'], ['VIRTUAL_PORT=81'], 81],
  ])('exposing %j with %j they are at port %i', (exposed, more, port) => {
    const env = ['VIRTUAL_HOST=a.example.com', ...more];
    expect(asked({ exposed, env }).hosts[0]!.port).toBe(port);
  });

  it.each([
    [['VIRTUAL_PATH=/api/v2'], { name: 'a~api~v2', path: '/api/v2', strip: '', prefix: '' }],
    [['VIRTUAL_PATH=/app/', 'VIRTUAL_DEST=/'], { name: 'a~app', path: '/app/', strip: '/app' }],
    [['VIRTUAL_PATH=/app', 'VIRTUAL_DEST=/x'], { path: '/app', strip: '/app', prefix: '/x' }],
    [['VIRTUAL_DEST=/x'], { path: '/', strip: '', prefix: '/x' }],
  ])('%j', (more, expected) => {
    expect(asked({ env: ['VIRTUAL_HOST=a', ...more] }).hosts[0]).toMatchObject(expected);
  });

  it.each([
    ['VIRTUAL_HOST=~^foo\\..*', 'VIRTUAL_HOST'],
    ['VIRTUAL_HOST=foo.*', 'VIRTUAL_HOST'],
    ['VIRTUAL_HOST=a b', 'VIRTUAL_HOST'],
    ['VIRTUAL_PORT=0', 'VIRTUAL_PORT'],
    ['VIRTUAL_PORT=http', 'VIRTUAL_PORT'],
    ['VIRTUAL_PATH=~^/(a|b)/', 'VIRTUAL_PATH'],
    ['VIRTUAL_PATH=api', 'VIRTUAL_PATH'],
    ['VIRTUAL_PROTO=https', 'VIRTUAL_PROTO'],
    ['VIRTUAL_DEST=x', 'VIRTUAL_DEST'],
    ['VIRTUAL_HOST_MULTIPORTS={}', 'VIRTUAL_HOST_MULTIPORTS'],
  ])('%s is no such thing, and said', (variable, place) => {
    const { hosts, problems } = asked({ env: ['VIRTUAL_HOST=a', variable] });
    expect(hosts).toEqual([]);
    expect(problems[0]).toContain(place);
    expect(problems[0]).toContain('expected');
  });

  it('of several the good ones are served', () => {
    const { hosts, problems } = asked({ env: ['VIRTUAL_HOST=a,foo.*,b'] });
    expect(hosts.map(({ host }) => host)).toEqual(['a', 'b']);
    expect(problems).toHaveLength(1);
  });
});
