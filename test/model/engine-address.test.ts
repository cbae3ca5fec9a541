import { expect, it } from 'vitest';
import { parseEngineAddress } from '../../src/model/engine-address.ts';

it.each([
  ['unix:///var/run/docker.sock', false, 'unix:///var/run/docker.sock'],
  ['unix://var/run/docker.sock', false, 'unix:///var/run/docker.sock'],
  ['/run/podman/podman.sock', false, 'unix:///run/podman/podman.sock'],
  ['tcp://10.0.0.1:2375', false, 'http://10.0.0.1:2375'],
  ['tcp://10.0.0.1', false, 'http://10.0.0.1:2375'],
  ['tcp://10.0.0.1', true, 'https://10.0.0.1:2376'],
  ['tcp://engine:443/', true, 'https://engine:443'],
  ['https://engine', false, 'https://engine:2376'],
  ['http://engine:80', true, 'http://engine:80'],
  ['[::1]:2375', false, 'http://[::1]:2375'],
  ['engine:2375', true, 'https://engine:2375'],
])('%s (TLS %s) is %s', (text, isTls, url) => {
  expect(parseEngineAddress(text, isTls).url).toBe(url);
});

it('tells the host of an engine, and none of a socket', () => {
  expect(parseEngineAddress('tcp://[fd00::1]:2375').host).toBe('fd00::1');
  expect(parseEngineAddress('/run/docker.sock')).toMatchObject({
    host: '',
    socketPath: '/run/docker.sock',
  });
});

it.each([
  ...['', 'ssh://user@host', 'npipe:////./pipe/docker_engine', 'fd://', 'tcp://', 'tcp://a:b'],
  ...['tcp://user:secret@host:2375', 'http://host:2375/v1.41', 'unix://', `/${'x'.repeat(120)}`],
  ...['tcp://host:99999', 'docker', 'host:x'],
])('%s is refused, with what was expected', (text) => {
  expect(() => parseEngineAddress(text)).toThrow(/expected/);
});

it('names what it refuses without user and password', () => {
  const told = () => parseEngineAddress('tcp://user:s3cr3t@127.0.0.1:1');
  expect(told).toThrow('tcp://***@127.0.0.1:1');
  expect(told).not.toThrow('s3cr3t');
});
