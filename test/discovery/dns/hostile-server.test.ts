// What a DNS server, or whoever answers in its place, may send to stretch memory or time, or to be believed.
import { afterEach, describe, expect, it } from 'vitest';
import { servicesIn } from '../../../src/discovery/dns/answer.ts';
import { NodeWire } from '../../../src/discovery/dns/door.ts';
import { readMessage } from '../../../src/discovery/dns/message.ts';
import { DnsProvider } from '../../../src/discovery/dns/provider.ts';
import { nodeDoors } from '../../../src/doors.ts';
import { BOUNDS } from '../../../src/model/bounds.ts';
import { plainSource } from '../../../src/model/source.ts';
import { keepingLogger, Receiver, untilTrue } from '../../support/discovery.ts';
import {
  answerBytes,
  type RawAnswer,
  type Script,
  type ScriptedAnswer,
  startDns,
} from '../../support/scripted-dns.ts';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean();
});

const NAME = 'web.test';
const SERVICE = `${NAME}:80`;
const QUESTION = { name: NAME, type: 'A' } as const;
const good: ScriptedAnswer = { answers: [{ ...QUESTION, ttl: 1, data: '10.0.0.1' }] };

function numbers(bytes: number, ...values: number[]): Buffer {
  const buffer = Buffer.alloc(bytes * values.length);
  for (const [i, value] of values.entries()) buffer.writeUIntBE(value, i * bytes, bytes);
  return buffer;
}

/** CPU time of this thread, ms. */
function cost(work: () => unknown): number {
  const before = process.threadCpuUsage();
  work();
  const { user, system } = process.threadCpuUsage(before);
  return (user + system) / 1000;
}

/** An answer of records that point to a name of 126 labels, whose bytes must be escaped. */
function pointingRecords(count: number): Buffer {
  const long = Buffer.concat([...Array<Buffer>(126).fill(Buffer.from([1, 1])), Buffer.of(0)]);
  const alias = Buffer.concat([numbers(2, 0xc00c, 5, 1), numbers(4, 5), numbers(2, 2, 0xc00c)]);
  const head = numbers(2, 7, 0x8180, 1, count, 0, 0);
  return Buffer.concat([head, long, numbers(2, 1, 1), ...Array<Buffer>(count).fill(alias)]);
}

describe('a message', () => {
  it('with thousands of pointers to one long name is read in no time', () => {
    const bytes = pointingRecords(4000);
    expect(bytes.length).toBeLessThan(65_536);
    expect(cost(() => expect(readMessage(bytes).answers).toHaveLength(4000))).toBeLessThan(60);
  });

  // Bounds: dnsRecords
  it('with more records than are taken is refused', () => {
    expect(() => readMessage(pointingRecords(4096))).toThrow('more than 4,096 records');
    const counted = numbers(2, 7, 0x8180, 0xffff, 0xffff, 0xffff, 0xffff);
    expect(() => readMessage(counted)).toThrow('more than 4,096 records');
  });

  it('whose records and addresses multiply gives no more instances than are taken', () => {
    const name = '_web._tcp.test';
    const answers = Array.from({ length: 1500 }, (_, i) => {
      return { name, type: 'SRV' as const, data: `1 1 ${i + 1} h.test` };
    });
    const additionals = Array.from({ length: 1500 }, (_, i) => {
      return { name: 'h.test', type: 'A' as const, data: `10.0.${i >> 8}.${i & 255}` };
    });
    const message = readMessage(answerBytes(7, { name, type: 'SRV' }, { answers, additionals }));
    const { instances } = servicesIn(message, name);
    expect(instances.length).toBeGreaterThan(BOUNDS.listedInstances.max);
    expect(instances.length).toBeLessThanOrEqual(BOUNDS.listedInstances.max + 64);
    expect(instances.filter(({ port }) => port === 1)).toHaveLength(64);
  });
});

