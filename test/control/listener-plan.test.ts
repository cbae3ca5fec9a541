import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type ListenerWishes, planListeners } from '../../src/control/listener-plan.ts';
import {
  type ListenAddress,
  mayListen,
  parseListen,
  parseListenRule,
} from '../../src/model/listener.ts';
import { onlySource, plainSource } from '../../src/model/source.ts';
import { makeService, plainListen } from '../support/service.ts';

const { limits, timeouts } = makeService();
const at = (port: number, host = ''): ListenAddress => ({ kind: 'tcp', host, port });
const on = (port: number) => plainListen(at(port));
const ANY = [parseListenRule('1-65535')!, parseListenRule('/run/upriver/')!];
const plan = (wishes: Partial<ListenerWishes>) =>
  planListeners({
    ...{ routers: [], configured: [], described: [], stats: null, allowed: () => ANY },
    ...{ names: new Map(), overlaid: new Set<string>(), holderOf: () => '', ...wishes },
  });
const keys = (planned: ReturnType<typeof planListeners>) =>
  planned.listeners.map(({ key, service }) => `${key} ${service}`);
const wanting = (name: string, ...listen: string[]) =>
  makeService({
    name,
    from: onlySource(plainSource('consul', name)),
    listen: listen.map((text) => plainListen(parseListen(text)!)),
  });

describe('an address that two want', () => {
  const a = makeService({ name: 'a', listen: [on(80)] });
  const b = makeService({ name: 'b', listen: [on(80), on(81)] });

  it('goes to the first, and the other is told', () => {
    const planned = plan({ configured: [a, b] });
    expect(keys(planned)).toEqual([':80 a', ':81 b']);
    expect([...planned.conflicts]).toEqual([['b', ['listener :80 is taken by service a']]]);
  });

  it('goes to a router before any service', () => {
    const planned = plan({
      configured: [a],
      routers: [{ listen: [on(80)], routes: [], limits, timeouts }],
    });
    expect(keys(planned)).toEqual([':80 ']);
    expect([...planned.conflicts]).toEqual([['a', ['listener :80 is taken by a router']]]);
  });

  it('has the limits and timeouts of what is behind it', () => {
    const own = { ...limits, headerBytes: 1 };
    const service = makeService({ name: 'c', listen: [on(82)], limits: own });
    const router = { listen: [on(80)], routes: [], limits: { ...limits, pipelined: 7 }, timeouts };
    const { listeners } = plan({ configured: [service], routers: [router] });
    expect(listeners[0]!.limits.pipelined).toBe(7);
    expect(listeners[1]!.limits).toMatchObject({ headerBytes: 1, pipelined: 0 });
    expect(Object.keys(listeners[1]!.timeouts)).toEqual([
      'clientHeaderMs',
      'keepAliveMs',
      'idleBodyMs',
    ]);
  });

  it('goes to one router, and the other is told', () => {
    const router = { listen: [on(80)], routes: [], limits, timeouts };
    const planned = plan({ routers: [router, router] });
    expect(keys(planned)).toEqual([':80 ']);
    expect([...planned.conflicts]).toEqual([['', ['listener :80 is taken by a router']]]);
  });

  it('goes to the configured one before one that describes itself', () => {
    const planned = plan({ configured: [b], described: [a] });
    expect(keys(planned)).toEqual([':80 b', ':81 b']);
    expect(planned.conflicts.has('a')).toBe(true);
  });

  it('goes to the first of those that describe themselves', () => {
    expect(keys(plan({ described: [b, a] }))).toEqual([':80 b', ':81 b']);
  });
});

