// Names followed on a scripted DNS server, by real sockets; time is the test's where it matters.
import { afterEach, describe, expect, it } from 'vitest';
import { NodeWire } from '../../../src/discovery/dns/door.ts';
import { DnsProvider } from '../../../src/discovery/dns/provider.ts';
import { nodeDoors } from '../../../src/doors.ts';
import type { DnsSettings } from '../../../src/model/registries/dns.ts';
import { plainSource } from '../../../src/model/source.ts';
import { keepingLogger, Receiver, untilTrue } from '../../support/discovery.ts';
import {
  NXDOMAIN,
  type Script,
  type ScriptedAnswer,
  type ScriptedDns,
  SERVFAIL,
  startDns,
} from '../../support/scripted-dns.ts';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean();
});

const WEB = '_web._tcp.test';
const SIXTEEN = Array.from({ length: 16 }, (_, i) => `10.0.0.${i + 1}`);

/** SRV records of WEB on port 80, one host for each address, whose address comes with it. */
function web(...addresses: string[]): ScriptedAnswer {
  const host = (address: string) => `h${address.replaceAll('.', '-')}.test`;
  return {
    answers: addresses.map((data) => ({ name: WEB, type: 'SRV', data: `1 1 80 ${host(data)}` })),
    additionals: addresses.map((data) => ({ name: host(data), type: 'A', data })),
  };
}

const a = (name: string, ...addresses: string[]): ScriptedAnswer => ({
  answers: addresses.map((data) => ({ name, type: 'A', data })),
});

async function server(script: Script): Promise<ScriptedDns> {
  const dns = await startDns(script);
  cleanups.push(() => dns.stop());
  return dns;
}

/** Waits are shortened, so that nothing waits for seconds of a time to live. */
function start(servers: readonly ScriptedDns[], service = WEB, more: Partial<DnsSettings> = {}) {
  const waits: number[] = [];
  const clock = {
    ...nodeDoors.clock,
    setTimer: (ms: number, run: () => void) => {
      waits.push(ms);
      return nodeDoors.clock.setTimer(ms / 50, run);
    },
  };
  const { log, lines } = keepingLogger();
  const provider = new DnsProvider({
    settings: {
      servers: servers.map(({ port }) => ({ address: '127.0.0.1', port })),
      ...{ transport: 'tcp', timeoutMs: 1000, endpointDeny: [], ...more },
    },
    ...{ clock, log, random: () => 0, wire: new NodeWire() },
  });
  cleanups.push(() => provider.stop());
  const receiver = new Receiver();
  provider.follow([plainSource('dns', service)]);
  provider.start(receiver.take);
  const addresses = () => receiver.endpoints(service).map((one) => `${one.address}:${one.port}`);
  const has = (...expected: string[]) =>
    receiver.until(
      () => receiver.last(service) !== null && addresses().join() === expected.join(),
      expected.join() || 'nothing',
    );
  const failing = (text: string) =>
    untilTrue(
      () => provider.status().lastError.includes(text),
      () => `${text}, but: ${provider.status().lastError}`,
    );
  const doubts = () =>
    receiver
      .about(service)
      .map(({ update }) => (update.kind === 'upsert' ? update.service.doubt : 'gone'));
  return { provider, receiver, addresses, has, failing, doubts, waits, lines };
}

/** Resolves when so many more questions have been asked. */
function asks(dns: ScriptedDns, count: number): Promise<void> {
  const until = dns.asked.length + count;
  return untilTrue(
    () => dns.asked.length >= until,
    () => 'no further question',
  );
}

