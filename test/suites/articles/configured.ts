// A row that names no command but a service of the configuration: the image serves it from a file, and
// an instance that registers in Consul is balanced.
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import type { Walk } from './walk.ts';

export const configured: Walk = async ({ stage, row }) => {
  const { sh, address, get } = stage;
  const [, name = ''] = /^([\w-]+): \{/.exec(row.instead) ?? [];
  expect(name, `expected a command or a service: ${row.instead}`).not.toBe('');
  const folder = await mkdtemp(join(tmpdir(), 'upriver-article-'));
  try {
    await chmod(folder, 0o755);
    await writeFile(join(folder, 'upriver.yaml'), `services:\n  ${row.instead}\n`);
    await sh('docker run -d -h node -p 8500:8500 progrium/consul -server -bootstrap');
    await expect.poll(() => get(`http://${address}:8500/v1/status/leader`)).toMatch(/:8300"$/);
    await sh('docker run -d -p 8001:80 --hostname w1 python/server');
    const service = JSON.stringify({ Name: name, ID: 'w1', Address: address, Port: 8001 });
    await sh(`curl -fsS -X PUT -d '${service}' http://localhost:8500/v1/agent/service/register`);
    const run = `docker run -d --net host -v ${folder}:/etc/upriver:ro upriver:low-ports run`;
    await sh(`${run} --config /etc/upriver/upriver.yaml`);
    await expect.poll(() => stage.states(`${address}:1936`, name)).toBe('w1 up');
    expect(await get(`http://${address}:1936/readyz`)).not.toMatch(/^status/);
    const [, port = '', protocol = ''] = /listen: (\d+), protocol: (\w+)/.exec(row.instead) ?? [];
    if (protocol === 'tcp') expect(await get(`http://${address}:${port}/`)).toBe('w1');
  } finally {
    await rm(folder, { recursive: true });
  }
};
