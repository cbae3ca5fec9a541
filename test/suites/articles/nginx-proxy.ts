// The walk-through of nginx-proxy: containers that name their virtual host, on one engine.
import { expect } from 'vitest';
import { lostIn, startLoad } from '../../support/load.ts';
import { named, type Walk } from './walk.ts';

export const nginxProxy: Walk = async ({ stage, row }) => {
  const { sh, address, get } = stage;
  const web = (name: string, host: string) =>
    sh(`docker run -d --name ${name} -e VIRTUAL_HOST=${host} python/server`);
  await web('web1', 'foo.bar.com');
  await web('other', 'other.bar.com,*.more.bar.com');
  await sh(named(row.instead, 'nginx-proxy'));
  const url = `http://${address}/`;
  const of = (host: string) => get(url, { host });
  const ids = await sh(`docker inspect -f '{{.Config.Hostname}}' web1 other`);
  const [first = '', other = ''] = ids.trim().split('\n');
  await expect.poll(() => of('foo.bar.com')).toBe(first);
  await expect.poll(() => of('other.bar.com')).toBe(other);
  expect(await of('a.more.bar.com')).toBe(other);
  expect(await of('none.bar.com')).toMatch(/^status 404/);
  const stats = `${await stage.ipOf('nginx-proxy')}:1936`;
  const states = expect.poll(() => stage.states(stats, 'foo.bar.com'));
  const headers = { host: 'foo.bar.com' };
  const load = startLoad({ url, perSecond: 100, timeoutMs: 20_000, headers });
  await web('web2', 'foo.bar.com');
  await states.toBe('web1 up, web2 up');
  await load.next(50);
  await sh('docker kill web1');
  await states.toBe('web2 up');
  await sh('docker start web1');
  await states.toBe('web1 up, web2 up');
  await sh('docker stop web2');
  await states.toBe('web1 up');
  await sh('docker start web2');
  await states.toBe('web1 up, web2 up');
  await sh('docker pause web1');
  await states.toBe('web2 up');
  await load.next(50);
  await sh('docker unpause web1');
  await states.toBe('web1 up, web2 up');
  const { failures, ok } = await load.stop();
  expect(lostIn(failures, await stage.cutIn(stats, 'foo.bar.com'))).toEqual([]);
  expect(ok).toBeGreaterThan(200);
};