describe('a name of SRV records', () => {
  it('is followed as its records change, over one connection', async () => {
    const dns = await server(() => web('10.0.0.1'));
    const { provider, has, receiver } = start([dns]);
    await has('10.0.0.1:80');
    expect(provider.status()).toMatchObject({
      ...{ isSynced: true, lastError: '', watches: 1, address: `127.0.0.1:${dns.port}` },
    });
    await asks(dns, 2);
    expect(receiver.all, 'the same changes nothing').toHaveLength(1);
    dns.script = () => web('10.0.0.1', '10.0.0.2');
    await has('10.0.0.1:80', '10.0.0.2:80');
    expect(new Set(dns.asked.map(({ type, transport }) => `${type} ${transport}`))).toEqual(
      new Set(['SRV tcp']),
    );
    expect(dns.connections).toBe(1);
  });

  it.each([
    [0, 1000],
    [30, 30_000],
    [86_400, 300_000],
  ])('with a time to live of %i s is asked again after %i ms', async (ttl, ms) => {
    const dns = await server(({ type }) =>
      type === 'A'
        ? a('10-1.test', '10.0.0.1')
        : { answers: [{ name: WEB, type: 'SRV', ttl, data: '1 1 80 10-1.test' }] },
    );
    const { has, waits } = start([dns]);
    await has('10.0.0.1:80');
    expect(waits).toContain(ms);
  });

  it('has its hosts resolved by the same server, with the ids of addresses that come along', async () => {
    const dns = await server(({ type }) =>
      type === 'A' ? a('h10-0-0-1.test', '10.0.0.1') : { answers: web('10.0.0.1').answers! },
    );
    const { has, receiver } = start([dns]);
    await has('10.0.0.1:80');
    const [id] = receiver.ids(WEB);
    dns.script = () => web('10.0.0.1');
    await asks(dns, 2);
    expect(receiver.ids(WEB)).toEqual([id]);
  });

  it.each([
    ['NXDOMAIN', NXDOMAIN],
    ['no records', {}],
  ])('is empty when it is missing twice in a row: %s', async (_, absent) => {
    const dns = await server(() => web('10.0.0.1'));
    const { has, addresses, receiver } = start([dns]);
    await has('10.0.0.1:80');
    let absences = 0;
    dns.script = () => {
      absences += 1;
      return absences === 1 ? absent : web('10.0.0.1');
    };
    await asks(dns, 3);
    expect(addresses(), 'missing once').toEqual(['10.0.0.1:80']);
    expect(receiver.all).toHaveLength(1);
    dns.script = () => absent;
    await has();
    expect(receiver.last(WEB)!.service.doubt).toBe('');
  });

  it('that never was there is known to be empty', async () => {
    const { provider, has } = start([await server(() => NXDOMAIN)]);
    await has();
    expect(provider.status()).toMatchObject({ isSynced: true, lastError: '' });
  });
});

describe('a name with a port', () => {
  it('is its IPv4 addresses', async () => {
    const dns = await server(({ name }) => a(name, '10.0.0.2', '10.0.0.1'));
    const { has } = start([dns], 'web.test:8080');
    await has('10.0.0.1:8080', '10.0.0.2:8080');
    expect(dns.asked.map(({ type }) => type)).not.toContain('AAAA');
  });

  it('is its IPv6 addresses where it has no others', async () => {
    const dns = await server(({ name, type }) =>
      type === 'A' ? {} : { answers: [{ name, type: 'AAAA', data: 'fd00:0:0:0:0:0:0:1' }] },
    );
    const { receiver } = start([dns], 'web.test:8080');
    await receiver.until(() => receiver.ids('web.test:8080').length > 0, 'IPv6');
    expect(receiver.endpoints('web.test:8080')).toMatchObject([{ address: 'fd00::1', port: 8080 }]);
  });

  it('keeps its addresses where the other kind can not be asked', async () => {
    const dns = await server(({ name }) => a(name, '10.0.0.1'));
    const { has, failing, addresses } = start([dns], 'web.test:8080');
    await has('10.0.0.1:8080');
    dns.script = ({ type }) => (type === 'A' ? {} : SERVFAIL);
    await failing('SERVFAIL');
    expect(addresses()).toEqual(['10.0.0.1:8080']);
  });
});

describe('a server', () => {
  it.each([
    ['SERVFAIL', () => SERVFAIL, 'SERVFAIL'],
    ['REFUSED', () => ({ code: 5 }), 'REFUSED'],
    ['silence', () => null, 'no answer within 300 ms'],
    ['a cut', () => 'close', 'closed'],
    ['an answer to another question', () => ({ about: 'other.test' }), 'another question'],
    ['another number', () => ({ id: 70_000 % 65_536 }), 'another question'],
    ['a cut answer by TCP', () => ({ ...web('10.0.0.9'), isTruncated: true }), 'is cut'],
  ] as [string, Script, string][])('that gives %s leaves what it said', async (_, bad, text) => {
    const dns = await server(() => web('10.0.0.1'));
    const { provider, has, failing, receiver } = start([dns], WEB, { timeoutMs: 300 });
    await has('10.0.0.1:80');
    dns.script = bad;
    await failing(text);
    await asks(dns, 2);
    expect(receiver.all).toHaveLength(1);
    expect(provider.status().isSynced).toBe(true);
  });

  it('is doubted in what it lacks after a failure', async () => {
    const dns = await server(() => web('10.0.0.1', '10.0.0.2'));
    const { has, failing, doubts, receiver } = start([dns]);
    await has('10.0.0.1:80', '10.0.0.2:80');
    dns.script = () => SERVFAIL;
    await failing('SERVFAIL');
    dns.script = () => web('10.0.0.1');
    await has('10.0.0.1:80');
    await receiver.until(() => doubts().at(-1) === '', 'settled');
    expect(doubts()).toEqual(['', 'first answer after a failure', '']);
  });

  it('that fails hands over to the next, which stays', async () => {
    const one = await server(() => web('10.0.0.1'));
    const two = await server(() => web('10.0.0.1'));
    const { provider, has, receiver, lines } = start([one, two]);
    await has('10.0.0.1:80');
    expect(two.asked).toEqual([]);
    await one.stop();
    await asks(two, 3);
    const { address, lastError } = provider.status();
    expect({ address, lastError }).toEqual({ address: `127.0.0.1:${two.port}`, lastError: '' });
    expect(receiver.endpoints(WEB)).toHaveLength(1);
    expect(JSON.stringify(lines)).toContain('another DNS server is used');
    // The cleanup stops it again.
    cleanups.splice(0, 1);
  });

  it('that closes idle connections is asked over another, and that is no failure', async () => {
    let count = 0;
    const dns = await server(() => {
      count += 1;
      return count % 2 === 0 ? 'close' : web('10.0.0.1');
    });
    const { provider, has } = start([dns]);
    await has('10.0.0.1:80');
    await asks(dns, 6);
    expect(provider.status().errors).toBe(0);
    expect(dns.connections).toBeGreaterThan(2);
  });
});

