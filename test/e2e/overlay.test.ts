// The overlay on a real Consul, as whoever may write its key would use it against the operator: to
// publish the environment, to have the token sent to an agent of theirs, to have a file sent. And
// what a good one did, it undoes when it is deleted.
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type ConsulAgent, hasConsul, startConsul } from '../support/consul.ts';
import { type EndpointProcess, startEndpoint } from '../support/endpoint.ts';
import { freePorts } from '../support/ports.ts';
import { type ScriptedAgent, startScriptedAgent } from '../support/scripted-agent.ts';
import { startUpriver, type UpriverProcess } from '../support/upriver.ts';

const SECRETS = { DB_PASSWORD: 'marked-in-environment', token: 'marked-in-config', file: 'marked' };

describe.skipIf(!hasConsul)('the overlay', () => {
  let consul: ConsulAgent;
  let endpoint: EndpointProcess;
  let attacker: ScriptedAgent;
  let folder: string;
  let upriver: UpriverProcess;
  let url: string;
  let port: number;
  let routerPort: number;

  beforeAll(async () => {
    consul = await startConsul();
    endpoint = await startEndpoint('one');
  });
  beforeEach(async () => {
    attacker = await startScriptedAgent(() => ({ index: 1, body: [] }));
    folder = mkdtempSync(join(tmpdir(), 'upriver-overlay-'));
    [port = 0, routerPort = 0] = await freePorts(2);
    url = `http://127.0.0.1:${port}/`;
    const file = join(folder, 'upriver.yaml');
    writeFileSync(join(folder, 'secret'), SECRETS.file);
    writeFileSync(
      file,
      `registries: { consul: { address: '${consul.url}', token: ${SECRETS.token} } }
static: { web: [ '127.0.0.1:${endpoint.port}' ] }
services: { web: { listen: ${port} } }
workers: 1
`,
    );
    const { DB_PASSWORD } = SECRETS;
    upriver = await startUpriver({ args: ['--config', file], env: { DB_PASSWORD } });
  });
  afterEach(async () => {
    await upriver.stop();
    await write(null);
    await attacker.stop();
    rmSync(folder, { recursive: true, force: true });
  });
  afterAll(async () => {
    await endpoint.kill();
    await consul.stop();
  });

  async function write(text: string | null): Promise<void> {
    const body = text === null ? { method: 'DELETE' } : { method: 'PUT', body: text };
    await fetch(`${consul.url}/v1/kv/upriver/config`, body);
  }

  const services = async () => (await fetch(`${upriver.statsUrl}/api/v1/services`)).json();
  const configError = async () => {
    const status = await fetch(`${upriver.statsUrl}/api/v1/status`);
    return ((await status.json()) as { config: { error: string } }).config.error;
  };
  const header = async (name: string) => (await fetch(url)).headers.get(name);
  const settingsOf = async () => {
    const [{ listen, protocol, balance }] = (await services()) as Record<string, unknown>[] as [
      Record<string, unknown>,
    ];
    return { listen, protocol, balance };
  };

  it('takes no port of another process that shares its own', async () => {
    const [shared = 0] = await freePorts(1);
    const other = createServer((_, response) => response.end('other'));
    other.listen({ port: shared, host: '127.0.0.1', reusePort: true });
    await once(other, 'listening');
    const from = '{ registry: static, service: web }';
    await write(`services: { thief: { listen: "127.0.0.1:${shared}", from: ${from} } }`);
    const thief = async () => {
      const all = (await services()) as { name: string; problems: string[] }[];
      return all.find(({ name }) => name === 'thief')?.problems;
    };
    const why = `listener 127.0.0.1:${shared} is taken by another process`;
    await expect.poll(thief).toEqual([why]);
    for (let i = 0; i < 40; i += 1) {
      const response = await fetch(`http://127.0.0.1:${shared}/`, {
        headers: { connection: 'close' },
      });
      expect(await response.text()).toBe('other');
    }
    other.closeAllConnections();
    other.close();
    // It is free now.
    await expect.poll(thief).toEqual([]);
  });

  const ALSO = 'services: { web: { http: { response_headers: { X-Also: yes } } } }';
  it.each([
    ['publishes the environment', () => overlayOf('X-Leak', `"$${'{DB_PASSWORD}'}"`), 'references'],
    [
      'sends the token to another agent',
      () => `${ALSO}\nregistries: { consul: { address: '${attacker.url}' } }`,
      'registries: a map: must not be set by the overlay',
    ],
    [
      'sends a file to another agent',
      () =>
        `${ALSO}\nregistries: { consul: { address: '${attacker.url}', token_file: ${join(folder, 'secret')} } }`,
      'registries: a map: must not be set by the overlay',
    ],
  ])('that %s is refused as a whole, and changes nothing', async (_, overlay, why) => {
    const before = await settingsOf();
    await write(overlay());
    await upriver.waitForLog(({ msg }) => msg.startsWith('configuration refused'), 'the refusal');
    expect(await configError()).toMatch(/^kv upriver\/config:\d+:\d+: /);
    expect(await configError()).toContain(why);
    expect(await header('x-leak')).toBeNull();
    expect(await header('x-also')).toBeNull();
    expect(await settingsOf()).toEqual(before);
    expect(attacker.asked).toEqual([]);
    for (const secret of Object.values(SECRETS)) expect(upriver.output()).not.toContain(secret);
    // Deleted, nothing of it is left, its error included.
    await write(null);
    await expect.poll(configError).toBe('');
    expect(await settingsOf()).toEqual(before);
  });

  it('that is good is undone when its key is deleted', async () => {
    const before = await settingsOf();
    await write(
      `${overlayOf('X-From', 'overlay')}\nrouters: [ { listen: ${routerPort}, routes: [ { service: web } ] } ]`,
    );
    await expect.poll(() => header('x-from')).toBe('overlay');
    await expect.poll(() => statusOf(`http://127.0.0.1:${routerPort}/`)).toBe(200);
    await write(null);
    await expect.poll(() => header('x-from')).toBeNull();
    await expect.poll(() => statusOf(`http://127.0.0.1:${routerPort}/`)).toBe(0);
    expect(await settingsOf()).toEqual(before);
    expect(await configError()).toBe('');
  });
});

function overlayOf(name: string, value: string): string {
  return `services: { web: { http: { response_headers: { ${name}: ${value} } } } }`;
}

/** 0 where nothing listens. */
async function statusOf(url: string): Promise<number> {
  try {
    return (await fetch(url)).status;
  } catch {
    return 0;
  }
}
