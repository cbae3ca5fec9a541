// In the place of SmartStack's synapse: instances that nerve keeps in ZooKeeper.
import { connect, createServer, type Server } from 'node:net';
import { expect } from 'vitest';
import { lostIn, startLoad } from '../../support/load.ts';
import { startZookeeper } from '../../support/zookeeper.ts';
import { openWriter } from '../../support/zookeeper-writer.ts';
import type { Walk } from './walk.ts';

export const synapse: Walk = async ({ stage, row }) => {
  const { sh, address, get, engine } = stage;
  const member = await startZookeeper();
  const relay = await relayed(engine.gateway, 2181, member.port);
  const nerve = await openWriter(member.port);
  try {
    /** Starts an instance, and registers it as nerve does. */
    const start = async (name: string, port: number): Promise<string> => {
      await sh(`docker run -d --name ${name} -p ${port}:80 python/server`);
      const data = JSON.stringify({ host: address, port, name });
      const how = { isEphemeral: true, isSequential: true };
      return nerve.create(`/nerve/services/web/services/${name}_`, data, how);
    };
    await start('w1', 8001);
    const second = await start('w2', 8002);
    const run = `docker run -d --net host --add-host zk-1:${engine.gateway} upriver:low-ports`;
    await sh(row.instead.replace(/^upriver/, run));
    const states = expect.poll(() => stage.states(`${address}:1936`, 'web'));
    const up = (...ports: number[]) =>
      states.toBe(ports.map((port) => `${address}:${port} up`).join(', '));
    await up(8001, 8002);
    await expect.poll(() => get(`http://${address}/`)).toMatch(/^[0-9a-f]{12}$/);
    const load = startLoad({ url: `http://${address}/`, perSecond: 100, timeoutMs: 20_000 });
    await load.next(50);
    await sh('docker kill w2');
    await nerve.delete(second);
    await up(8001);
    await start('w3', 8003);
    await up(8001, 8003);
    await load.next(50);
    const { failures, ok } = await load.stop();
    expect(lostIn(failures, await stage.cutIn(`${address}:1936`, 'web'))).toEqual([]);
    expect(ok).toBeGreaterThan(100);
  } finally {
    await nerve.close();
    relay.close();
    await member.stop();
  }
};

/** Makes a port of loopback reachable from the engine's network. */
async function relayed(address: string, port: number, to: number): Promise<Server> {
  const server = createServer((client) => {
    const member = connect(to, '127.0.0.1');
    client.pipe(member).pipe(client);
    client.on('error', () => member.destroy()).on('close', () => member.destroy());
    member.on('error', () => client.destroy()).on('close', () => client.destroy());
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(port, address, resolve);
  });
  return server;
}