describe('by UDP', () => {
  it('an answer that is marked as cut is asked for by TCP', async () => {
    const dns = await server(({ transport }) =>
      transport === 'udp' ? { ...web('10.0.0.1'), isTruncated: true } : web(...SIXTEEN),
    );
    const { receiver } = start([dns], WEB, { transport: 'udp' });
    await receiver.until(() => receiver.ids(WEB).length === 16, 'the whole answer');
    expect(dns.asked.slice(0, 2).map(({ transport }) => transport)).toEqual(['udp', 'tcp']);
  });

  it('a datagram that is no answer to the question is passed over', async () => {
    const forged = { ...web('10.6.6.6') };
    const dns = await server(() => [
      { ...forged, id: 1 },
      { ...forged, about: 'other.test' },
      web('10.0.0.1'),
    ]);
    const { has, doubts, provider } = start([dns], WEB, { transport: 'udp' });
    await has('10.0.0.1:80');
    await asks(dns, 2);
    expect(doubts()).toEqual(['']);
    expect(provider.status().errors).toBe(0);
  });
});

describe('records of _udp', () => {
  it.each(['_dns._udp.test', '_dns._tcp.test'])('tell their transport: %s', async (name) => {
    const dns = await server(() => ({
      answers: [{ name, type: 'SRV', data: '1 1 53 h.test' }],
      additionals: [{ name: 'h.test', type: 'A', data: '10.0.0.1' }],
    }));
    const { receiver } = start([dns], name);
    await receiver.until(() => receiver.ids(name).length === 1, 'the record');
    const { update } = receiver.about(name).at(-1)!;
    const [one] = update.kind === 'upsert' ? update.service.endpoints : [];
    expect(one!.transport).toBe(name.includes('_udp') ? 'udp' : undefined);
  });
});

describe('a provider', () => {
  it('asks for what is followed alone, and ends what is not', async () => {
    const dns = await server(({ name, type }) =>
      type === 'A' ? a(name, '10.0.0.1') : web('10.0.0.2'),
    );
    const { provider, has, receiver } = start([dns], 'a.test:80');
    await has('10.0.0.1:80');
    provider.follow([plainSource('dns', WEB)]);
    await receiver.until(() => receiver.ids(WEB).length === 1, 'the new one');
    expect(receiver.about('a.test:80').at(-1)!.update.kind).toBe('remove');
    expect(provider.status().watches).toBe(1);
    dns.asked.length = 0;
    await asks(dns, 2);
    expect(new Set(dns.asked.map(({ name }) => name))).toEqual(new Set([WEB]));
  });

  it('that is stopped says nothing more, and nothing of it stays open', async () => {
    const dns = await server(() => null);
    const { provider, receiver, lines } = start([dns]);
    await asks(dns, 1);
    await provider.stop();
    await new Promise((resolve) => setImmediate(resolve));
    expect(receiver.all).toEqual([]);
    expect(JSON.stringify(lines)).not.toContain('fails');
  });

  it('waits for its turn longer than for an answer', async () => {
    const dns = await server(({ name }) => ({
      answers: [{ name, type: 'A', ttl: 300, data: '10.0.0.1' }],
    }));
    // 64 names, 8 at a time: 1.2 s in all, where an answer may take 1 s.
    dns.delayMs = 150;
    const { provider } = start([dns], 'a.test:80');
    provider.follow(Array.from({ length: 64 }, (_, i) => plainSource('dns', `n${i}.test:80`)));
    await untilTrue(
      () => provider.status().isSynced && provider.status().watches === 64,
      () => JSON.stringify(provider.status()),
    );
    expect(provider.status().errors).toBe(0);
  });

  it('asks for many names at once over few connections', async () => {
    const dns = await server(({ name }) => ({
      answers: [{ name, type: 'A', ttl: 300, data: '10.0.0.1' }],
    }));
    const { provider } = start([dns], 'a.test:80');
    const names = Array.from({ length: 200 }, (_, i) => plainSource('dns', `n${i}.test:80`));
    provider.follow(names);
    await untilTrue(
      () => provider.status().isSynced && provider.status().watches === 200,
      () => JSON.stringify(provider.status()),
    );
    expect(dns.connections).toBeLessThanOrEqual(8);
    expect(provider.status().errors).toBe(0);
  });
});
