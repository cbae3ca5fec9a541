// Several workers on one port, as the kernel spreads sources over them: what one source sends comes to one
// worker, and when a worker leaves or joins, sources that come to another one are served there.
import { afterEach, expect, it } from 'vitest';
import { type UdpClient, UdpStage } from '../../support/udp-stage.ts';

const stages: UdpStage[] = [];
afterEach(async () => {
  for (const stage of stages.splice(0)) await stage.close();
});

/** A worker on this port (0: any). */
async function worker(endpoints: readonly number[], port = 0): Promise<UdpStage> {
  const stage = new UdpStage();
  stages.push(stage);
  await stage.serve(endpoints, {}, [], { port });
  return stage;
}

const sessions = (...workers: readonly UdpStage[]) =>
  workers.map(({ listener }) => listener.sessionCount);

/** Everyone asks, and is answered. */
async function askAll(clients: readonly UdpClient[], text: string): Promise<void> {
  for (const [i, client] of clients.entries()) {
    expect(await client.ask(`${text} ${i}`)).toBe(`a:${text} ${i}`);
  }
}

it('keep their sources while they stay, and serve those of others that leave', async () => {
  const home = new UdpStage();
  const a = home.endpoint('a');
  const one = await worker([a.port]);
  const { port } = one.listener;
  const other = await worker([a.port], port);
  const clients = Array.from({ length: 32 }, () => one.client());
  for (const text of ['1', '2', '3']) await askAll(clients, text);
  const [first = 0, second = 0] = sessions(one, other);
  expect(first + second).toBe(32);
  expect(Math.min(first, second)).toBeGreaterThan(0);

  // One leaves: what it had is served by the other.
  await other.listener.drain();
  expect(other.listener.port).toBe(0);
  await askAll(clients, '4');
  await askAll(clients, '5');
  expect(sessions(one, other)).toEqual([32, 0]);

  // Another joins, and gets its share; the rest stays where it was.
  const third = await worker([a.port], port);
  await askAll(clients, '6');
  await askAll(clients, '7');
  const [, joined = 0] = sessions(one, third);
  expect(joined).toBeGreaterThan(0);
  expect(joined).toBeLessThan(32);
  home.wheel.stop();
  a.socket.close();
});

it('answer what they were asked, also where the source comes to another one meanwhile', async () => {
  const home = new UdpStage();
  const waiting: (() => void)[] = [];
  const slow = home.endpoint('slow', (bytes, from, socket) => {
    waiting.push(() => socket.send(`late ${bytes}`, from.port, from.address));
  });
  const one = await worker([slow.port]);
  const clients = Array.from({ length: 16 }, () => one.client());
  for (const client of clients) client.send('q');
  await expect.poll(() => waiting.length).toBe(16);
  // Now some of them belong to another worker.
  await worker([slow.port], one.listener.port);
  for (const answer of waiting.splice(0)) answer();
  for (const client of clients) await expect.poll(() => client.got).toEqual(['late q']);
  home.wheel.stop();
  slow.socket.close();
});
