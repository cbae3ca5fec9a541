import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { canonicalName, pathBelow, placesOf } from '../../src/discovery/etcd/layout.ts';
import { type Reading, readingsOf, readRecord } from '../../src/discovery/key-record.ts';

const backends = { layout: 'backends', tagPrefix: 'upriver' } as const;
const skydns = { layout: 'skydns', tagPrefix: 'upriver' } as const;

const instance = (host: string, port: number, weight = 1): Reading => {
  return { kind: 'instance', host, port, weight };
};

describe('a value', () => {
  it.each([
    // docker-register and Registrator.
    ['10.0.0.5:49153', instance('10.0.0.5', 49_153)],
    ['[fd00::1]:8001', instance('fd00::1', 8001)],
    // docker-register with HOST_IP of IPv6.
    ['fd00::1:8001', instance('fd00::1', 8001)],
    ['::ffff:10.0.0.1:80', instance('::ffff:10.0.0.1', 80)],
    ['Web-1.example.com:80', instance('web-1.example.com', 80)],
    [' 10.0.0.5:1 \n', instance('10.0.0.5', 1)],
    // Registrator's skydns2, SkyDNS and nerve.
    ['{"host":"10.0.0.5","port":8001}', instance('10.0.0.5', 8001)],
    ['{"host":"10.0.0.5","port":8001,"weight":5,"name":"i-1"}', instance('10.0.0.5', 8001, 5)],
    ['{"host":"[::1]","port":"8001"}', instance('::1', 8001)],
    ['{"host":"10.0.0.5","port":8001,"weight":0}', instance('10.0.0.5', 8001, 0)],
    ['{"host":"10.0.0.5","port":8001,"weight":null,"ttl":30}', instance('10.0.0.5', 8001)],
  ])('%j is an instance', (value, expected) => {
    expect(readRecord('a1b2', value, backends)).toEqual(expected);
  });

  it('of SkyDNS with weight 0 says nothing of its weight', () => {
    const value = '{"host":"10.0.0.5","port":8001,"priority":10,"weight":0}';
    expect(readRecord('a', value, skydns)).toEqual(instance('10.0.0.5', 8001));
  });

  it.each([
    ['', 'expected IP:PORT'],
    ['10.0.0.5', 'expected IP:PORT'],
    ['10.0.0.5:0', 'expected IP:PORT'],
    ['10.0.0.5:65536', 'expected IP:PORT'],
    ['10.0.0.5:http', 'expected IP:PORT'],
    ['10.0.0.256:80', 'expected IP:PORT'],
    ['010.0.0.1:80', 'expected IP:PORT'],
    ['[10.0.0.1]:80', 'expected IP:PORT'],
    ['[fe80::1%eth0]:80', 'expected IP:PORT'],
    [':80', 'expected IP:PORT'],
    ['http://10.0.0.5:80', 'expected IP:PORT'],
    ['a b:80', 'expected IP:PORT'],
    ['{"host":"10.0.0.5"', 'is no JSON'],
    ['{"host":"10.0.0.5"}', 'port: expected a number from 1 to 65535'],
    ['{"port":80}', 'host: expected an IP address or a host name'],
    ['{"host":5,"port":80}', 'host: expected'],
    ['{"host":"a","port":80,"weight":-1}', 'weight: expected a number from 0'],
    ['{"host":"a","port":80,"weight":"5"}', 'weight: expected a number from 0'],
    // Bounds: etcdValue
    ['x'.repeat(5000), 'longer than 4096 characters'],
  ])('%.40j is a problem', (value, why) => {
    const reading = readRecord('a1b2', value, backends);
    expect(reading.kind).toBe('problem');
    expect(reading.kind === 'problem' && reading.text).toContain(`key 'a1b2': `);
    expect(reading.kind === 'problem' && reading.text).toContain(why);
  });

  it('shows nothing that acts', () => {
    const reading = readRecord('\u001b[2J', '\u001b[31mred\u202e', backends);
    expect(JSON.stringify(reading)).not.toMatch(/\\u001b|\u202e/);
  });

  it.each(['8000', '1', '65535', ' 80\n'])('%j of the key port is a port', (value) => {
    expect(readRecord('port', value, backends)).toEqual({ kind: 'port', port: Number(value) });
  });

  it.each(['', '0', '65536', '80/tcp', '-1', '1e3', '/run/web.sock', '10.0.0.1:80'])(
    '%j of the key port is a problem',
    (value) => {
      const reading = readRecord('port', value, backends);
      expect(reading).toMatchObject({ kind: 'problem' });
      expect(reading.kind === 'problem' && reading.text).toContain('expected a port');
    },
  );

  it('of a key with our prefix is a setting, and of a port in SkyDNS none', () => {
    expect(readRecord('upriver.health.path', '/ok', backends)).toEqual({
      ...{ kind: 'setting', key: 'health.path', value: '/ok' },
    });
    expect(readRecord('upriver.', '10.0.0.1:80', backends).kind).toBe('instance');
    expect(readRecord('port', '8000', skydns).kind).toBe('problem');
  });

  it('never throws, and an instance is one that can be connected to', () => {
    fc.assert(
      fc.property(
        fc.string(),
        fc.oneof(fc.string(), fc.json()),
        fc.boolean(),
        (leaf, value, is) => {
          const reading = readRecord(leaf, value, is ? skydns : backends);
          if (reading.kind !== 'instance') return;
          expect(reading.port).toBeGreaterThan(0);
          expect(reading.port).toBeLessThan(65_536);
          expect(reading.weight).toBeGreaterThanOrEqual(0);
          expect(reading.host).toMatch(/^[0-9a-z_.:-]+$/);
        },
      ),
    );
  });

  it('reads back every address that is written', () => {
    const host = fc.oneof(fc.ipV4(), fc.ipV6(), fc.domain());
    const port = fc.integer({ min: 1, max: 65_535 });
    fc.assert(
      fc.property(host, port, (name, number) => {
        const written = name.includes(':') ? `[${name}]:${number}` : `${name}:${number}`;
        const expected = instance(name.toLowerCase(), number);
        expect(readRecord('a', written, backends)).toEqual(expected);
        const json = JSON.stringify({ host: name, port: number });
        expect(readRecord('a', json, backends)).toEqual(expected);
      }),
    );
  });
});

