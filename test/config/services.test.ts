// Services by other ways than the file: DR CoN's variables, the tags of the registry, the example.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { problemsOf, serviceOf, settingsOf } from '../support/config.ts';
import { sourceOf } from '../support/service.ts';

describe("DR CoN's variables", () => {
  it('have its defaults', () => {
    for (const env of [{ CONSUL: '' }, { SERVICE: '' }]) {
      const { registries, services } = settingsOf({ env });
      expect(registries.consul?.addresses).toEqual(['http://consul:8500']);
      expect(services).toHaveLength(1);
      expect(services[0]).toMatchObject({
        name: 'consul-8500',
        listen: [{ address: { kind: 'tcp', host: '', port: 80 } }],
        from: [{ source: { registry: 'consul', service: 'consul-8500' } }],
      });
    }
  });

  it('name the agent and the service', () => {
    const { registries, services } = settingsOf({
      env: { CONSUL: '10.0.0.1:8500', SERVICE: 'simple' },
    });
    expect(registries.consul?.addresses).toEqual(['http://10.0.0.1:8500']);
    expect(services[0]).toMatchObject({
      name: 'simple',
      from: [{ source: { service: 'simple', tag: '' } }],
    });
  });

  it.each([
    ['simple', { service: 'simple', accept: ['passing', 'warning'] }],
    ['v1.simple', { service: 'simple', tag: 'v1' }],
    ['a.b.simple', { service: 'simple', tag: 'a.b' }],
    ['simple@dc2', { service: 'simple', datacenter: 'dc2' }],
    ['simple~_agent', { service: 'simple' }],
    ['simple|passing', { accept: ['passing'] }],
    ['simple|passing,warning,critical', { accept: ['passing', 'warning', 'critical'] }],
    ['simple|any', { accept: ['passing', 'warning', 'critical', 'maintenance'] }],
    ['simple?ns=team&partition=east', { namespace: 'team', partition: 'east' }],
    ['simple?peer=other', { peer: 'other' }],
    [
      'v1.simple?ns=team@dc2~near|passing',
      { service: 'simple', tag: 'v1', namespace: 'team', datacenter: 'dc2', accept: ['passing'] },
    ],
  ])('SERVICE=%s', (text, from) => {
    const service = serviceOf({ env: { SERVICE: text } });
    expect(service.name).toBe('simple');
    expect(sourceOf(service)).toMatchObject(from);
  });

  it.each([
    ['a b', "SERVICE: 'a b': expected a name, or TAG.NAME"],
    ['simple|well', "SERVICE: 'well': expected any, passing, warning, critical, maintenance"],
    ['simple?colour=red', "SERVICE: 'simple?colour=red': unknown parameter colour"],
    ['simple@', "SERVICE: 'simple@': expected a name"],
  ])('SERVICE=%s is refused', (text, message) => {
    const [problem, ...others] = problemsOf({ env: { SERVICE: text } });
    expect(problem).toContain(message);
    expect(others).toEqual([]);
  });
});

describe('passive', () => {
  const passiveOf = (text: string) =>
    settingsOf({ file: `services: { a: { passive: ${text} } }` }).services[0]!.passive;

  it('has limits for some kinds of failure of its own', () => {
    expect(passiveOf('{}')).toMatchObject({
      consecutiveFailures: 5,
      connectFailures: 3,
      resets: 0,
      timeouts: 3,
      gatewayErrors: 0,
      serverErrors: 0,
    });
  });

  it('compares endpoints by default, but for hash balancing and where ejection is off', () => {
    const compares = (text: string) =>
      settingsOf({ file: `services: { a: { ${text} } }` }).services[0]!.passive.successRate;
    expect(compares('listen: 80')).toEqual({
      ...{ windowMs: 60_000, minRequests: 10, minEndpoints: 2, excess: 0.01 },
    });
    for (const off of ['balance: hash(source)', 'passive: { consecutive_failures: 0 }']) {
      expect(compares(off)).toBeNull();
    }
    expect(compares('passive: { success_rate: { enabled: false } }')).toBeNull();
    const asked = 'balance: hash(source), passive: { success_rate: { enabled: true, excess: 3% } }';
    expect(compares(asked)).toMatchObject({ excess: 0.03 });
    const file = 'services: { a: { passive: { success_rate: { enabled: 1 } } } }';
    expect(problemsOf({ file })[0]).toMatch(/enabled: 1: expected auto, true or false$/);
  });

  it('compares response times where that is asked for', () => {
    expect(passiveOf('{}').latency).toBeNull();
    const latency = '{ latency: { enabled: true, factor: 5, min: 50ms } }';
    expect(passiveOf(latency).latency).toEqual({ factor: 5, minMs: 50 });
  });

  it('has none of them where ejection is off, but those that are asked for', () => {
    expect(passiveOf('{ consecutive_failures: 0, server_errors: 9 }')).toMatchObject({
      consecutiveFailures: 0,
      connectFailures: 0,
      timeouts: 0,
      serverErrors: 9,
    });
  });
});

describe('idle times', () => {
  const idleOf = (text: string) => {
    const { timeouts } = settingsOf({ file: `services: { a: { timeouts: ${text} } }` })
      .services[0]!;
    return [timeouts.idleBodyMs, timeouts.idleTunnelMs, timeouts.idleTcpMs];
  };

  it.each([
    ['{}', [60_000, 3_600_000, 3_600_000]],
    ['{ idle: 5s }', [5000, 5000, 5000]],
    ['{ idle: 5s, idle_tcp: 1m }', [5000, 5000, 60_000]],
    ['{ idle_tunnel: 0, idle_body: 1s }', [1000, 0, 3_600_000]],
  ])('%s', (text, expected) => {
    expect(idleOf(text)).toEqual(expected);
  });
});

describe('config.example.yaml', () => {
  const file = readFileSync(join(import.meta.dirname, '../../config.example.yaml'), 'utf8');

  it('loads', () => {
    expect(problemsOf({ file })).toEqual([]);
  });

  it('shows the defaults: without its values, a service and the program are the same', () => {
    const shown = settingsOf({ file });
    const [service] = shown.services;
    const given = `services: { ${service!.name}: { listen: ${80} } }`;
    const plain = settingsOf({ file: given });
    const parts = { listen: [], from: null, health: null, http: null };
    expect({ ...service, ...parts }).toEqual({ ...plain.services[0], ...parts });
    const health = serviceOf({ file: 'services: { a: { health: {} } }' }).health;
    if (service!.health !== null)
      expect(Object.keys(service!.health)).toEqual(Object.keys(health!));
    expect(shown.guard).toEqual(plain.guard);
    expect(shown.shutdownGraceMs).toBe(plain.shutdownGraceMs);
    expect(shown.stats.listen).toEqual(plain.stats.listen);
  });
});

describe('tunnels and rates of datagrams', () => {
  it.each([
    ['{}', [null, null]],
    ['{ on_down: close, on_drain: 30s }', [0, 30_000]],
    ['{ on_down: keep }', [null, null]],
  ])('tunnels: %s', (text, expected) => {
    const { tunnels } = settingsOf({ file: `services: { a: { tunnels: ${text} } }` }).services[0]!;
    expect([tunnels.onDownMs, tunnels.onDrainMs]).toEqual(expected);
  });

  it('rates are those that are set, and none by default', () => {
    const file = 'services: { a: { listen: 1, protocol: udp, udp: { rate_per_client: 500 } } }';
    expect(settingsOf({ file }).services[0]!.udp.ratePerClient).toBe(500);
    expect(settingsOf({ file: 'services: { a: {} }' }).services[0]!.udp.ratePerClient).toBe(0);
  });
});
