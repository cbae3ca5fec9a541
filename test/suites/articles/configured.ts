// A row that names no command but a service of the configuration: the image serves it from a file, and
// an instance that registers in Consul is balanced.
import { Resolver } from 'node:dns/promises';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import type { ArticleStage } from '../../support/article-stage.ts';
import type { Walk } from './walk.ts';

export const configured: Walk = async ({ stage, row }) => {
  const { sh, address, get } = stage;
  const [, name = ''] = /^([\w-]+): \{/.exec(row.instead) ?? [];
  expect(name, `expected a command or a service: ${row.instead}`).not.toBe('');
  const folder = await mkdtemp(join(tmpdir(), 'upriver-article-'));
  try {
    await chmod(folder, 0o755);
    await writeFile(join(folder, 'upriver.yaml'), `services:\n  ${row.instead}\n`);
    const [, port = '', protocol = ''] = /listen: (\d+), protocol: (\w+)/.exec(row.instead) ?? [];
    await startInstance(stage, name, protocol === 'udp');
    const run = `docker run -d --net host -v ${folder}:/etc/upriver:ro upriver:low-ports run`;
    await sh(`${run} --config /etc/upriver/upriver.yaml`);
    await expect.poll(() => stage.states(`${address}:1936`, name)).toBe('i1 up');
    await expect.poll(() => get(`http://${address}:1936/readyz`)).toBe('ready');
    if (protocol === 'tcp') expect(await get(`http://${address}:${port}/`)).toBe('w1');
    if (protocol === 'udp') expect(await addressOf('node.node.consul', address)).not.toEqual([]);
  } finally {
    await rm(folder, { recursive: true });
  }
};

/** An agent of Consul, and in it an instance: a web server, or by UDP the DNS of the agent itself. */
async function startInstance(stage: ArticleStage, name: string, isUdp: boolean): Promise<void> {
  const { sh, address, get } = stage;
  const agent = 'progrium/consul -server -bootstrap';
  await sh(`docker run -d -h node -p 8500:8500 -p 8600:53/udp ${agent}`);
  await expect.poll(() => get(`http://${address}:8500/v1/status/leader`)).toMatch(/:8300"$/);
  await sh('docker run -d -p 8001:80 --hostname w1 python/server');
  const place = isUdp ? { Port: 8600, Tags: ['udp'] } : { Port: 8001 };
  const service = JSON.stringify({ Name: name, ID: 'i1', Address: address, ...place });
  await sh(`curl -fsS -X PUT -d '${service}' http://localhost:8500/v1/agent/service/register`);
}

/** Asks the DNS server at this address by UDP. */
async function addressOf(name: string, server: string): Promise<string[]> {
  const resolver = new Resolver({ timeout: 2000, tries: 2 });
  resolver.setServers([server]);
  return resolver.resolve4(name);
}
