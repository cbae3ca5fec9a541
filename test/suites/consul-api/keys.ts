// Keys and values: reading, writing, check-and-set, and waiting for a change.
import { expect, it } from 'vitest';
import { type KeyAnswer, type RegistryClient, unique } from './client.ts';

export function keySuite(client: RegistryClient): void {
  const put = async (key: string, value: string, query = ''): Promise<unknown> => {
    const answer = await client.put(`/v1/kv/${key}${query}`, value);
    expect(answer.status, answer.text).toBe(200);
    return answer.json;
  };
  const read = async (key: string): Promise<KeyAnswer> => {
    const { json } = await client.get(`/v1/kv/${key}`);
    return (json as KeyAnswer[])[0]!;
  };

  it('are kept and told in base64, or as they are with raw', async () => {
    const key = unique('a/key');
    expect(await put(key, 'the välue', '?flags=42')).toBe(true);
    const one = await read(key);
    expect(one).toMatchObject({ Key: key, Flags: 42, LockIndex: 0 });
    expect(Buffer.from(one.Value!, 'base64').toString()).toBe('the välue');
    expect(one.CreateIndex).toBe(one.ModifyIndex);
    const raw = await client.get(`/v1/kv/${key}?raw`);
    expect(raw.text).toBe('the välue');
    expect(raw.index).toBe(one.ModifyIndex);
  });

  it('without a value have none', async () => {
    const key = unique('empty');
    await put(key, '');
    expect((await read(key)).Value).toBeNull();
    expect(await client.get(`/v1/kv/${key}?raw`)).toMatchObject({ status: 200, text: '' });
  });

  it('are 404 with an index where there is none', async () => {
    const key = unique('missing');
    for (const query of ['', '?raw', '?recurse', '?keys']) {
      const answer = await client.get(`/v1/kv/${key}${query}`);
      expect(answer).toMatchObject({ status: 404, text: '' });
      expect(answer.index).toBeGreaterThan(0);
    }
  });

  it('are listed below a prefix, whole or by name up to a separator', async () => {
    const root = unique('tree');
    for (const key of ['b', 'a', 'sub/x', 'sub/y']) await put(`${root}/${key}`, key);
    const all = (await client.get(`/v1/kv/${root}/?recurse`)).json as KeyAnswer[];
    expect(all.map(({ Key }) => Key.slice(root.length + 1))).toEqual(['a', 'b', 'sub/x', 'sub/y']);
    const names = await client.get(`/v1/kv/${root}/?keys&separator=/`);
    expect(names.json).toEqual([`${root}/a`, `${root}/b`, `${root}/sub/`]);
    const every = await client.get(`/v1/kv/${root}/?keys`);
    expect(every.json).toHaveLength(4);
  });

  it('are set only where the index is the known one', async () => {
    const key = unique('cas');
    expect(await put(key, 'first', '?cas=0')).toBe(true);
    expect(await put(key, 'again', '?cas=0')).toBe(false);
    const { ModifyIndex } = await read(key);
    expect(await put(key, 'wrong', `?cas=${ModifyIndex + 1000}`)).toBe(false);
    expect(await put(key, 'second', `?cas=${ModifyIndex}`)).toBe(true);
    expect((await client.get(`/v1/kv/${key}?raw`)).text).toBe('second');
  });

  it('keep the index of their creation, and change none when nothing changes', async () => {
    const key = unique('indexes');
    await put(key, 'one');
    const first = await read(key);
    await put(key, 'two');
    const second = await read(key);
    expect(second.CreateIndex).toBe(first.CreateIndex);
    expect(second.ModifyIndex).toBeGreaterThan(first.ModifyIndex);
    await put(key, 'two');
    expect((await read(key)).ModifyIndex).toBe(second.ModifyIndex);
  });

  it('are taken out by themselves, by index, or with all below', async () => {
    const root = unique('gone');
    for (const key of ['one', 'two/x', 'two/y']) await put(`${root}/${key}`, key);
    const { ModifyIndex } = await read(`${root}/one`);
    const remove = async (path: string) => (await client.ask('DELETE', `/v1/kv/${path}`)).json;
    expect(await remove(`${root}/one?cas=${ModifyIndex + 1000}`)).toBe(false);
    expect(await remove(`${root}/one?cas=${ModifyIndex}`)).toBe(true);
    expect((await client.get(`/v1/kv/${root}/one`)).status).toBe(404);
    expect(await remove(`${root}/one`)).toBe(true);
    expect(await remove(`${root}/?recurse`)).toBe(true);
    expect((await client.get(`/v1/kv/${root}/?keys`)).status).toBe(404);
  });

  it('wake who waits for them: when they come, change and go', async () => {
    const key = unique('waited');
    let { index } = await client.get(`/v1/kv/${key}`);
    const next = async (change: () => Promise<unknown>) => {
      const waiting = client.get(`/v1/kv/${key}?index=${index}&wait=30s`);
      await change();
      const answer = await waiting;
      expect(answer.index).toBeGreaterThan(index);
      index = answer.index;
      return answer;
    };
    expect((await next(() => put(key, 'here'))).json).toMatchObject([{ Key: key }]);
    expect((await next(() => put(key, 'changed'))).json).toMatchObject([{ Key: key }]);
    const gone = await next(() => client.ask('DELETE', `/v1/kv/${key}`));
    expect(gone.status).toBe(404);
  });

  it('do not wake who waits for another', async () => {
    const root = unique('apart');
    await put(`${root}/a`, '1');
    const { index } = await client.get(`/v1/kv/${root}/a`);
    const waiting = client.get(`/v1/kv/${root}/a?index=${index}&wait=30s`);
    let hasWoken = false;
    void waiting.then(() => {
      hasWoken = true;
    });
    await put(`${root}/b`, '1');
    await put(`${root}/ab`, '1');
    await read(`${root}/b`);
    expect(hasWoken).toBe(false);
    await put(`${root}/a`, '2');
    expect((await waiting).json).toMatchObject([{ Value: Buffer.from('2').toString('base64') }]);
  });

  it('wake who waits for a prefix when one below it goes', async () => {
    const root = unique('prefix');
    await put(`${root}/a`, '1');
    await put(`${root}/b`, '1');
    const { index } = await client.get(`/v1/kv/${root}/?recurse`);
    const waiting = client.get(`/v1/kv/${root}/?recurse&index=${index}&wait=30s`);
    await client.ask('DELETE', `/v1/kv/${root}/a`);
    expect((await waiting).json).toMatchObject([{ Key: `${root}/b` }]);
  });

  it('need a name', async () => {
    expect(await client.get('/v1/kv/')).toMatchObject({ status: 400, text: 'Missing key name' });
    expect(await client.put('/v1/kv/', 'x')).toMatchObject({ status: 400 });
  });
}
