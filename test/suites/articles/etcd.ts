// The walk-through of docker-register and docker-discover on etcd's v2 API.
import { expect } from 'vitest';
import type { ArticleStage } from '../../support/article-stage.ts';
import { type Failure, startLoad } from '../../support/load.ts';
import { named, type Walk } from './walk.ts';

async function startEtcd({ sh, address, get }: ArticleStage): Promise<void> {
  await sh('docker run -d --name etcd -p 4001:4001 -p 7001:7001 coreos/etcd');
  await expect.poll(() => get(`http://${address}:4001/health`)).toContain('true');
}

/** What docker-register wrote of whoami: values, and the time that they have to live. */
async function keysOf({ address, get }: ArticleStage): Promise<Record<string, string>> {
  const text = await get(`http://${address}:4001/v2/keys/backends/whoami`);
  if (!text.startsWith('{')) return {};
  // etcd's own shape.
  const { node } = JSON.parse(text) as { node: { nodes?: { key: string; value: string }[] } };
  return Object.fromEntries((node.nodes ?? []).map(({ key, value }) => [key, value]));
}

const WHOAMI = 'docker run -d -p 8000 -t';

export const dockerRegister: Walk = async ({ stage, row }) => {
  const { sh, address } = stage;
  await startEtcd(stage);
  await sh(named(row.instead, 'docker-register'));
  await sh(`${WHOAMI} --name whoami jwilder/whoami`);
  const id = (await sh(`docker inspect -f '{{.Id}}' whoami`)).slice(0, 12);
  const port = (await sh('docker port whoami 8000/tcp')).split('\n')[0]!.split(':').at(-1);
  await expect
    .poll(() => keysOf(stage))
    .toEqual({
      [`/backends/whoami/${id}`]: `${address}:${port}`,
      '/backends/whoami/port': '8000',
    });
  await sh('docker kill whoami');
  await expect.poll(async () => Object.keys(await keysOf(stage))).not.toContain(id);
};

export const dockerDiscover: Walk = async ({ stage, row, insteadOf }) => {
  const { sh, address, get } = stage;
  await startEtcd(stage);
  await sh(insteadOf('docker-register'));
  await sh(named(row.instead, 'docker-discover'));
  const idOf = async (name: string) =>
    (await sh(`docker inspect -f '{{.Id}}' ${name}`)).slice(0, 12);
  const start = async (name: string): Promise<string> => {
    await sh(`${WHOAMI} --name ${name} jwilder/whoami`);
    return idOf(name);
  };
  const first = await start('whoami1');
  const url = `http://${address}:8000/`;
  await expect.poll(() => get(url, { connection: 'close' })).toBe(first);
  const second = await start('whoami2');
  const served = expect.poll(() => stage.states(`${address}:1936`, 'whoami'));
  const both = [first, second].sort().map((id) => `${id} up`);
  await served.toBe(both.join(', '));
  const load = startLoad({ url, perSecond: 100, timeoutMs: 20_000, keepAlive: false });
  await load.next(50);
  await sh('docker stop whoami1');
  await served.toBe(`${second} up`);
  await sh('docker start whoami1');
  await served.toBe(both.join(', '));
  await sh('docker pause whoami1');
  await served.toBe(`${second} up`);
  await load.next(50);
  await sh('docker unpause whoami1');
  await served.toBe(both.join(', '));
  const before = load.failures.length;
  expect(load.failures).toEqual([]);
  await sh('docker kill whoami2');
  await served.toBe(`${first} up`);
  await load.next(50);
  const { failures, ok } = await load.stop();
  expect(failures.slice(before).filter((one) => !isCutSession(one))).toEqual([]);
  // At most what came in a fifth of a second.
  expect(failures.length).toBeLessThan(20);
  expect(ok).toBeGreaterThan(200);
};

/** A session over TCP ends with its endpoint; all that begin later are served. */
function isCutSession({ why }: Failure): boolean {
  return /socket hang up|ECONNRESET/.test(why);
}
