// Blocking queries: `index` and `wait`, and the rules of X-Consul-Index.
import { expect, it } from 'vitest';
import { type HealthAnswer, type RegistryClient, unique } from './client.ts';

export function blockingSuite(client: RegistryClient): void {
  it('wakes when the service changes, and not when another does', async () => {
    const [name, other] = [unique('watched'), unique('other')];
    await client.register({ Name: name, ID: `${name}-1` });
    await client.untilCount(name, 1);
    const { index } = await client.get(`/v1/health/service/${name}`);
    let hasWoken = false;
    const waiting = client
      .get(`/v1/health/service/${name}?index=${index}&wait=30s`)
      .then((woken) => {
        hasWoken = true;
        return woken;
      });
    await client.register({ Name: other });
    await client.untilCount(other, 1);
    expect(hasWoken).toBe(false);
    await client.register({ Name: name, ID: `${name}-2` });
    const woken = await waiting;
    expect(woken.index).toBeGreaterThan(index);
    expect(woken.json).toHaveLength(2);
  });

  it('wakes when the first instance comes and when the last one goes', async () => {
    const name = unique('first');
    const before = await client.get(`/v1/health/service/${name}`);
    const comes = client.get(`/v1/health/service/${name}?index=${before.index}&wait=30s`);
    await client.register({ Name: name });
    const after = await client.untilCount(name, 1);
    expect(after).toHaveLength(1);
    expect((await comes).index).toBeGreaterThan(before.index);
    const { index } = await client.get(`/v1/health/service/${name}`);
    const goes = client.get(`/v1/health/service/${name}?index=${index}&wait=30s`);
    await client.deregister(name);
    const gone = await goes;
    expect(gone.json).toEqual([]);
    expect(gone.index).toBeGreaterThan(index);
  });

  it('wakes when a check changes', async () => {
    const name = unique('checked');
    const Check = { CheckID: `${name}-ttl`, TTL: '1h', Status: 'passing' };
    await client.register({ Name: name, Check });
    await client.untilStatus(name, `${name}-ttl`, 'passing');
    const { index } = await client.get(`/v1/health/service/${name}`);
    const waiting = client.get(`/v1/health/service/${name}?index=${index}&wait=30s`);
    await client.put(`/v1/agent/check/fail/${name}-ttl`);
    const woken = (await waiting).json as HealthAnswer[];
    expect(woken[0]!.Checks.map(({ Status }) => Status)).toContain('critical');
  });

  it('gives the same index and answer when the wait runs out', async () => {
    const name = unique('quiet');
    await client.register({ Name: name });
    await client.untilCount(name, 1);
    const before = await client.get(`/v1/health/service/${name}`);
    const startMs = performance.now();
    const after = await client.get(`/v1/health/service/${name}?index=${before.index}&wait=300ms`);
    expect(performance.now() - startMs).toBeGreaterThan(290);
    expect(after.index).toBe(before.index);
    expect(after.json).toEqual(before.json);
  });

  it('answers at once to an index below its own, and to none', async () => {
    const name = unique('behind');
    await client.register({ Name: name });
    await client.untilCount(name, 1);
    const { index } = await client.get(`/v1/health/service/${name}`);
    for (const known of [0, 1, index - 1]) {
      const answer = await client.get(`/v1/health/service/${name}?index=${known}&wait=60s`);
      expect(answer.index).toBe(index);
    }
  });

  it('keeps the index of a service while others change', async () => {
    const [name, other] = [unique('still'), unique('busy')];
    await client.register({ Name: name });
    await client.untilCount(name, 1);
    const { index } = await client.get(`/v1/health/service/${name}`);
    await client.register({ Name: other });
    await client.untilCount(other, 1);
    expect((await client.get(`/v1/health/service/${name}`)).index).toBe(index);
    expect((await client.get(`/v1/health/service/${other}`)).index).toBeGreaterThan(index);
  });

  it('raises the index of the list of services with each new one', async () => {
    const name = unique('listed');
    const { index } = await client.get('/v1/catalog/services');
    const waiting = client.get(`/v1/catalog/services?index=${index}&wait=30s`);
    await client.register({ Name: name, Tags: ['z', 'y'] });
    expect((await waiting).index).toBeGreaterThan(index);
    const listed = await client.until('/v1/catalog/services', ({ text }) => text.includes(name));
    expect(listed.json).toMatchObject({ [name]: expect.arrayContaining(['y', 'z']) });
  });

  it('does not raise the index for a registration that changes nothing', async () => {
    const name = unique('same');
    await client.register({ Name: name, Port: 5 });
    await client.untilCount(name, 1);
    const { index } = await client.get(`/v1/health/service/${name}`);
    await client.register({ Name: name, Port: 5 });
    const after = await client.get(`/v1/health/service/${name}?index=${index}&wait=200ms`);
    expect(after.index).toBe(index);
  });

  const refused: [string, string][] = [
    ['index=abc', 'Invalid index'],
    ['index=1&wait=soon', 'Invalid wait time'],
    ['stale&consistent', 'Cannot specify ?stale with ?consistent, conflicting semantics.'],
  ];
  it.each(refused)('refuses %s', async (query, text) => {
    expect(await client.get(`/v1/health/service/web?${query}`)).toMatchObject({
      status: 400,
      text,
    });
  });

  it('knows no path to another datacenter', async () => {
    const answer = await client.get('/v1/health/service/web?dc=elsewhere');
    expect(answer).toMatchObject({ status: 500, text: 'No path to datacenter' });
  });
}
