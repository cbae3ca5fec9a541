// The stats port of two processes on one address: one serves it. Started by mistake, the second one
// fails; started as an upgrade, it serves beside the first one and takes the port when that drains.
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it, onTestFinished } from 'vitest';
import { type EndpointProcess, startEndpoint } from '../support/endpoint.ts';
import { freePorts } from '../support/ports.ts';
import { type StartOptions, startUpriver, type UpriverProcess } from '../support/upriver.ts';

const endings: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const end of endings.splice(0).reverse()) await end();
});

async function start(options: StartOptions): Promise<UpriverProcess> {
  const upriver = await startUpriver(options);
  endings.push(() => upriver.stop());
  return upriver;
}

async function set(): Promise<{
  endpoint: EndpointProcess;
  args: string[];
  statsPort: number;
  port: number;
}> {
  const endpoint = await startEndpoint('one');
  endings.push(() => endpoint.kill());
  const [port = 0, statsPort = 0] = await freePorts(2);
  const args = [
    ...['--static', `web=127.0.0.1:${endpoint.port}`, '--workers', '1'],
    ...['--service', `web=127.0.0.1:${port}`],
  ];
  return { endpoint, args, statsPort, port };
}

interface StatusAnswer {
  readonly pid: number;
  readonly shared_ports: readonly { readonly listen: string; readonly pid: number | null }[];
  readonly takeover: {
    readonly from: { readonly pid: number } | null;
    readonly successor: { readonly pid: number; readonly ready: boolean } | null;
  };
}

async function status(upriver: UpriverProcess): Promise<StatusAnswer> {
  // The API's own shape (docs/reference/admin-api.md).
  return (await (await fetch(`${upriver.statsUrl}/api/v1/status`)).json()) as StatusAnswer;
}

const takeover = async (upriver: UpriverProcess) =>
  (await fetch(`${upriver.statsUrl}/api/v1/takeover`)).status;

describe('a second process on the same stats address', () => {
  it('fails, and names the address and the process that has it', async () => {
    const { args, statsPort } = await set();
    const first = await start({ args, statsPort });
    const second = await start({ args, statsPort, isReady: false });
    expect(await second.exited).toBe(1);
    expect(second.output()).toContain(`127.0.0.1:${statsPort}`);
    expect(second.output()).toContain(`process ${first.pid}`);
    expect(second.output()).toContain('--takeover');
    expect((await status(first)).pid).toBe(first.pid);
  });

  it('fails where what has it is no Upriver, upgrade or not', async () => {
    const { args, statsPort } = await set();
    const other = createServer((_, response) => response.end('{}'));
    await new Promise<void>((resolve) => other.listen(statsPort, '127.0.0.1', resolve));
    onTestFinished(() => void other.close());
    const second = await start({ args: [...args, '--takeover'], statsPort, isReady: false });
    expect(await second.exited).toBe(1);
    expect(second.output()).toContain(`127.0.0.1:${statsPort}`);
    expect(second.output()).toContain('in use');
    if (process.platform === 'linux') expect(second.output()).toContain(`process ${process.pid}`);
  });
});

describe('an upgrade', () => {
  it('hands the stats port over when the old process drains, while that still works', async () => {
    const { endpoint, args, statsPort, port } = await set();
    const old = await start({ args, statsPort });
    expect(await takeover(old)).toBe(503);
    const next = await start({ args: [...args, '--takeover'], statsPort, isReady: false });
    await next.waitForLog(({ msg }) => msg === 'ready', 'that it is ready');
    await expect.poll(() => takeover(old)).toBe(200);
    expect(await status(old)).toMatchObject({
      pid: old.pid,
      takeover: { from: null, successor: { pid: next.pid, ready: true } },
    });
    const held = fetch(`http://127.0.0.1:${port}/held`);
    const reached = async () => (await fetch(`http://127.0.0.1:${endpoint.port}/requests`)).text();
    await expect.poll(reached).toBe('1');
    // It may have gone to either; what counts is that the port changes hands before the drain is over.
    old.signal('SIGTERM');
    await next.waitForLog(({ msg }) => msg === 'stats port taken over', 'that it has the port');
    expect(await status(next)).toMatchObject({
      pid: next.pid,
      takeover: { from: { pid: old.pid }, successor: null },
    });
    await endpoint.behave({ holds: false });
    expect((await held).status).toBe(200);
    expect(await old.exited).toBe(0);
    await expect.poll(async () => (await status(next)).shared_ports).toEqual([]);
  });

  it('takes the port of an old process that is killed', async () => {
    const { args, statsPort } = await set();
    const old = await start({ args, statsPort });
    const next = await start({ args: [...args, '--takeover'], statsPort, isReady: false });
    await expect.poll(() => takeover(old)).toBe(200);
    await old.stop();
    await next.waitForLog(({ msg }) => msg === 'stats port taken over', 'that it has the port');
    expect((await status(next)).pid).toBe(next.pid);
  });

  it('needs nobody to take over from', async () => {
    const { args, statsPort } = await set();
    const only = await start({ args, statsPort, env: { UPRIVER_TAKEOVER: '1' } });
    expect((await status(only)).takeover).toEqual({ from: null, successor: null });
  });

  it('works over a unix socket, whose file a killed process leaves behind', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'upriver-takeover-'));
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    const { args } = await set();
    const all = [...args, '--stats', join(folder, 'stats.sock')];
    const old = await start({ args: all, isReady: false });
    await old.waitForLog(({ msg }) => msg === 'ready', 'that it is ready');
    const next = await start({ args: [...all, '--takeover'], isReady: false });
    await next.waitForLog(({ msg }) => msg === 'ready', 'that it is ready');
    await old.stop();
    await next.waitForLog(({ msg }) => msg === 'stats port taken over', 'that it has the port');
  });
});

it.runIf(process.platform === 'linux')('says that another process shares a port', async () => {
  const { args, statsPort, port } = await set();
  const first = await start({ args, statsPort });
  const second = await start({ args });
  const line = await second.waitForLog(
    ({ msg }) => msg === 'another process listens on this port and gets a share',
    'that the port is shared',
  );
  expect(line).toMatchObject({ level: 'warn', listen: `127.0.0.1:${port}`, by: first.pid });
  expect((await status(second)).shared_ports).toEqual([
    { listen: `127.0.0.1:${port}`, pid: first.pid },
  ]);
});
