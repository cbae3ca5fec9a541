// Signals, reloads, crashes and ports in use: what happens to running traffic must be nothing.
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type EndpointProcess, startEndpoint } from '../support/endpoint.ts';
import { startLoad } from '../support/load.ts';
import { freePorts } from '../support/ports.ts';
import { spawnUpriver, startUpriver, type UpriverProcess } from '../support/upriver.ts';

let folder: string;
let endpoint: EndpointProcess;
let port: number;
let upriver: UpriverProcess | null = null;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'upriver-life-'));
  endpoint = await startEndpoint('one');
  port = (await freePorts(1))[0]!;
});
afterEach(async () => {
  await upriver?.stop();
  upriver = null;
  await endpoint.kill();
  await rm(folder, { recursive: true, force: true });
});

/** Flags that put the endpoint behind `port`. */
const flags = () => ['--static', `web=127.0.0.1:${endpoint.port}`, '--service', `web=${port}`];
const url = (path = '/') => `http://127.0.0.1:${port}${path}`;
const readyStatus = async () => (await fetch(`${upriver!.statsUrl}/readyz`)).status;

/** Requests in flight on the one endpoint. */
async function active(): Promise<number> {
  const response = await fetch(`${upriver!.statsUrl}/api/v1/services/web`);
  // The API's own shape (docs/reference/admin-api.md).
  const service = (await response.json()) as { endpoints: { active: number }[] };
  return service.endpoints[0]!.active;
}

describe('SIGTERM', () => {
  it('finishes what is in flight, says not ready, and exits with 0', async () => {
    upriver = await startUpriver({ args: flags() });
    const slow = fetch(url('/held'));
    await expect.poll(active).toBe(1);
    upriver.signal('SIGTERM');
    await expect.poll(readyStatus).toBe(503);
    // Readiness goes first; connections are taken until every worker has closed its listener.
    const asked = () =>
      fetch(url()).then(
        () => 'answered',
        () => 'refused',
      );
    await expect.poll(asked).toBe('refused');
    await endpoint.behave({ holds: false });
    const response = await slow;
    expect(response.status).toBe(200);
    expect(await response.text()).toBe('one GET 0\n');
    expect(await upriver.exited).toBe(0);
  });

  it('a second one does not wait for what is in flight', async () => {
    upriver = await startUpriver({ args: flags() });
    const slow = fetch(url('/held')).then(
      () => 'answered',
      () => 'cut',
    );
    await expect.poll(active).toBe(1);
    upriver.signal('SIGTERM');
    await expect.poll(readyStatus).toBe(503);
    // At once it would count as the same wish, handed on twice by a parent process.
    await new Promise((resolve) => setTimeout(resolve, 200));
    upriver.signal('SIGTERM');
    await upriver.exited;
    expect(await slow).toBe('cut');
  });
});

describe('a configuration file', () => {
  const config = (more = '') => `
static:
  web: [ "127.0.0.1:${endpoint.port}" ]
services:
  web: { listen: "127.0.0.1:${port}", from: { registry: static }${more} }
`;

  it('is applied when it changes, without a request lost', async () => {
    const file = join(folder, 'upriver.yaml');
    const [second] = await freePorts(1);
    await writeFile(file, config());
    upriver = await startUpriver({ args: ['--config', file] });
    const load = startLoad({ url: url(), perSecond: 200, timeoutMs: 15_000 });
    await load.next(50);
    await writeFile(
      `${file}.new`,
      `${config()}  other: { listen: "127.0.0.1:${second}", from: { registry: static, service: web } }\n`,
    );
    await rename(`${file}.new`, file);
    await expect
      .poll(() =>
        fetch(`http://127.0.0.1:${second}/`).then(
          (r) => r.status,
          () => 0,
        ),
      )
      .toBe(200);
    await writeFile(file, config());
    upriver.signal('SIGHUP');
    await expect
      .poll(() =>
        fetch(`http://127.0.0.1:${second}/`).then(
          (r) => r.status,
          () => 0,
        ),
      )
      .toBe(0);
    await load.next(50);
    expect((await load.stop()).failures).toEqual([]);
  });

  it('that is wrong is refused by place, and the old one stays', async () => {
    const file = join(folder, 'upriver.yaml');
    await writeFile(file, config());
    upriver = await startUpriver({ args: ['--config', file] });
    await writeFile(file, config(', balanse: least-conn'));
    const line = await upriver.waitForLog(
      ({ msg }) => msg.includes('upriver.yaml:5:'),
      'where the file is wrong',
    );
    expect(JSON.stringify(line)).toContain('balanse');
    expect((await fetch(url())).status).toBe(200);
    const metrics = await (await fetch(`${upriver.statsUrl}/metrics`)).text();
    expect(metrics).toMatch(/^upriver_config_last_reload_successful 0$/m);

    await writeFile(file, config(', balance: round-robin'));
    await expect
      .poll(async () => (await fetch(`${upriver!.statsUrl}/metrics`)).text())
      .toMatch(/^upriver_config_last_reload_successful 1$/m);
  });
});

describe('a port in use', () => {
  it('ends the start with 1 and names the service and the port', async () => {
    const other = createServer().listen(port, '0.0.0.0');
    await new Promise((resolve) => other.once('listening', resolve));
    upriver = await startUpriver({ args: flags(), isReady: false });
    expect(await upriver.exited).toBe(1);
    expect(upriver.output()).toContain(`${port}`);
    expect(upriver.output()).toContain('web');
    expect(upriver.output()).toContain('in use');
    await new Promise((resolve) => other.close(resolve));
  });
});

describe('bad usage', () => {
  it('exits with 2 and names the flag', async () => {
    const run = spawnUpriver(['run', '--no-such-flag'], {});
    expect(await run.exited).toBe(2);
    expect(run.output()).toContain('--no-such-flag');
  });
});
