// The walk-throughs on Consul: DR CoN's, on three servers and the agent of the host; Registrator's.
import { expect } from 'vitest';
import type { ArticleStage } from '../../support/article-stage.ts';
import { lostIn, startLoad } from '../../support/load.ts';
import { named, type Walk } from './walk.ts';

const SERVERS = ['node1', 'node2', 'node3'];

/** As the page of the image has it; resolves when the agent of the host knows a leader. */
async function startCluster({ sh, address, get }: ArticleStage): Promise<void> {
  const server = 'progrium/consul -server -bootstrap-expect 3';
  await sh(`
    docker run -d --name node1 -h node1 ${server}
    JOIN_IP="$(docker inspect -f '{{.NetworkSettings.IPAddress}}' node1)"
    docker run -d --name node2 -h node2 ${server} -retry-join $JOIN_IP
    docker run -d --name node3 -h node3 ${server} -retry-join $JOIN_IP
    docker run -d -p 8400:8400 -p 8500:8500 -p 8600:53/udp --name node4 -h node4 \\
      progrium/consul -retry-join $JOIN_IP`);
  const nodes = async () => {
    const text = await get(`http://${address}:8500/v1/catalog/nodes`);
    return [...text.matchAll(/"Node":"(\w+)"/g)].map(([, name]) => name).sort();
  };
  await expect.poll(nodes).toEqual([...SERVERS, 'node4']);
}

async function killLeader({ sh, address, get, ipOf }: ArticleStage): Promise<void> {
  let leader: string | undefined;
  const find = async () => {
    const said = await get(`http://${address}:8500/v1/status/leader`);
    for (const name of SERVERS) if (said.includes(`"${await ipOf(name)}:`)) leader = name;
    return leader;
  };
  // An election may go on.
  await expect.poll(find).toBeDefined();
  await sh(`docker kill ${leader}`);
}

export const drCon: Walk = async ({ stage, row, insteadOf }) => {
  const { sh, address, get } = stage;
  await startCluster(stage);
  await sh(insteadOf('Registrator, as DR CoN starts it'));
  const simple = (name: string, port: number) =>
    sh(`docker run -d --name ${name} -e "SERVICE_NAME=simple" -p ${port}:80 python/server`);
  await simple('s1', 8000);
  await sh(named(row.instead, 'drcon'));
  await expect.poll(() => get(`http://${address}/`)).toMatch(/^[0-9a-f]{12}$/);
  const stats = `${await stage.ipOf('drcon')}:1936`;
  const states = expect.poll(() => stage.states(stats, 'simple'));
  const load = startLoad({ url: `http://${address}/`, perSecond: 100, timeoutMs: 20_000 });
  await simple('s2', 8001);
  await states.toBe('s1 up, s2 up');
  await load.next(100);
  await sh('docker kill s1');
  await states.toBe('s2 up');
  await sh('docker start s1');
  await states.toBe('s1 up, s2 up');
  await sh('docker stop s2');
  await states.toBe('s1 up');
  await sh('docker start s2');
  await states.toBe('s1 up, s2 up');
  await sh('docker pause s1');
  await states.toBe('s1 maint, s2 up');
  await load.next(100);
  await sh('docker unpause s1');
  await states.toBe('s1 up, s2 up');
  await killLeader(stage);
  await simple('s3', 8002);
  await states.toBe('s1 up, s2 up, s3 up');
  await load.next(100);
  const { failures, ok } = await load.stop();
  expect(lostIn(failures, await stage.cutIn(stats, 'simple'))).toEqual([]);
  expect(ok).toBeGreaterThan(300);
};

export const registrator: Walk = async ({ stage, row }) => {
  const { sh, address, get } = stage;
  await sh('docker run -d -h node --name consul -p 8500:8500 progrium/consul -server -bootstrap');
  await expect.poll(() => get(`http://${address}:8500/v1/status/leader`)).toMatch(/:8300"$/);
  await sh(named(row.instead, 'registrar').replace('run', 'run --health-interval 1s'));
  const registered = async () => {
    const text = await get(`http://${address}:8500/v1/catalog/service/simple`);
    // Consul's own shape.
    const entries = JSON.parse(text) as { ServiceAddress: string; ServicePort: number }[];
    return entries.map((one) => `${one.ServiceAddress}:${one.ServicePort}`).sort();
  };
  await sh('docker run -d --name s1 -e "SERVICE_NAME=simple" -p 8000:80 python/server');
  await sh('docker run -d --name s2 -e "SERVICE_NAME=simple" -p 8001:80 python/server');
  await expect.poll(registered).toEqual([`${address}:8000`, `${address}:8001`]);
  await sh('docker kill s1');
  await expect.poll(registered).toEqual([`${address}:8001`]);
  await sh('docker start s1; docker stop s2');
  await expect.poll(registered).toEqual([`${address}:8000`]);
  const health = () => sh(`docker inspect -f '{{.State.Health.Status}}' registrar`);
  await expect.poll(health).toBe('healthy\n');
};
