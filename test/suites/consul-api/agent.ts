// Registration with an agent: what comes in, what is refused, and how health/service shows it.
import { expect, it } from 'vitest';
import { type RegistryClient, unique } from './client.ts';

export function agentSuite(client: RegistryClient): void {
  it('serves a registered instance with what was said of it', async () => {
    const name = unique('web');
    await client.register({
      ...{ Name: name, ID: `${name}-1`, Address: '127.0.0.9', Port: 8080 },
      ...{ Tags: ['b', 'a'], Meta: { version: '1.2' }, Weights: { Passing: 5, Warning: 2 } },
    });
    const [entry] = await client.untilCount(name, 1);
    expect(entry!.Service).toMatchObject({
      ...{ ID: `${name}-1`, Service: name, Address: '127.0.0.9', Port: 8080 },
      ...{ Tags: ['b', 'a'], Meta: { version: '1.2' }, Weights: { Passing: 5, Warning: 2 } },
    });
    expect(entry!.Checks.map(({ CheckID }) => CheckID)).toEqual(['serfHealth']);
    expect(entry!.Checks[0]).toMatchObject({ Status: 'passing', ServiceID: '', ServiceName: '' });
  });

  it('fills in what a short registration leaves out', async () => {
    const name = unique('short');
    await client.register({ Name: name });
    const [entry] = await client.untilCount(name, 1);
    expect(entry!.Service).toMatchObject({
      ...{ ID: name, Service: name, Address: '', Port: 0, Tags: [] },
      ...{ Meta: null, Weights: { Passing: 1, Warning: 1 }, EnableTagOverride: false },
    });
  });

  it('takes field names in any case', async () => {
    const name = unique('cases');
    const check = { checkid: `${name}-alive`, ttl: '1h', status: 'passing' };
    await client.register({ name, id: `${name}-x`, port: 81, check });
    const [entry] = await client.untilCount(name, 1);
    expect(entry!.Service).toMatchObject({ ID: `${name}-x`, Port: 81 });
    expect(entry!.Checks.map(({ CheckID }) => CheckID)).toContain(`${name}-alive`);
  });

  it('replaces an instance that registers again, and changes its name', async () => {
    const name = unique('again');
    await client.register({ Name: name, ID: `${name}-1`, Port: 1 });
    await client.untilCount(name, 1);
    await client.register({ Name: name, ID: `${name}-1`, Port: 2, Tags: ['new'] });
    await client.untilHealth(name, ([entry]) => entry?.Service.Port === 2);
    await client.register({ Name: `${name}-other`, ID: `${name}-1`, Port: 3 });
    await client.untilCount(`${name}-other`, 1);
    await client.untilCount(name, 0);
  });

  it('takes an instance out with its checks', async () => {
    const name = unique('out');
    for (const i of [1, 2]) {
      const Check = { CheckID: `${name}-check-${i}`, TTL: '1h', Status: 'passing' };
      await client.register({ Name: name, ID: `${name}-${i}`, Check });
    }
    await client.untilCount(name, 2);
    await client.deregister(`${name}-1`);
    const left = await client.untilCount(name, 1);
    expect(left[0]!.Service.ID).toBe(`${name}-2`);
    const checks = await client.get(`/v1/health/checks/${name}`);
    expect(checks.json).toMatchObject([{ CheckID: `${name}-check-2` }]);
  });

  it('answers [] for a service that nobody knows', async () => {
    const answer = await client.get(`/v1/health/service/${unique('nobody')}`);
    expect(answer).toMatchObject({ status: 200, json: [] });
    expect(answer.index).toBeGreaterThan(0);
    expect(answer.headers.get('x-consul-knownleader')).toBe('true');
    expect(answer.headers.get('x-consul-lastcontact')).toBe('0');
  });

  it('lists instances in the order of their ids', async () => {
    const name = unique('order');
    for (const id of ['c', 'a', 'b']) await client.register({ Name: name, ID: `${name}-${id}` });
    const entries = await client.untilCount(name, 3);
    const ids = entries.map(({ Service }) => Service.ID);
    expect(ids).toEqual(['a', 'b', 'c'].map((id) => `${name}-${id}`));
  });

  it('shows its own services by id', async () => {
    const name = unique('own');
    await client.register({ Name: name, ID: `${name}-1`, Tags: ['t'], Meta: { k: 'v' }, Port: 7 });
    const services = (await client.get('/v1/agent/services')).json as Record<string, unknown>;
    expect(services[`${name}-1`]).toMatchObject({
      ...{ ID: `${name}-1`, Service: name, Tags: ['t'], Meta: { k: 'v' }, Port: 7 },
    });
    expect(services).not.toHaveProperty('consul');
    const checks = (await client.get('/v1/agent/checks')).json as Record<string, unknown>;
    expect(checks).not.toHaveProperty('serfHealth');
  });

  it('says who it is and who leads', async () => {
    const self = (await client.get('/v1/agent/self')).json as { Config: unknown };
    expect(self.Config).toMatchObject({ Datacenter: 'dc1', Server: true });
    const leader = (await client.get('/v1/status/leader')).json;
    expect(leader).toMatch(/^127\.0\.0\.1:\d+$/);
    expect((await client.get('/v1/status/peers')).json).toEqual([leader]);
    expect((await client.get('/v1/catalog/datacenters')).json).toEqual(['dc1']);
  });

  const refused: [string, string, unknown, number, RegExp][] = [
    ['text that is no JSON', 'register', '{"Name":', 400, /^Request decode failed/],
    ['an empty body', 'register', '', 400, /^Request decode failed: EOF/],
    [
      'a field of another type',
      'register',
      { Name: 'x', Port: 'a' },
      400,
      /^Request decode failed/,
    ],
    ['an unknown field', 'register', { Name: 'x', Colour: 1 }, 400, /unknown field/],
    [
      'a key of Meta with odd characters',
      'register',
      { Name: 'x', Meta: { 'a.b': 'c' } },
      400,
      /^Invalid Service Meta: .*'a.b'.*Key contains invalid characters/,
    ],
    ['a service without a name', 'register', { ID: 'x' }, 400, /^Missing service name/],
    [
      'weights below their least',
      'register',
      { Name: 'x', Weights: { Passing: 0, Warning: 1 } },
      400,
      /^Invalid Weights: Passing must be greater than 0/,
    ],
    [
      'a check without a time',
      'register',
      { Name: 'x', Check: { HTTP: 'http://127.0.0.1:1/' } },
      400,
      /Interval must be > 0/,
    ],
    [
      'a status of its own invention',
      'register',
      { Name: 'x', Check: { TTL: '1h', Status: 'fine' } },
      400,
      /Status for checks must/,
    ],
    ['maintenance without a service', 'maintenance/?enable=true', '', 400, /Missing service ID/],
    ['maintenance without a word', 'maintenance/x', '', 400, /Missing value for enable/],
    [
      'maintenance with a wrong word',
      'maintenance/x?enable=so',
      '',
      400,
      /Invalid value for enable/,
    ],
    ['maintenance of an unknown id', 'maintenance/none?enable=true', '', 404, /none/],
  ];
  it.each(refused)('refuses %s', async (_, path, body, status, text) => {
    const answer = await client.put(`/v1/agent/service/${path}`, body);
    expect(answer.text).toMatch(text);
    expect(answer.status).toBe(status);
  });

  it('answers 405 with Allow to another method, and 404 to another path', async () => {
    const wrong = await client.ask('POST', '/v1/agent/service/register', {});
    expect(wrong.status).toBe(405);
    expect(wrong.headers.get('allow')).toContain('PUT');
    expect((await client.get('/v1/no/such/thing')).status).toBe(404);
  });
}
