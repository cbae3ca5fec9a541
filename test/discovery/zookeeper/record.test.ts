// What the data of znodes says, in the forms that registrars write.
import { describe, expect, it } from 'vitest';
import { readZnode } from '../../../src/discovery/zookeeper/record.ts';
import { BOUNDS } from '../../../src/model/bounds.ts';

const read = (data: unknown, isEphemeral = true) =>
  readZnode('n1', Buffer.from(typeof data === 'string' ? data : JSON.stringify(data)), isEphemeral);

const at = (host: string, port: number, more: object = {}) => ({
  ...{ kind: 'instance', host, port, weight: 1, tags: [], ...more },
});

describe('an instance', () => {
  it.each([
    ['nerve', { host: '10.0.0.1', port: 80, name: 'i' }, at('10.0.0.1', 80)],
    ['nerve with a weight', { host: 'H1', port: 80, weight: 5 }, at('h1', 80, { weight: 5 })],
    [
      'nerve with labels',
      { host: 'h', port: 80, labels: { az: 'a', n: 2, deep: {} } },
      at('h', 80, { tags: ['az=a', 'n=2'] }),
    ],
    [
      'a serverset',
      { serviceEndpoint: { host: 'h', port: 80 }, additionalEndpoints: {}, status: 'ALIVE' },
      at('h', 80),
    ],
    [
      'Curator',
      { name: 'web', id: 'x', address: '10.0.0.1', port: 80, sslPort: null, payload: null },
      at('10.0.0.1', 80),
    ],
    ['Curator with TLS alone', { address: 'h', port: null, sslPort: 443 }, at('h', 443)],
    [
      'Spring Cloud',
      { address: 'h', port: 1, payload: { metadata: { instance_status: 'UP', v: '2' } } },
      at('h', 1, { tags: ['instance_status=UP', 'v=2'] }),
    ],
    [
      'Registrator',
      { Name: 'web', IP: '10.0.0.1', PublicPort: 80, Tags: ['a', 7], Attrs: { b: 'c' } },
      at('10.0.0.1', 80, { tags: ['b=c', 'a'] }),
    ],
    ['IPv6', { host: '[fd00::1]', port: 80 }, at('fd00::1', 80)],
    ['plain text', '10.0.0.1:80\n', at('10.0.0.1', 80)],
  ])('of %s', (_, data, expected) => {
    expect(read(data)).toEqual(expected);
  });
});

describe('no instance', () => {
  it.each([
    ['a serverset that is not alive', { serviceEndpoint: { host: 'h', port: 1 }, status: 'DEAD' }],
    ['Curator, disabled', { address: 'h', port: 1, enabled: false }],
    [
      'Spring Cloud, out of service',
      { address: 'h', port: 1, payload: { metadata: { instance_status: 'OUT_OF_SERVICE' } } },
    ],
  ])('is %s', (_, data) => {
    expect(read(data)).toEqual({ kind: 'none' });
  });

  it('is a folder, whatever stands in it', () => {
    expect(read('', false)).toEqual({ kind: 'none' });
    expect(read('10.0.0.7', false)).toEqual({ kind: 'none' });
    expect(read('x'.repeat(BOUNDS.zookeeperValue.max + 1), false)).toEqual({ kind: 'none' });
  });
});

describe('what is wrong', () => {
  it.each([
    ['', "znode 'n1': '': expected JSON with host and port, or HOST:PORT"],
    ['{', "znode 'n1': '{': is no JSON"],
    [{ port: 80 }, 'host: expected an IP address or a host name'],
    [{ host: 'a b', port: 80 }, 'host: expected an IP address or a host name'],
    [{ host: 'h' }, 'port: expected a number from 1 to 65535'],
    [{ host: 'h', port: 70_000 }, 'port: expected a number from 1 to 65535'],
    [{ host: 'h', port: 80, weight: -1 }, 'weight: expected a number from 0 to 1000000'],
    ['x'.repeat(BOUNDS.zookeeperValue.max + 1), "znode 'n1': has more than 65536 bytes"],
  ])('is told: %j', (data, text) => {
    expect(read(data)).toEqual({ kind: 'problem', text: expect.stringContaining(text) });
  });
});
