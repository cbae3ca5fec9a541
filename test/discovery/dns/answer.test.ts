// What an answer says of a name: priorities, weights, addresses that come with it, aliases, times.
import { describe, expect, it } from 'vitest';
import { addressesIn, servicesIn } from '../../../src/discovery/dns/answer.ts';
import { readMessage } from '../../../src/discovery/dns/message.ts';
import { BOUNDS } from '../../../src/model/bounds.ts';
import {
  answerBytes,
  type ScriptedAnswer,
  type ScriptedRecord,
} from '../../support/scripted-dns.ts';

const name = '_web._tcp.test';
const message = (answer: ScriptedAnswer) =>
  readMessage(answerBytes(1, { name, type: 'SRV' }, answer));
const srv = (data: string, ttl = 10): ScriptedRecord => ({ name, type: 'SRV', ttl, data });
const services = (...records: string[]) =>
  servicesIn(message({ answers: records.map((data) => srv(data)) }), name);
const shares = (...records: string[]) =>
  services(...records).instances.map(({ id, weight }) => `${id}=${weight}`);

describe('SRV records', () => {
  it('are instances by host and port, in one order', () => {
    const one = services('1 5 81 b.test', '1 7 80 a.test');
    const other = services('1 7 80 a.test', '1 5 81 b.test');
    expect(one).toEqual({
      instances: [
        { id: 'a.test:80', host: 'a.test', port: 80, weight: 7 },
        { id: 'b.test:81', host: 'b.test', port: 81, weight: 5 },
      ],
      ...{ problems: [], ttl: 10 },
    });
    expect(other).toEqual(one);
  });

  it('of the lowest priority number alone are used', () => {
    expect(shares('20 1 80 c.test', '10 1 80 a.test', '10 3 80 b.test')).toEqual([
      ...['a.test:80=1', 'b.test:80=3'],
    ]);
  });

  it('of weight 0 have a small share beside others, and the same where all have', () => {
    expect(shares('1 0 80 a.test', '1 1 80 b.test')).toEqual(['a.test:80=0.0625', 'b.test:80=1']);
    expect(shares('1 0 80 a.test', '1 0 80 b.test')).toEqual(['a.test:80=1', 'b.test:80=1']);
  });

  it('of the root, or none, say that nothing is there', () => {
    expect(services('0 0 0 .').instances).toEqual([]);
    expect(services().instances).toEqual([]);
  });

  it('without a port or a host are left out and reported', () => {
    const { instances, problems } = services('1 1 0 a.test', '1 1 80 b.test', '1 1 80 10.0.0.999');
    expect(instances.map(({ id }) => id)).toEqual(['b.test:80']);
    expect(problems).toHaveLength(2);
    expect(problems[0]).toContain('a.test:0: expected a host name and a port');
  });

  it('have the addresses that come with them, IPv4 before IPv6', () => {
    const six = 'fd00:0:0:0:0:0:0:1';
    const additionals: ScriptedRecord[] = [
      { name: 'a.test', type: 'AAAA', data: six },
      { name: 'a.test', type: 'A', data: '10.0.0.2' },
      { name: 'a.test', type: 'A', data: '10.0.0.1', ttl: 3 },
      { name: 'b.test', type: 'AAAA', data: six, ttl: 9 },
    ];
    const answers = [srv('1 1 80 a.test', 60), srv('1 1 81 b.test', 60), srv('1 1 82 c.test', 60)];
    const { instances, ttl } = servicesIn(message({ answers, additionals }), name);
    expect(instances.map(({ id, host }) => [id, host])).toEqual([
      ['a.test:80@10.0.0.1', '10.0.0.1'],
      ['a.test:80@10.0.0.2', '10.0.0.2'],
      ['b.test:81@fd00::1', 'fd00::1'],
      ['c.test:82', 'c.test'],
    ]);
    expect(ttl).toBe(1);
  });
});

describe('addresses', () => {
  const a = (of: string, data: string, ttl = 10): ScriptedRecord => ({
    name: of,
    type: 'A',
    ttl,
    data,
  });
  const alias = (of: string, data: string, ttl = 5): ScriptedRecord => {
    return { name: of, type: 'CNAME', ttl, data };
  };

  it('are behind aliases, and live as long as the shortest of them', () => {
    const answers = [
      a('real.test', '10.0.0.2'),
      a('real.test', '10.0.0.1'),
      alias(name, 'real.test'),
    ];
    expect(addressesIn(message({ answers }), name)).toEqual({
      ...{ list: ['10.0.0.1', '10.0.0.2'], ttl: 5 },
    });
  });

  it('of another name are none', () => {
    expect(addressesIn(message({ answers: [a('other.test', '10.0.0.1')] }), name).list).toEqual([]);
  });

  it('behind more aliases than are followed are none', () => {
    const { max } = BOUNDS.dnsAliases;
    const chain = (count: number) => [
      ...Array.from({ length: count }, (_, i) =>
        alias(i === 0 ? name : `a${i}.test`, `a${i + 1}.test`),
      ),
      a(`a${count}.test`, '10.0.0.1'),
    ];
    expect(addressesIn(message({ answers: chain(max - 1) }), name).list).toEqual(['10.0.0.1']);
    expect(addressesIn(message({ answers: chain(max) }), name).list).toEqual([]);
  });

  it('behind aliases in a circle are none', () => {
    const answers = [alias(name, 'b.test'), alias('b.test', name)];
    expect(addressesIn(message({ answers }), name).list).toEqual([]);
  });

  it('that are not there are not there for as long as the authority says', () => {
    const authorities: ScriptedRecord[] = [{ name: 'test', type: 'SOA', ttl: 90, data: '30' }];
    expect(addressesIn(message({ authorities, code: 3 }), name)).toEqual({ list: [], ttl: 30 });
    expect(addressesIn(message({ code: 3 }), name)).toEqual({ list: [], ttl: 5 });
  });
});
