// Answers of a DNS server: bytes, written as text of one character each.
import { ok } from 'node:assert/strict';
import { codeOf } from '../../src/base/coded-error.ts';
import { parseIp } from '../../src/base/ip-address.ts';
import { addressesIn, type Said, servicesIn } from '../../src/discovery/dns/answer.ts';
import { type DnsMessage, readMessage } from '../../src/discovery/dns/message.ts';
import { isHost } from '../../src/discovery/host-port.ts';
import { answerBytes, type ScriptedAnswer } from '../support/scripted-dns.ts';
import type { FuzzTarget } from './target.ts';

const name = '_web._tcp.test';
const usual: ScriptedAnswer = {
  answers: [
    { name, type: 'CNAME', ttl: 60, data: 'real.test' },
    { name: 'real.test', type: 'SRV', ttl: 5, data: '1 0 8080 one.test' },
    { name: 'real.test', type: 'SRV', ttl: 5, data: '1 9 8081 two.test' },
    { name: 'real.test', type: 'A', data: '10.0.0.3' },
  ],
  authorities: [{ name: 'test', type: 'SOA', data: '30' }],
  additionals: [
    { name: 'one.test', type: 'A', data: '10.0.0.1' },
    { name: 'two.test', type: 'AAAA', data: 'fd00:0:0:0:0:0:0:1' },
  ],
};
const textOf = (answer: ScriptedAnswer) =>
  answerBytes(7, { name, type: 'SRV' }, answer).toString('latin1');

function read(bytes: Buffer): DnsMessage | null {
  try {
    return readMessage(bytes);
  } catch (error) {
    ok(codeOf(error) === 'bad-message', String(error));
    return null;
  }
}

function checkServices({ instances, problems, ttl }: Said): void {
  ok(ttl >= 0 && Number.isFinite(ttl), `a time to live of ${ttl}`);
  ok(new Set(instances.map(({ id }) => id)).size === instances.length, 'an id twice');
  for (const { id, host, port, weight } of instances) {
    ok(id.length < 600 && isHost(host), `the host ${host}`);
    ok(port >= 1 && port <= 65_535, `port ${port}`);
    ok(weight > 0 && weight <= 65_535, `weight ${weight}`);
  }
  for (const problem of problems) ok(problem.length < 1200, 'a long problem');
}

export const dnsTarget: FuzzTarget = {
  name: 'dns',
  seeds: [textOf(usual), textOf({ ...usual, code: 3, answers: [] }), textOf({})],
  morsels: ['\xc0\x0c', '\xc0\x1c', '\x00', '\x3f', '\xff\xff', '\x00\x21\x00\x01', '\x01a\x00'],
  check: (input) => {
    const bytes = Buffer.from(input, 'latin1').subarray(0, 65_535);
    const message = read(bytes);
    if (message === null) return;
    const { answers, authorities, additionals, questions } = message;
    const records = [...answers, ...authorities, ...additionals];
    // A record has 11 bytes at least, a question 5.
    ok(records.length * 11 + questions.length * 5 <= bytes.length, 'more than there is');
    for (const record of records) {
      // Each byte of a name is four characters at the most.
      ok(record.name.length <= 4 * 255, 'a long name');
      if (record.data.kind === 'address') ok(parseIp(record.data.address) !== null, 'no address');
    }
    checkServices(servicesIn(message, name));
    for (const address of addressesIn(message, name).list) ok(parseIp(address) !== null);
  },
};
