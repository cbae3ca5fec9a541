import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type ListenerWishes, planListeners } from '../../src/control/listeners.ts';
import { formatListen, type ListenAddress } from '../../src/model/listener.ts';
import { makeListener, makeService } from '../support/service.ts';

const { limits, timeouts } = makeService();
const at = (port: number, host = ''): ListenAddress => ({ kind: 'tcp', host, port });
const plan = (wishes: Partial<ListenerWishes>) =>
  planListeners({ routers: [], configured: [], described: [], stats: null, before: [], ...wishes });
const keys = (planned: ReturnType<typeof planListeners>) =>
  planned.listeners.map(({ key, service }) => `${key} ${service}`);

describe('an address that two want', () => {
  const a = makeService({ name: 'a', listen: [at(80)] });
  const b = makeService({ name: 'b', listen: [at(80), at(81)] });

  it('goes to the first, and the other is told', () => {
    const planned = plan({ configured: [a, b] });
    expect(keys(planned)).toEqual([':80 a', ':81 b']);
    expect([...planned.conflicts]).toEqual([['b', ['listener :80 is taken by service a']]]);
  });

  it('stays with the one that has it', () => {
    const planned = plan({ configured: [a, b], before: [makeListener(b, at(80))] });
    expect(keys(planned)).toEqual([':80 b', ':81 b']);
    expect([...planned.conflicts]).toEqual([['a', ['listener :80 is taken by service b']]]);
  });

  it('goes to a router before any service', () => {
    const planned = plan({
      configured: [a],
      routers: [{ listen: [at(80)], routes: [], limits, timeouts }],
    });
    expect(keys(planned)).toEqual([':80 ']);
    expect([...planned.conflicts]).toEqual([['a', ['listener :80 is taken by a router']]]);
  });

  it('has the limits and timeouts of what is behind it', () => {
    const own = { ...limits, headerBytes: 1 };
    const service = makeService({ name: 'c', listen: [at(82)], limits: own });
    const router = { listen: [at(80)], routes: [], limits: { ...limits, pipelined: 7 }, timeouts };
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
    const router = { listen: [at(80)], routes: [], limits, timeouts };
    const planned = plan({ routers: [router, router] });
    expect(keys(planned)).toEqual([':80 ']);
    expect([...planned.conflicts]).toEqual([['', ['listener :80 is taken by a router']]]);
  });

  it('goes to the configured one before one that describes itself, even if that has it', () => {
    const planned = plan({ configured: [b], described: [a], before: [makeListener(a, at(80))] });
    expect(keys(planned)).toEqual([':80 b', ':81 b']);
    expect(planned.conflicts.has('a')).toBe(true);
  });
});

describe('any wishes', () => {
  const names = fc.uniqueArray(fc.constantFrom('a', 'b', 'c', 'd', 'e'));
  const wishes = names.chain((all) =>
    fc.tuple(
      ...all.map((name) =>
        fc
          .uniqueArray(fc.integer({ min: 80, max: 84 }), { maxLength: 4 })
          .map((ports) => makeService({ name, listen: ports.map((port) => at(port)) })),
      ),
    ),
  );

  it('give each address to one, and tell everyone else of it', () => {
    fc.assert(
      fc.property(wishes, wishes, (services, before) => {
        const { listeners: open } = plan({ configured: before });
        const { listeners, conflicts } = plan({ configured: services, before: open });
        expect(new Set(listeners.map(({ key }) => key)).size).toBe(listeners.length);
        for (const { name, listen } of services) {
          const had = listeners.filter(({ service }) => service === name).length;
          expect(had + (conflicts.get(name)?.length ?? 0)).toBe(listen.length);
        }
      }),
    );
  });

  it('never take an address from the one that has it and still wants it', () => {
    fc.assert(
      fc.property(wishes, wishes, (services, before) => {
        const { listeners: open } = plan({ configured: before });
        const { listeners } = plan({ configured: services, before: open });
        for (const { key, service } of open) {
          const listen = services.find(({ name }) => name === service)?.listen ?? [];
          if (!listen.some((address) => formatListen(address) === key)) continue;
          expect(listeners.find((one) => one.key === key)?.service).toBe(service);
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
    const planned = plan({ described: [makeService({ name: 'a', listen: [listen] })], stats });
    expect(planned.listeners.length).toBe(isTaken ? 0 : 1);
    expect(planned.conflicts.has('a')).toBe(isTaken);
  });
});
