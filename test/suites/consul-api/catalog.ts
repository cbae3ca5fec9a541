// The catalog: what all agents together know, and external nodes, which no agent looks after.
import { expect, it } from 'vitest';
import { type CatalogAnswer, type RegistryClient, unique } from './client.ts';

export function catalogSuite(client: RegistryClient): void {
  it('lists the names of services with their tags', async () => {
    const name = unique('tagged');
    await client.register({ Name: name, ID: `${name}-1`, Tags: ['a', 'b'] });
    await client.register({ Name: name, ID: `${name}-2`, Tags: ['b', 'c'] });
    await client.untilCount(name, 2);
    const services = (await client.get('/v1/catalog/services')).json as Record<string, string[]>;
    expect([...services[name]!].sort()).toEqual(['a', 'b', 'c']);
    expect(services.consul).toEqual([]);
    await client.deregister(`${name}-1`);
    await client.deregister(`${name}-2`);
    await client.untilCount(name, 0);
    expect((await client.get('/v1/catalog/services')).json).not.toHaveProperty(name);
  });

  it('shows the instances of a service with their node', async () => {
    const name = unique('shown');
    await client.register({
      ...{ Name: name, Address: '127.0.0.5', Port: 80, Meta: { a: 'b' }, Tags: ['t'] },
      Weights: { Passing: 3, Warning: 0 },
    });
    await client.untilCount(name, 1);
    const answer = await client.get(`/v1/catalog/service/${name}`);
    expect(answer.json).toMatchObject([
      {
        ...{ Address: '127.0.0.1', Datacenter: 'dc1', ServiceID: name, ServiceName: name },
        ...{ ServiceAddress: '127.0.0.5', ServicePort: 80, ServiceMeta: { a: 'b' } },
        ...{ ServiceTags: ['t'], ServiceWeights: { Passing: 3, Warning: 0 } },
      },
    ]);
    expect((await client.get(`/v1/catalog/service/${name}?tag=t`)).json).toHaveLength(1);
    expect((await client.get(`/v1/catalog/service/${name}?tag=u`)).json).toEqual([]);
    expect((await client.get(`/v1/catalog/service/${unique('none')}`)).json).toEqual([]);
  });

  it('shows a node with all that is on it', async () => {
    const name = unique('on-node');
    await client.register({ Name: name, ID: `${name}-1`, Meta: { a: 'b' } });
    const [entry] = await client.untilCount(name, 1);
    const { Node } = entry!.Node;
    const answer = await client.get(`/v1/catalog/node/${Node}`);
    expect(answer.json).toMatchObject({
      Node: { Node, Address: '127.0.0.1' },
      Services: {
        consul: { Service: 'consul' },
        [`${name}-1`]: { Service: name, Meta: { a: 'b' } },
      },
    });
    const nobody = await client.get(`/v1/catalog/node/${unique('nobody')}`);
    expect(nobody).toMatchObject({ status: 200, json: null });
    const filter = encodeURIComponent(`Service == "${name}"`);
    const some = await client.get(`/v1/catalog/node/${Node}?filter=${filter}`);
    expect(Object.keys((some.json as { Services: object }).Services)).toEqual([`${name}-1`]);
  });

  it('takes in external nodes, and wakes those who watch their service', async () => {
    const [node, name] = [unique('ext'), unique('external')];
    const before = await client.get(`/v1/health/service/${name}`);
    const waiting = client.get(`/v1/health/service/${name}?index=${before.index}&wait=30s`);
    const registered = await client.put('/v1/catalog/register', {
      ...{ Node: node, Address: 'db.example.com', NodeMeta: { 'external-node': 'true' } },
      Service: { ID: `${name}-1`, Service: name, Port: 5432, Tags: ['primary'] },
      Check: { CheckID: `${name}-c`, Name: 'by hand', Status: 'warning', ServiceID: `${name}-1` },
    });
    expect(registered).toMatchObject({ status: 200, json: true });
    expect((await waiting).json).toMatchObject([
      {
        Node: { Node: node, Address: 'db.example.com', Meta: { 'external-node': 'true' } },
        Service: { ID: `${name}-1`, Address: '', Port: 5432, Weights: { Passing: 1, Warning: 1 } },
        Checks: [{ CheckID: `${name}-c`, Status: 'warning', ServiceName: name }],
      },
    ]);
    const own = (await client.get('/v1/agent/services')).json;
    expect(own).not.toHaveProperty(`${name}-1`);
    const nodes = (await client.get('/v1/catalog/nodes')).json as CatalogAnswer[];
    expect(nodes.map(({ Node }) => Node)).toContain(node);
  });

  it('takes out a check, a service, or a node with all that is on it', async () => {
    const [node, name] = [unique('leaving'), unique('left')];
    const put = (id: string) =>
      client.put('/v1/catalog/register', {
        ...{ Node: node, Address: '10.0.0.1', Service: { ID: id, Service: name } },
        Check: { CheckID: `${id}-c`, Name: 'c', Status: 'passing', ServiceID: id },
      });
    const takeOut = async (what: object) => {
      const answer = await client.put('/v1/catalog/deregister', { Node: node, ...what });
      expect(answer).toMatchObject({ status: 200, json: true });
    };
    for (const id of ['a', 'b', 'c']) await put(`${name}-${id}`);
    expect(await client.health(name)).toHaveLength(3);
    await takeOut({ CheckID: `${name}-a-c` });
    expect((await client.health(name))[0]!.Checks).toEqual([]);
    await takeOut({ ServiceID: `${name}-a` });
    expect(await client.health(name)).toHaveLength(2);
    await takeOut({});
    expect(await client.health(name)).toEqual([]);
    await takeOut({ ServiceID: 'was-never-there' });
  });

  it('lets the service of an external node be changed', async () => {
    const [node, name] = [unique('moving'), unique('moved')];
    const put = (Port: number, Address: string) =>
      client.put('/v1/catalog/register', { Node: node, Address, Service: { Service: name, Port } });
    await put(1, '10.0.0.1');
    const { index } = await client.get(`/v1/health/service/${name}`);
    const waiting = client.get(`/v1/health/service/${name}?index=${index}&wait=30s`);
    await put(2, '10.0.0.2');
    expect((await waiting).json).toMatchObject([
      { Node: { Address: '10.0.0.2' }, Service: { ID: name, Port: 2 } },
    ]);
  });

  const refused: [string, string, unknown, number, RegExp][] = [
    ['a node without a name', 'register', { Address: '10.0.0.1' }, 500, /Must provide node/],
    ['a node without an address', 'register', { Node: 'x' }, 500, /Must provide address/],
    [
      'a service without a name',
      'register',
      { Node: 'x', Address: '10.0.0.1', Service: { ID: 'y' } },
      500,
      /Must provide service name with ID/,
    ],
    ['text that is no JSON', 'register', '{', 400, /Request decode failed/],
    ['to take out nothing', 'deregister', {}, 500, /Must provide node/],
  ];
  it.each(refused)('refuses %s', async (_, path, body, status, text) => {
    const answer = await client.put(`/v1/catalog/${path}`, body);
    expect(answer.text).toMatch(text);
    expect(answer.status).toBe(status);
  });

  it('asks for a name', async () => {
    for (const path of ['/v1/health/service/', '/v1/catalog/service/', '/v1/health/checks/']) {
      expect(await client.get(path)).toMatchObject({ status: 400, text: 'Missing service name' });
    }
    const state = await client.get('/v1/health/state/');
    expect(state).toMatchObject({ status: 400, text: 'Missing check state' });
    for (const path of ['/v1/health/node/', '/v1/catalog/node/']) {
      expect(await client.get(path)).toMatchObject({ status: 400, text: 'Missing node name' });
    }
  });
}