describe('a service that describes itself', () => {
  // Every spelling of an address at which the configured one would lose connections.
  it.each([
    ['30100', '0:30100'],
    ['30100', '127.0.0.1:30100'],
    ['30100', 'localhost:30100'],
    ['30100', '127.1:30100'],
    ['30100', '0x7f.1:30100'],
    ['30100', '[::ffff:127.0.0.1]:30100'],
    ['30100', '[::]:30100'],
    ['30100', '[::1]:30100'],
    ['10.0.0.1:30100', '30100'],
    ['10.0.0.1:30100', '[::ffff:10.0.0.1]:30100'],
    ['10.0.0.1:30100', '[::ffff:a00:1]:30100'],
    ['[2001:db8::1]:30100', '[2001:DB8:0:0::1]:30100'],
    ['shop.example:30100', '10.0.0.7:30100'],
    ['localhost:30100', '127.0.0.1:30100'],
  ])('gets nothing that overlaps %s: %s', (configured, described) => {
    const names = new Map([
      ['shop.example', ['10.0.0.7']],
      ['localhost', ['127.0.0.1', '::1']],
    ]);
    for (const held of [
      { configured: [wanting('shop', configured)] },
      {
        routers: [
          { listen: [plainListen(parseListen(configured)!)], routes: [], limits, timeouts },
        ],
      },
      { stats: parseListen(configured) },
    ]) {
      const planned = plan({ ...held, names, described: [wanting('evil', described)] });
      expect(planned.listeners.filter(({ service }) => service === 'evil')).toEqual([]);
      expect(planned.conflicts.get('evil')).toEqual([expect.stringContaining('is taken by')]);
    }
  });

  it('overlaps none of its own kind either', () => {
    const planned = plan({ described: [wanting('a', '10.0.0.1:80'), wanting('b', '80')] });
    expect(keys(planned)).toEqual(['10.0.0.1:80 a']);
    expect(planned.conflicts.get('b')).toEqual(['listener :80 is taken by service a']);
  });

  it('gets another address of the same port', () => {
    const planned = plan({
      configured: [wanting('shop', '10.0.0.1:80')],
      described: [wanting('b', '10.0.0.2:80')],
    });
    expect(keys(planned)).toEqual(['10.0.0.1:80 shop', '10.0.0.2:80 b']);
  });

  it('gets what no other process has, and nothing before that is known', () => {
    const described = [wanting('a', '80'), wanting('b', '81'), wanting('c', '82')];
    const holders = [null, 'another process', ''];
    const planned = plan({
      described,
      holderOf: ({ address }) => holders[address.kind === 'tcp' ? address.port - 80 : 0]!,
    });
    expect(keys(planned)).toEqual([':82 c']);
    expect([...planned.conflicts]).toEqual([['b', ['listener :81 is taken by another process']]]);
  });

  it('is told where it may not listen', () => {
    const allowed = () => [parseListenRule('1024-65535')!];
    const planned = plan({ allowed, described: [wanting('a', '22'), wanting('b', '/tmp/x.sock')] });
    expect(planned.listeners).toEqual([]);
    expect([...planned.conflicts]).toEqual([
      ['a', ['listener :22 is not allowed by registries.consul.listen_allow']],
      ['b', ['listener /tmp/x.sock is not allowed by registries.consul.listen_allow']],
    ]);
  });
});

it.each([
  ['80', ':80', true],
  ['80', ':81', false],
  ['1024-65535', '10.0.0.1:1024', true],
  ['1024-65535', ':1023', false],
  ['127.0.0.1:80', '127.1:80', true],
  ['127.0.0.1:80', ':80', false],
  ['10.0.0.0/8:80', '10.1.2.3:80', true],
  ['10.0.0.0/8:80', '11.1.2.3:80', false],
  ['10.0.0.0/8:80', ':80', false],
  ['[2001:db8::]/32:80', '[2001:db8::1]:80', true],
  ['*:80', ':80', true],
  ['80', '/run/upriver/a.sock', false],
  ['/run/upriver/', '/run/upriver/a.sock', true],
  ['/run/upriver/', '/run/upriver/../docker.sock', false],
  ['/run/upriver/', '/run/upriver/.', false],
  ['/run/upriver/', '/run/upriver/', false],
  ['/run/upriver/', '/run/uprivers.sock', false],
])('the rule %s for %s: %s', (rule, address, isAllowed) => {
  expect(mayListen([parseListenRule(rule)!], parseListen(address)!)).toBe(isAllowed);
});

