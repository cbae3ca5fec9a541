// A start without the registry: what was served before is served from the state file, and said to
// be, until the registry speaks.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { type ConsulAgent, hasConsul, startConsul } from '../support/consul.ts';
import { type EndpointProcess, startEndpoint } from '../support/endpoint.ts';
import { freePorts } from '../support/ports.ts';
import { startUpriver, type UpriverProcess } from '../support/upriver.ts';

const endings: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of endings.splice(0).reverse()) await end();
});

async function launch(consul: ConsulAgent, id: string): Promise<EndpointProcess> {
  const endpoint = await startEndpoint(id);
  endings.push(() => endpoint.kill());
  await consul.register({ Name: 'web', ID: id, Address: '127.0.0.1', Port: endpoint.port });
  return endpoint;
}

interface Setup {
  readonly consul: ConsulAgent;
  readonly url: string;
  readonly file: string;
  /** Starts it, again and again on the same port. */
  readonly start: (more?: readonly string[]) => Promise<UpriverProcess>;
}

async function setUp(): Promise<Setup> {
  const folder = mkdtempSync(join(tmpdir(), 'upriver-state-'));
  endings.push(() => rmSync(folder, { recursive: true }));
  const consul = await startConsul();
  endings.push(() => consul.stop());
  const [port] = await freePorts(1);
  const file = join(folder, 'state');
  const start = async (more: readonly string[] = []) => {
    const upriver = await startUpriver({
      args: [
        ...['--consul', consul.url, '--state-file', file, '--workers', '1'],
        ...['--service', `web=${port},health.path=/,health.interval=200ms`, ...more],
      ],
    });
    endings.push(() => upriver.stop());
    return upriver;
  };
  return { consul, url: `http://127.0.0.1:${port}/`, file, start };
}

async function end(upriver: UpriverProcess): Promise<void> {
  upriver.signal('SIGTERM');
  expect(await upriver.exited).toBe(0);
}

async function endpointsOf({ statsUrl }: UpriverProcess, service = 'web') {
  const response = await fetch(`${statsUrl}/api/v1/services/${service}`);
  // The API's own shape (docs/reference/admin-api.md).
  const body = (await response.json()) as {
    endpoints: { id: string; state: string; reason: string }[];
  };
  return body.endpoints;
}

async function statusOf({ statsUrl }: UpriverProcess) {
  const response = await fetch(`${statsUrl}/api/v1/status`);
  return (await response.json()) as {
    ready: { ready: boolean; reason: string };
    state: { file: string; written: number; error: string; warm_services: string[] };
  };
}

const answersFrom = async (url: string) => (await fetch(url)).headers.get('x-endpoint');

describe.skipIf(!hasConsul)('a start while the registry is down', () => {
  it('serves from the state file, says so, and follows the registry when it is back', async () => {
    const { consul, url, file, start } = await setUp();
    await launch(consul, 'a');
    const before = await start();
    expect((await fetch(url)).status).toBe(200);
    await end(before);
    await consul.kill();

    const upriver = await start();
    expect((await fetch(url)).status).toBe(200);
    const reason = /^from the state file of \d{4}-.*: the registry has not answered yet$/;
    expect(await endpointsOf(upriver)).toMatchObject([
      { id: 'dev/a', state: 'up', reason: expect.stringMatching(reason) },
    ]);
    expect(await (await fetch(`${upriver.statsUrl}/readyz`)).text()).toMatch(
      /^ready: 1 services from the state file of /,
    );
    const page = await (await fetch(`${upriver.statsUrl}/stats`)).text();
    expect(page).toContain('>ready: 1 services from the state file of ');
    const status = await statusOf(upriver);
    expect(status.state).toMatchObject({ file, error: '', warm_services: ['web'] });
    await upriver.waitForLog(({ msg }) => msg.includes('from the state file of'), 'warm');

    // It comes back without what it had, but with another: the guard holds what is missing.
    await consul.restart();
    await launch(consul, 'b');
    await expect
      .poll(() => endpointsOf(upriver))
      .toMatchObject([
        { id: 'dev/a', state: 'up', reason: expect.stringContaining('held: the registry left') },
        { id: 'dev/b', state: 'up', reason: '' },
      ]);
    expect((await statusOf(upriver)).state.warm_services).toEqual([]);
    expect(await (await fetch(`${upriver.statsUrl}/readyz`)).text()).toBe('ready\n');
  });

  it('serves services that described themselves, on the ports that they had', async () => {
    const { consul, start } = await setUp();
    const [own] = await freePorts(1);
    const endpoint = await startEndpoint('own');
    endings.push(() => endpoint.kill());
    const Tags = [`upriver.listen=127.0.0.1:${own}`];
    const definition = { Name: 'own', ID: 'own', Address: '127.0.0.1', Port: endpoint.port, Tags };
    await consul.register(definition);
    const before = await start();
    const url = `http://127.0.0.1:${own}/`;
    await expect.poll(() => fetch(url).then((one) => one.status, String)).toBe(200);
    await end(before);
    await consul.kill();

    const upriver = await start();
    expect((await fetch(url)).status).toBe(200);
    // Empty when it is back: the service is not gone, its endpoint is held.
    await consul.restart();
    await expect
      .poll(async () => (await endpointsOf(upriver, 'own'))[0]?.reason)
      .toContain('held: the registry left it out');
    expect((await fetch(url)).status).toBe(200);
    await consul.register(definition);
    await expect.poll(async () => (await endpointsOf(upriver, 'own'))[0]?.reason).toBe('');
  });

  it('keeps the file through kill -9, and ignores what it can not use', async () => {
    const { consul, url, file, start } = await setUp();
    await launch(consul, 'a');
    const before = await start();
    await expect.poll(() => statusOf(before).then(({ state }) => state.written)).toBeGreaterThan(0);
    await expect.poll(() => readFileSync(file, 'utf8')).toContain('"up":["dev/a"]');
    await before.stop();
    const whole = readFileSync(file, 'utf8');
    await consul.kill();

    const again = await start();
    expect(await answersFrom(url)).toBe('a');
    await again.stop();

    const broken = whole.slice(0, -20);
    const other = whole.replace(/"consul":"\w+"/, '"consul":"other"');
    const newer = whole.replace('"version":2', '"version":3');
    for (const [text, why] of [
      [broken, 'no JSON object'],
      [other, 'another configuration'],
      [newer, 'version 3'],
    ] as const) {
      writeFileSync(file, text);
      const [statsPort, port] = await freePorts(2);
      const cold = await startUpriver({
        args: ['--consul', consul.url, '--state-file', file, '--service', `web=${port}`],
        isReady: false,
        statsPort: statsPort!,
      });
      endings.push(() => cold.stop());
      const line = await cold.waitForLog(({ msg }) => msg.includes('is ignored'), 'ignored');
      expect(line.msg).toContain(why);
      await cold.stop();
    }
  });

  it('goes on without a file that can not be written, and says it once', async () => {
    const { consul, url, start } = await setUp();
    await launch(consul, 'a');
    const upriver = await start(['--state-file', '/nonexistent/state']);
    await expect.poll(() => statusOf(upriver).then(({ state }) => state.error)).toContain('ENOENT');
    expect((await fetch(url)).status).toBe(200);
    await consul.deregister('a');
    await expect.poll(() => endpointsOf(upriver)).toEqual([]);
    await end(upriver);
    const said = upriver.log.filter(({ msg }) => msg.includes("can't be written"));
    expect(said).toHaveLength(1);
  });
});
