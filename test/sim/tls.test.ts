// The fake TLS of the simulator has the shape of TLS: what it says is read by the product's own parser, and
// what is lost, doubled or moved does not open.
import { describe, expect, it } from 'vitest';
import { drawPlan } from '../../sim/data/draw-plan.ts';
import { runWorld } from '../../sim/data/world.ts';
import type { TlsEngine } from '../../sim/tls/engine.ts';
import { engineOf } from '../../sim/tls/engine-of.ts';
import type { TlsEvent } from '../../sim/tls/engine-parts.ts';
import { readClientHello } from '../../src/proxy/tls/client-hello.ts';

const NOBODY: ReadonlySet<string> = new Set();

function makeClient(ticket: Buffer | null = null, isOld = false): TlsEngine {
  return engineOf({
    ...{ isServer: false, isOld, random: 1, chain: '', serverName: 'a.sim', ticket },
    ...{ protocols: ['h2', 'http/1.1'], isLarge: true, helloRecords: 3 },
  });
}

interface ServerParts {
  needsPeer?: boolean;
  protocols?: string[];
  isOld?: boolean;
}

function makeServer(parts: ServerParts = {}): TlsEngine {
  const { needsPeer = false, protocols = ['http/1.1'], isOld = false } = parts;
  const sessions = { asksPeer: needsPeer, needsPeer, ticketKey: 'key', isOld };
  return engineOf({ isServer: true, random: 2, chain: 'chain', protocols, ...sessions });
}

/** Hands over what one has to say; returns what the other makes of it. */
function hand(from: TlsEngine, to: TlsEngine, records = from.out.splice(0)): TlsEvent[] {
  const events: TlsEvent[] = [];
  for (const record of records) to.feed(record);
  for (let event = to.next(); event !== null; event = to.next()) {
    events.push(event);
    if (event.kind === 'hello') to.choose(null);
  }
  return events;
}

function shake(client: TlsEngine, server: TlsEngine): TlsEvent[] {
  client.start();
  return [
    ...hand(client, server),
    ...hand(server, client),
    ...hand(client, server),
    ...hand(server, client),
  ];
}

describe('the fake TLS', () => {
  it('says a ClientHello that the product reads', () => {
    const client = makeClient();
    client.start();
    expect(client.out.length).toBe(3);
    const hello = readClientHello(Buffer.concat(client.out));
    const protocols = ['h2', 'http/1.1'];
    expect(hello).toEqual({ kind: 'hello', serverName: 'a.sim', protocols });
  });

  it('agrees on a protocol, gives a ticket and resumes by it', () => {
    const client = makeClient();
    const events = shake(client, makeServer());
    expect(client.protocol).toBe('http/1.1');
    const ticket = events.find((event) => event.kind === 'ticket')!.ticket;
    const again = makeClient(ticket);
    shake(again, makeServer());
    expect([again.isResumed, again.peerChain]).toEqual([true, 'chain']);
  });

  it.each([
    ['a client', true, false],
    ['a server', false, true],
  ])('speaks TLS 1.2 with %s that knows no other', (_who, isOld, isOldServer) => {
    const serverOf = (): TlsEngine => makeServer({ isOld: isOldServer });
    const client = makeClient(null, isOld);
    const server = serverOf();
    const events = shake(client, server);
    expect([client.version, server.version, client.protocol]).toEqual([
      'TLSv1.2',
      'TLSv1.2',
      'http/1.1',
    ]);
    expect(events.map(({ kind }) => kind)).toEqual([
      'hello',
      'established',
      'ticket',
      'established',
    ]);
    client.write(Buffer.from('one'));
    expect(hand(client, server).map(({ kind }) => kind)).toEqual(['data']);

    const ticket = events.find((event) => event.kind === 'ticket')!.ticket;
    const again = makeClient(ticket, isOld);
    shake(again, serverOf());
    expect([again.isResumed, again.peerChain]).toEqual([true, 'chain']);
    // The client is first to have a session that is resumed, and the server is not asked for another version's.
    const other = makeClient(ticket);
    shake(other, makeServer());
    expect([other.isResumed, other.version]).toEqual([false, 'TLSv1.3']);
  });

  it('says a ClientHello without extensions, which the product reads', () => {
    const parts = { isServer: false, isOld: true, random: 1, chain: '', protocols: [] };
    const first = engineOf(parts);
    first.start();
    const hello = readClientHello(Buffer.concat(first.out));
    expect(hello).toEqual({ kind: 'hello', serverName: '', protocols: [] });
    const [client, server] = [engineOf(parts), makeServer()];
    shake(client, server);
    expect([client.state, server.state]).toEqual(['open', 'open']);
  });

  it('refuses by alerts, on both sides', () => {
    for (const [server, code] of [
      [makeServer({ protocols: ['spdy'] }), 'NO_APPLICATION_PROTOCOL'],
      [makeServer({ needsPeer: true }), 'PEER_DID_NOT_RETURN_A_CERTIFICATE'],
    ] as const) {
      const failures = shake(makeClient(), server).filter((event) => event.kind === 'failed');
      expect(failures.map(({ error }) => error.code)).toContain(`ERR_SSL_${code}`);
      expect(failures).toHaveLength(2);
    }
  });

  it('opens what comes in order, and nothing else', () => {
    const pair = (): [TlsEngine, TlsEngine] => {
      const [client, server] = [makeClient(), makeServer()];
      shake(client, server);
      for (const text of ['one', 'two']) client.write(Buffer.from(text));
      return [client, server];
    };
    const [client, server] = pair();
    const inOrder = hand(client, server).map((event) => event.kind === 'data' && `${event.bytes}`);
    expect(inOrder).toEqual(['one', 'two']);
    const [one, two] = pair()[0].out.splice(0) as [Buffer, Buffer];
    const spoilt = Buffer.from(one);
    spoilt[7]! ^= 1;
    for (const records of [[two, one], [two], [spoilt]]) {
      const events = hand(client, pair()[1], records);
      expect(events.map(({ kind }) => kind)).toEqual(['failed']);
    }
    const doubled = hand(client, pair()[1], [one, one]).map(({ kind }) => kind);
    expect(doubled).toEqual(['data', 'failed']);
  });

  it('notices any byte that is another one, wherever it lies', () => {
    for (const length of [1, 3, 4, 5, 16, 31]) {
      for (let at = 5; at < 5 + length + 9; at += 1) {
        const [client, server] = [makeClient(), makeServer()];
        shake(client, server);
        client.write(Buffer.alloc(length, 'x'));
        client.out[0]![at]! ^= 0x80;
        expect(hand(client, server)[0]?.kind, `byte ${at} of ${length}`).toBe('failed');
      }
    }
  });

  it('goes on by other keys', () => {
    const [client, server] = [makeClient(), makeServer()];
    shake(client, server);
    client.renewKey(true);
    client.write(Buffer.from('after'));
    expect(hand(client, server).map(({ kind }) => kind)).toEqual(['data']);
    server.write(Buffer.from('answer'));
    expect(hand(server, client).map(({ kind }) => kind)).toEqual(['data']);
  });
});

it('worlds with TLS keep every promise', { timeout: 60_000 }, async () => {
  const untilMs = performance.now() + 6000;
  let count = 0;
  for (let seed = 1001; count < 20 && performance.now() < untilMs; seed += 1) {
    if (drawPlan(seed, NOBODY).secure.size === 0) continue;
    const { faults } = await runWorld(seed);
    expect(faults, `npm run sim -- --seed ${seed}`).toEqual([]);
    count += 1;
  }
  expect(count).toBeGreaterThan(0);
});
