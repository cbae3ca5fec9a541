// The whole program on Consul's DNS: more instances than an answer by UDP has, replaced under load.
import { afterEach, expect, it } from 'vitest';
import { startConsul } from '../support/consul.ts';
import { type EndpointProcess, startEndpoint } from '../support/endpoint.ts';
import { startLoad } from '../support/load.ts';
import { freePorts } from '../support/ports.ts';
import { startUpriver } from '../support/upriver.ts';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean();
});

async function launch(names: readonly string[]): Promise<EndpointProcess[]> {
  const started = await Promise.all(names.map((name) => startEndpoint(name)));
  for (const endpoint of started) cleanups.push(() => endpoint.kill());
  return started;
}

it('follows web.service.consul, all of it, and loses nothing when its instances are replaced', async () => {
  const [dnsPort, webPort] = (await freePorts(2)) as [number, number];
  const consul = await startConsul({ args: ['-dns-port', `${dnsPort}`] });
  cleanups.push(() => consul.stop());
  const before = ['a', 'b', 'c', 'd', 'e'];
  const after = ['x', 'y'];
  const [old, next] = [await launch(before), await launch(after)];
  const register = (endpoints: readonly EndpointProcess[], names: readonly string[]) =>
    Promise.all(
      endpoints.map(({ port }, i) =>
        consul.put('/v1/agent/service/register', {
          ...{ ID: `web-${names[i]}`, Name: 'web', Address: '127.0.0.1', Port: port },
        }),
      ),
    );
  await register(old, before);
  const upriver = await startUpriver({
    args: [
      ...['--dns', `127.0.0.1:${dnsPort}`],
      ...['--service', `web=127.0.0.1:${webPort},from.service=web.service.consul`],
    ],
  });
  cleanups.push(() => upriver.stop());
  const load = startLoad({
    url: `http://127.0.0.1:${webPort}/`,
    perSecond: 100,
    timeoutMs: 15_000,
  });
  const sees = async (name: string) => {
    while (!load.byEndpoint.has(name)) await load.next(10);
  };
  // By UDP Consul would tell of three.
  for (const name of before) await sees(name);
  await register(next, after);
  for (const name of after) await sees(name);
  await Promise.all(before.map((name) => consul.deregister(`web-${name}`)));
  const total = (names: readonly string[]) =>
    names.reduce((sum, name) => sum + (load.byEndpoint.get(name) ?? 0), 0);
  // Until the old ones have had nothing for a while.
  for (let quiet = 0, seen = -1; quiet < 10; ) {
    await load.next(10);
    quiet = total(before) === seen ? quiet + 1 : 0;
    seen = total(before);
  }
  expect((await load.stop()).failures).toEqual([]);
});
