// Two Uprivers that register themselves in a real Consul: clients find them by its DNS, and lose no request
// while both are restarted, one after the other.
import { Resolver } from 'node:dns/promises';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { codeOf } from '../../src/base/coded-error.ts';
import { hasConsul, startConsul } from '../support/consul.ts';
import { startEndpoint } from '../support/endpoint.ts';
import { freePorts } from '../support/ports.ts';
import { startUpriver, type UpriverProcess } from '../support/upriver.ts';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean();
});

/** What is asked of a process that leaves is asked within this time, on a loaded machine too. */
const WAIT_MS = 5000;

describe.skipIf(!hasConsul)('a fleet behind the DNS of Consul', () => {
  it('is restarted process by process without a lost request', async () => {
    const [dnsPort, ...ports] = (await freePorts(5)) as [number, ...number[]];
    const consul = await startConsul({ args: ['-dns-port', `${dnsPort}`] });
    cleanups.push(() => consul.stop());
    const endpoint = await startEndpoint('a');
    cleanups.push(() => endpoint.kill());
    const one = { Name: 'web', Address: '127.0.0.1', Port: endpoint.port };
    await consul.register(one);

    const fleet: UpriverProcess[] = [];
    const launch = async (i: number): Promise<void> => {
      const upriver = await startUpriver({
        statsPort: ports[2 + i]!,
        args: ['--consul', consul.url, '--register-self', '--service', `web=${ports[i]}`],
        env: { UPRIVER_CONFIG: configFile() },
      });
      fleet[i] = upriver;
      await upriver.waitForLog(({ msg }) => msg === 'registered in Consul', 'the registration');
    };
    cleanups.push(() => Promise.all(fleet.map((upriver) => upriver.stop())));
    await launch(0);
    await launch(1);

    const resolver = new Resolver();
    resolver.setServers([`127.0.0.1:${dnsPort}`]);
    const places = async (): Promise<number[]> => {
      for (;;) {
        try {
          // By RFC 2782: the tag in the place of the protocol.
          const records = await resolver.resolveSrv('_upriver._web.service.consul');
          return records.map(({ port }) => port).sort();
        } catch (error) {
          // An agent that has not answered yet is asked again.
          if (['ENOTFOUND', 'ENODATA'].includes(codeOf(error))) return [];
        }
      }
    };
    /** Checks of the agent's that are over before a loaded machine has answered them. */
    const isSlow = async (): Promise<boolean> => {
      const checks = Object.values((await consul.get('/v1/agent/checks')) as object);
      return checks.some(({ Output }: { Output: string }) => /deadline|Timeout/.test(Output));
    };
    await expect.poll(places).toEqual([ports[0], ports[1]].sort());

    const failures: string[] = [];
    const byPort = new Map<number, number>();
    let isOver = false;
    const client = async (): Promise<void> => {
      while (!isOver) {
        const found = await places();
        const foundMs = performance.now();
        if (found.length === 0) {
          if (!(await isSlow())) failures.push('nobody is found');
          continue;
        }
        const port = found[Math.floor(Math.random() * found.length)];
        const headers = { connection: 'close' };
        const answer = await fetch(`http://127.0.0.1:${port}/`, { headers }).catch(
          ({ message, cause }: Error) => `${message}: ${String(cause)}`,
        );
        const status = typeof answer === 'string' ? answer : String(answer.status);
        if (typeof answer !== 'string') await answer.text();
        // What a client found is there for as long as `leave_wait`; a client that stands still longer is refused.
        const isLate = performance.now() - foundMs > WAIT_MS && status.includes('ECONNREFUSED');
        if (status !== '200' && !isLate) failures.push(`${port}: ${status}`);
        byPort.set(port ?? 0, (byPort.get(port ?? 0) ?? 0) + 1);
      }
    };
    const clients = Promise.all(Array.from({ length: 4 }, client));
    for (const i of [0, 1]) {
      const gone = fleet[i]!;
      gone.signal('SIGTERM');
      await gone.waitForLog(({ msg }) => msg === 'left the catalog of Consul', 'its leaving');
      const response = await fetch(`${gone.statsUrl}/readyz`);
      expect([response.status, await places()]).toEqual([503, [ports[1 - i]]]);
      expect(await gone.exited).toBe(0);
      await launch(i);
      const before = byPort.get(ports[i]!) ?? 0;
      await expect.poll(() => byPort.get(ports[i]!) ?? 0).toBeGreaterThan(before);
    }
    isOver = true;
    await clients;
    expect(failures).toEqual([]);

    // An agent that comes back empty is registered with again.
    await consul.restart();
    await expect.poll(places).toEqual([ports[0], ports[1]].sort());
    const known = (await consul.get('/v1/catalog/service/upriver')) as { ServiceID: string }[];
    expect(known).toHaveLength(2);
  });
});

/** A short wait: the client here asks anew for each request. */
function configFile(): string {
  const folder = mkdtempSync(join(tmpdir(), 'upriver-fleet-'));
  cleanups.push(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'upriver.yaml');
  const self = `{ leave_wait: ${WAIT_MS}ms, address: 127.0.0.1, check_interval: 1s }`;
  writeFileSync(path, `registries: { consul: { register_self: ${self} } }\n`);
  return path;
}