it('of Registrator tells by its name that the instance is of UDP', () => {
  const reading = { kind: 'instance', host: '10.0.0.1', port: 53, weight: 1 } as const;
  const keys = ['h:dns:53', 'h:dns:53:udp', 'udp'];
  const records = new Map(keys.map((key) => [key, { reading, created: 1 }]));
  const told = readingsOf(records).instances.map(({ id, transport }) => [id, transport]);
  expect(told).toEqual([
    ['h:dns:53', undefined],
    ['h:dns:53:udp', 'udp'],
    ['udp', undefined],
  ]);
});

describe('a key', () => {
  it.each([
    ['whoami/a1b2c3', [['whoami', 'a1b2c3']]],
    ['whoami-8000/port', [['whoami-8000', 'port']]],
    ['team/group/api/a1b2c3', [['team/group/api', 'a1b2c3']]],
    ['web/host:web_1:80', [['web', 'host:web_1:80']]],
    ['//web//a/', [['web', 'a']]],
    ['alone', []],
    ['', []],
    // Bounds: etcdDepth
    [`${'d/'.repeat(16)}a`, []],
    // Bounds: etcdKey
    [`web/${'x'.repeat(1100)}`, []],
  ])('%.40j belongs to %j', (path, places) => {
    const found = placesOf(path, 'backends').map(({ service, leaf }) => [service, leaf]);
    expect(found).toEqual(places);
  });

  it('of SkyDNS belongs to its domain and all above', () => {
    const found = placesOf('local/Cluster/web/a', 'skydns');
    expect(found.map(({ service, leaf }) => [service, leaf])).toEqual([
      ['local', 'cluster/web/a'],
      ['cluster.local', 'web/a'],
      ['web.cluster.local', 'a'],
      ['a.web.cluster.local', '@'],
    ]);
  });

  it('is below its prefix by whole parts', () => {
    expect(pathBelow('/backends', '/backends/web/a')).toBe('web/a');
    expect(pathBelow('/backends', '/backends2/web/a')).toBeNull();
    expect(pathBelow('/backends', '/backends')).toBeNull();
    expect(pathBelow('', '/web/a')).toBe('web/a');
  });

  it('is named by `from.service` however that is written', () => {
    expect(canonicalName('/team//api/', 'backends')).toBe('team/api');
    expect(canonicalName('Web.Cluster.Local.', 'skydns')).toBe('web.cluster.local');
  });
});