/** Follows NAME at a server that answers well at first. */
async function follow(transport: 'tcp' | 'udp') {
  const dns = await startDns(() => good);
  cleanups.push(() => dns.stop());
  const clock = {
    ...nodeDoors.clock,
    setTimer: (ms: number, run: () => void) => nodeDoors.clock.setTimer(ms / 50, run),
  };
  const provider = new DnsProvider({
    settings: {
      servers: [{ address: '127.0.0.1', port: dns.port }],
      ...{ transport, timeoutMs: 150, endpointDeny: [] },
    },
    ...{ clock, log: keepingLogger().log, random: () => 0, wire: new NodeWire() },
  });
  cleanups.push(() => provider.stop());
  const receiver = new Receiver();
  provider.follow([plainSource('dns', SERVICE)]);
  provider.start(receiver.take);
  await receiver.until(() => receiver.ids(SERVICE).length === 1, 'the address');
  const failing = (text: string) =>
    untilTrue(
      () => provider.status().lastError.includes(text),
      () => `${text}, but: ${provider.status().lastError}`,
    );
  return { dns, provider, receiver, failing };
}

/** An answer with this length before it, which may be another than its own. */
function framed(length: (own: number) => number, more = 0): RawAnswer {
  return (id) => {
    const answer = answerBytes(id, QUESTION, { answers: [{ ...QUESTION, data: '10.6.6.6' }] });
    return Buffer.concat([numbers(2, length(answer.length)), answer, Buffer.alloc(more)]);
  };
}

const forged: ScriptedAnswer = { answers: [{ ...QUESTION, data: '10.6.6.6' }] };

describe('by TCP, an answer', () => {
  it.each([
    ['that is shorter than its length', 'no answer within', () => framed((own) => own + 1)],
    ['whose length is more than it may be', 'no answer within', () => framed(() => 0xffff)],
    ['that is longer than its length', 'sent too much', () => framed((own) => own - 1)],
    ['that goes on and on', 'sent too much', () => framed((own) => own, 1_000_000)],
    ['of length 0', 'sent too much', () => framed(() => 0)],
    ['of length 0 and no more', 'ends too early', () => () => numbers(2, 0)],
    ['that is said to be cut', 'the answer is cut', () => ({ ...forged, isTruncated: true })],
    ['with another number', 'another question', () => ({ ...forged, id: 1 })],
    ['about another name', 'another question', () => ({ ...forged, about: 'other.test' })],
    ['that closes instead', 'closed', () => 'close'],
  ] as [string, string, Script][])('%s changes nothing', async (_, why, script) => {
    const { dns, receiver, failing } = await follow('tcp');
    dns.script = script;
    await failing(why);
    expect(receiver.endpoints(SERVICE).map(({ address }) => address)).toEqual(['10.0.0.1']);
    dns.script = () => ({ answers: [{ ...QUESTION, data: '10.0.0.2' }] });
    await receiver.until(
      () => receiver.endpoints(SERVICE).some(({ address }) => address === '10.0.0.2'),
      'the next good answer',
    );
  });
});

describe('by UDP, datagrams', () => {
  // Bounds: dnsOthers
  it('with other numbers are passed over, however many come', async () => {
    const { dns, receiver, provider } = await follow('udp');
    dns.script = () => [
      ...Array.from({ length: 60 }, (_, i) => ({ ...forged, id: i })),
      { answers: [{ ...QUESTION, data: '10.0.0.2' }] },
    ];
    await receiver.until(
      () => receiver.endpoints(SERVICE).some(({ address }) => address === '10.0.0.2'),
      'the answer among them',
    );
    expect(provider.status().errors).toBe(0);
  });

  it('of the server that answer nothing end the question after some', async () => {
    const { dns, receiver, failing } = await follow('udp');
    dns.script = () => Array<ScriptedAnswer>(17).fill({ ...forged, about: 'other.test' });
    await failing('more than 16 datagrams');
    expect(receiver.endpoints(SERVICE).map(({ address }) => address)).toEqual(['10.0.0.1']);
  });
});