it.each([
  '',
  '0',
  '70000',
  '90-80',
  'x:80',
  '300.0.0.1:80',
  '10.0.0.0/40:80',
  '/run',
  '/a/../b/',
  '80-',
])('%j is no rule', (text) => {
  expect(parseListenRule(text)).toBeNull();
});

describe('any wishes', () => {
  const names = fc.uniqueArray(fc.constantFrom('a', 'b', 'c', 'd', 'e'));
  const wishes = names.chain((all) =>
    fc.tuple(
      ...all.map((name) =>
        fc
          .uniqueArray(fc.integer({ min: 80, max: 84 }), { maxLength: 4 })
          .map((ports) => makeService({ name, listen: ports.map(on) })),
      ),
    ),
  );

  it('give each address to one, and tell everyone else of it', () => {
    fc.assert(
      fc.property(wishes, wishes, (configured, others) => {
        const described = others.filter(
          ({ name }) => !configured.some((service) => service.name === name),
        );
        const { listeners, conflicts } = plan({ configured, described });
        expect(new Set(listeners.map(({ key }) => key)).size).toBe(listeners.length);
        for (const { name, listen } of [...configured, ...described]) {
          const had = listeners.filter(({ service }) => service === name).length;
          expect(had + (conflicts.get(name)?.length ?? 0)).toBe(listen.length);
        }
      }),
    );
  });
});

describe('the address of the stats port', () => {
  it.each([
    ['the same', at(1936, '10.0.0.1'), at(1936, '10.0.0.1'), true],
    ['every address', at(1936), at(1936, '10.0.0.1'), true],
    ['one of every address', at(1936, '10.0.0.1'), at(1936), true],
    ['another address', at(1936, '10.0.0.2'), at(1936, '10.0.0.1'), false],
    ['another port', at(1937), at(1936), false],
  ])('is not for a service: %s', (_, listen, stats, isTaken) => {
    const planned = plan({
      described: [makeService({ name: 'a', listen: [plainListen(listen)] })],
      stats,
    });
    expect(planned.listeners.length).toBe(isTaken ? 0 : 1);
    expect(planned.conflicts.has('a')).toBe(isTaken);
  });
});

