// Weights as the operator meets them: the real program with several workers, and requests one after
// the other, each on a connection of its own.

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { freePorts } from '../support/ports.ts';
import { startUpriver, type UpriverProcess } from '../support/upriver.ts';

let upriver: UpriverProcess | null = null;
let folder = '';
const servers: Server[] = [];

afterEach(async () => {
  await upriver?.stop();
  upriver = null;
  for (const server of servers.splice(0)) {
    server.close();
    server.closeAllConnections();
  }
  await rm(folder, { recursive: true, force: true });
});

async function listen(port: number, counts: number[], at: number): Promise<void> {
  const server = createServer((_, response) => {
    counts[at]! += 1;
    response.end('ok');
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
}

describe('weights', () => {
  it.each(['least-conn', 'round-robin'])(
    '1, 1 and 5 get 10, 10 and 50 of 70 requests over four workers (%s)',
    async (balance) => {
      const [port, ...ports] = (await freePorts(4)) as [number, number, number, number];
      const counts = [0, 0, 0];
      await Promise.all(ports.map((one, at) => listen(one, counts, at)));
      folder = await mkdtemp(join(tmpdir(), 'upriver-weights-'));
      const file = join(folder, 'upriver.yaml');
      const endpoints = ports.map((one, at) => `127.0.0.1:${one} weight=${[1, 1, 5][at]}`);
      const web = { listen: `127.0.0.1:${port}`, balance, from: { registry: 'static' } };
      // JSON is YAML.
      const config = { services: { web }, static: { web: endpoints } };
      await writeFile(file, JSON.stringify(config));
      upriver = await startUpriver({ args: ['--config', file, '--workers', '4'] });
      for (let n = 0; n < 70; n += 1) {
        const response = await fetch(`http://127.0.0.1:${port}/`, {
          headers: { connection: 'close' },
        });
        expect(await response.text()).toBe('ok');
      }
      expect(counts).toEqual([10, 10, 50]);
    },
  );
});
