// What narrows an answer: passing, tags, and filter expressions.
import { beforeAll, expect, it } from 'vitest';
import { type RegistryClient, unique } from './client.ts';

export function filterSuite(client: RegistryClient): void {
  const name = unique('mixed');
  beforeAll(async () => {
    for (const [id, status, tags, meta] of [
      ['good', 'passing', ['v1', 'eu'], { zone: 'a', 'my-key': 'x' }],
      ['weak', 'warning', ['v1', 'us'], { zone: 'b' }],
      ['bad', 'critical', ['v2'], {}],
    ] as const) {
      const Check = { CheckID: `${name}-${id}-c`, TTL: '1h', Status: status };
      const rest = { Tags: tags, Meta: meta, Port: 9000, Check };
      await client.register({ Name: name, ID: `${name}-${id}`, ...rest });
    }
    await client.untilCount(name, 3);
  });

  const ids = async (query: string): Promise<string[]> => {
    const entries = await client.health(name, query);
    return entries.map(({ Service }) => Service.ID.slice(name.length + 1));
  };

  it('passing leaves what passes in every check', async () => {
    expect(await ids('?passing')).toEqual(['good']);
    expect(await ids('?passing=true')).toEqual(['good']);
    expect(await ids('?passing=false')).toHaveLength(3);
    expect(await client.get(`/v1/health/service/${name}?passing=maybe`)).toMatchObject({
      status: 400,
    });
  });

  it('tag leaves those that have it, in any case, and each of several', async () => {
    expect(await ids('?tag=v1')).toEqual(['good', 'weak']);
    expect(await ids('?tag=V1')).toEqual(['good', 'weak']);
    expect(await ids('?tag=v1&tag=us')).toEqual(['weak']);
    expect(await ids('?tag=none')).toEqual([]);
    expect(await ids('?tag=v1&passing')).toEqual(['good']);
  });

  it('names of services are the same in any case', async () => {
    expect(await client.health(name.toUpperCase())).toHaveLength(3);
  });

  const expressions: [string, string[]][] = [
    [`Service.ID == "${name}-good"`, ['good']],
    [`Service.ID != "${name}-good"`, ['bad', 'weak']],
    ['"v1" in Service.Tags', ['good', 'weak']],
    ['"v1" not in Service.Tags', ['bad']],
    ['Service.Tags contains "eu"', ['good']],
    ['Service.Tags not contains "eu"', ['bad', 'weak']],
    ['Service.Meta.zone == a', ['good']],
    ['Service.Meta.zone != a', ['bad', 'weak']],
    ['Service.Meta["my-key"] == x', ['good']],
    ['Service.Meta is empty', ['bad']],
    ['Service.Meta is not empty', ['good', 'weak']],
    ['zone in Service.Meta', ['good', 'weak']],
    ['Service.ID matches "-(good|bad)$"', ['bad', 'good']],
    ['Service.ID not matches "-(good|bad)$"', ['weak']],
    ['Service.Port == 9000 and Service.Meta.zone == b', ['weak']],
    ['Service.Meta.zone == a or Service.Meta.zone == b', ['good', 'weak']],
    ['not (Service.Meta.zone == a or Service.Meta.zone == b)', ['bad']],
    ['Checks.Status == warning', ['weak']],
    ['Node.Address == "127.0.0.1"', ['bad', 'good', 'weak']],
  ];
  it.each(expressions)('filter=%s', async (expression, expected) => {
    expect(await ids(`?filter=${encodeURIComponent(expression)}`)).toEqual(expected);
  });

  it.each([
    'Service.Nothing == x',
    'Service.ID ==',
    'Service.Port == many',
    'Service.Tags == v1',
    '(Service.ID == x',
    'Service.ID matches "("',
    'Service.Meta.my-key == x',
  ])('refuses filter=%s', async (expression) => {
    const path = `/v1/health/service/${name}?filter=${encodeURIComponent(expression)}`;
    const answer = await client.get(path);
    expect(answer.status, answer.text).toBe(500);
    expect(answer.text).toMatch(/^Failed to create boolean expression evaluator/);
  });

  it('filters work on the catalog, the agent and the checks as well', async () => {
    const get = async (path: string, expression: string) =>
      (await client.get(`${path}?filter=${encodeURIComponent(expression)}`)).json;
    expect(await get(`/v1/catalog/service/${name}`, 'ServiceMeta.zone == a')).toHaveLength(1);
    const own = await get('/v1/agent/services', `Meta.zone == b and Service == "${name}"`);
    expect(Object.keys(own as object)).toEqual([`${name}-weak`]);
    const checks = await get(`/v1/health/checks/${name}`, 'Status == critical');
    expect(checks).toMatchObject([{ ServiceID: `${name}-bad` }]);
  });
}