describe('a route that a service asks for itself', () => {
  const routed = (name: string, host: string, path = '/', port = 80) =>
    makeService({
      name,
      from: onlySource(plainSource('docker', name)),
      listen: [],
      ownRoute: {
        listen: on(port),
        route: {
          ...{ host, path, service: name, stripPrefix: '', addPrefix: '', rewriteHost: '' },
          redirect: null,
        },
      },
    });
  const routesOf = (planned: ReturnType<typeof planListeners>, key = ':80') =>
    planned.listeners
      .find((one) => one.key === key)
      ?.routes.map(({ host, path, service }) => `${host}${path} ${service}`);

  it('makes a router of all that want its address, in order of precedence', () => {
    const described = [routed('a', '*.x'), routed('b', 'a.x'), routed('c', 'a.x', '/api')];
    const planned = plan({ described });
    expect(keys(planned)).toEqual([':80 ']);
    expect(planned.listeners[0]!.protocol).toBe('http');
    expect(routesOf(planned)).toEqual(['a.x/api c', 'a.x/ b', '*.x/ a']);
    expect(planned.conflicts.size).toBe(0);
  });

  it('goes to the first of those that want the same', () => {
    const planned = plan({ described: [routed('a', 'a.x'), routed('b', 'a.x')] });
    expect(routesOf(planned)).toEqual(['a.x/ a']);
    const told = 'listener :80 has a route for a.x/ already: service a';
    expect([...planned.conflicts]).toEqual([['b', [told]]]);
  });

  it('joins a router of the configuration, which keeps the hosts that it names', () => {
    const route = (host: string, service: string) => ({
      ...{ host, path: '/', service, stripPrefix: '', addPrefix: '', rewriteHost: '' },
      redirect: null,
    });
    const routes = [route('own.x', 'own'), route('*.own.y', 'own')];
    const routers = [{ listen: [on(80)], routes, limits, timeouts }];
    const described = [routed('a', 'a.x'), routed('b', 'own.x', '/b'), routed('c', 'c.own.y')];
    const planned = plan({ routers, described });
    expect(routesOf(planned)).toEqual(['own.x/ own', 'a.x/ a', '*.own.y/ own']);
    expect([...planned.conflicts.keys()]).toEqual(['b', 'c']);
    // A route without a host takes every host.
    const whole = [{ listen: [on(80)], routes: [route('', 'any')], limits, timeouts }];
    const refused = plan({ routers: whole, described: [routed('a', 'a.x')] });
    expect(routesOf(refused)).toEqual(['/ any']);
    expect([...refused.conflicts.keys()]).toEqual(['a']);
  });

  it('gets no address that is not allowed, nor one of a service or the stats port', () => {
    const rules = [parseListenRule('81')!];
    const [a, b] = [routed('a', 'a.x'), routed('b', 'b.x', '/', 81)];
    expect(keys(plan({ described: [a, b], allowed: () => rules }))).toEqual([':81 ']);
    const web = makeService({ name: 'web', listen: [on(80)] });
    const refused = plan({ configured: [web], described: [a] });
    expect(keys(refused)).toEqual([':80 web']);
    expect([...refused.conflicts]).toEqual([['a', ['listener :80 is taken by service web']]]);
    expect(keys(plan({ described: [a], stats: at(80) }))).toEqual([]);
    const router = [{ listen: [on(80)], routes: [], limits, timeouts }];
    const joined = plan({ routers: router, described: [a], allowed: () => rules });
    expect(routesOf(joined)).toEqual([]);
    expect(joined.conflicts.get('a')![0]).toContain('registries.docker.listen_allow');
  });

  it('waits while it is found out who has the address, and is told who has it', () => {
    const described = [routed('a', 'a.x')];
    expect(plan({ described, holderOf: () => null })).toMatchObject({ listeners: [] });
    const taken = plan({ described, holderOf: () => 'process 7' });
    expect([...taken.conflicts]).toEqual([['a', ['listener :80 is taken by process 7']]]);
  });
});

describe('a listener that is there by the overlay alone', () => {
  const overlaid = new Set(['127.0.0.1:30100', ':9000']);

  it('takes no address of another process, and waits while that is not known', () => {
    const configured = [wanting('own', '30200'), wanting('over', '9000')];
    const holders = new Map([[':9000', 'another process']]);
    const holderOf = ({ key }: { key: string }) => holders.get(key) ?? '';
    const refused = plan({ configured, overlaid, holderOf });
    expect(keys(refused)).toEqual([':30200 own']);
    expect(refused.conflicts.get('over')).toEqual(['listener :9000 is taken by another process']);
    const unknown = plan({ configured, overlaid, holderOf: () => null });
    expect([keys(unknown), unknown.conflicts.size]).toEqual([[':30200 own'], 0]);
    expect(keys(plan({ configured, overlaid }))).toEqual([':30200 own', ':9000 over']);
  });

  it('takes no part of what the file has, in whatever order and spelling', () => {
    const configured = [wanting('over', '127.0.0.1:30100'), wanting('shop', '30100')];
    const { conflicts, ...planned } = plan({ configured, overlaid });
    expect(keys({ conflicts, ...planned })).toEqual([':30100 shop']);
    expect(conflicts.get('over')).toEqual(['listener 127.0.0.1:30100 is taken by service shop']);
  });

  it('comes before services that describe themselves, and never on the stats port', () => {
    const configured = [wanting('over', '9000')];
    const described = [wanting('self', '9000')];
    expect(keys(plan({ configured, described, overlaid }))).toEqual([':9000 over']);
    const stats = { kind: 'tcp', host: '', port: 9000 } as const;
    expect(keys(plan({ configured, overlaid, stats }))).toEqual([]);
  });
});
