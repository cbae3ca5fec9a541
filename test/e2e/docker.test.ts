// Containers of a real engine, straight from its socket: started, stopped, killed, paused and turned
// unhealthy under load, and the engine itself killed.
import { execFile, spawn } from 'node:child_process';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type Engine, hasEngine, hasPodman, startEngine } from '../support/engine.ts';
import { type Load, lostIn, startLoad } from '../support/load.ts';
import { freePorts } from '../support/ports.ts';
import { type LogLine, startUpriver, type UpriverProcess } from '../support/upriver.ts';

let engine: Engine;
const endings: (() => Promise<unknown>)[] = [];
beforeAll(async () => {
  if (hasEngine) engine = await startEngine();
});
afterEach(async () => {
  for (const end of endings.splice(0).reverse()) await end();
  await engine?.removeAll();
});
afterAll(async () => {
  await engine?.stop();
});

interface EndpointAnswer {
  readonly id: string;
  readonly port: number;
  readonly state: string;
  readonly reason: string;
  readonly requests: number;
}

async function endpointsOf(upriver: UpriverProcess, service: string): Promise<EndpointAnswer[]> {
  const response = await fetch(`${upriver.statsUrl}/api/v1/services/${service}`);
  // The API's own shape (docs/reference/admin-api.md).
  return ((await response.json()) as { endpoints?: EndpointAnswer[] }).endpoints ?? [];
}

/** Answers that an endpoint of `web` began and did not end. */
async function cutIn(upriver: UpriverProcess): Promise<number> {
  const response = await fetch(`${upriver.statsUrl}/api/v1/services/web`);
  const { reasons } = (await response.json()) as { reasons: Record<string, number> };
  return reasons['response-cut'] ?? 0;
}

/** `w1:80 up, w2:80 drain`. */
async function statesOf(upriver: UpriverProcess, service: string): Promise<string> {
  const endpoints = await endpointsOf(upriver, service);
  return endpoints
    .map(({ id, state }) => `${id} ${state}`)
    .sort()
    .join(', ');
}

/** Follows the engine; what it publishes is open at its address. */
async function follow(args: readonly string[] = [], env: Record<string, string> = {}) {
  const config = `registries: { docker: { host: ${engine.address} } }`;
  const upriver = await startUpriver({
    args: [...args, '--workers', '1', '--config', await configFile(config)],
    env: { DOCKER_HOST: `unix://${engine.socket}`, ...env },
  });
  endings.push(() => upriver.stop());
  return upriver;
}

async function configFile(text: string): Promise<string> {
  const { mkdtemp, rm, writeFile } = await import('node:fs/promises');
  const folder = await mkdtemp('/tmp/upriver-docker-');
  endings.push(() => rm(folder, { recursive: true }));
  await writeFile(`${folder}/upriver.yaml`, text);
  return `${folder}/upriver.yaml`;
}

function load(port: number): Load {
  const url = `http://127.0.0.1:${port}/`;
  return startLoad({ url, perSecond: 100, timeoutMs: 15_000 });
}

/** A container has started before its server listens: until these answer. */
async function untilServing(...names: readonly string[]): Promise<void> {
  for (const name of names) {
    const answers = async () => {
      const response = await fetch(`http://${engine.address}:${await engine.portOf(name)}/`);
      return (await response.text()) !== '';
    };
    await expect.poll(() => answers().catch(() => false)).toBe(true);
  }
}

async function endpointOf(upriver: UpriverProcess, id: string): Promise<EndpointAnswer> {
  const found = (await endpointsOf(upriver, 'web')).find((one) => one.id === id);
  if (found === undefined) throw new Error(`web has no ${id}`);
  return found;
}

const env = ['SERVICE_NAME=web'];

describe.skipIf(!hasEngine)('containers', () => {
  it('come and go under load, and no request is lost', async () => {
    const [port] = (await freePorts(1)) as [number];
    const labels = { 'upriver.listen': `127.0.0.1:${port}` };
    await engine.run({ name: 'w1', env, labels });
    const upriver = await follow();
    const states = () => statesOf(upriver, 'web');
    await expect.poll(states).toBe('w1:80 up');
    await untilServing('w1');
    const running = load(port);
    await running.next(50);
    await engine.run({ name: 'w2', env, labels });
    await untilServing('w2');
    await expect.poll(states).toBe('w1:80 up, w2:80 up');
    await engine.act('w1', 'stop');
    await expect.poll(states).toBe('w2:80 up');
    await engine.act('w1', 'start');
    await expect.poll(states).toBe('w1:80 up, w2:80 up');
    await untilServing('w1');
    await engine.act('w2', 'kill');
    await expect.poll(states).toBe('w1:80 up');
    await engine.act('w2', 'start');
    await expect.poll(states).toBe('w1:80 up, w2:80 up');
    await untilServing('w2');
    await engine.act('w1', 'pause');
    await expect.poll(states).toBe('w2:80 up');
    await running.next(50);
    await engine.act('w1', 'unpause');
    await expect.poll(states).toBe('w1:80 up, w2:80 up');
    await running.next(50);
    const { failures, ok } = await running.stop();
    expect(lostIn(failures, await cutIn(upriver))).toEqual([]);
    expect(ok).toBeGreaterThan(150);
  });

  it('that are told to stop drain, and leave when they end', async () => {
    const [port] = (await freePorts(1)) as [number];
    const labels = { 'upriver.listen': `127.0.0.1:${port}` };
    // Goes on serving after SIGTERM.
    const script =
      'hostname >/www/index.html; trap : TERM; httpd -f -p 80 -h /www & while :; do wait; done';
    await engine.run({ name: 'w1', env, labels, command: ['/bin/sh', '-c', script] });
    await engine.run({ name: 'w2', env, labels });
    const upriver = await follow();
    await untilServing('w1', 'w2');
    const running = load(port);
    await running.next(50);
    await engine.act('w1', 'kill?signal=SIGTERM');
    await expect.poll(() => statesOf(upriver, 'web')).toBe('w1:80 drain, w2:80 up');
    const { reason } = await endpointOf(upriver, 'w1:80');
    expect(reason).toBe('registry: stopping: signal 15');
    const requests = async () => (await endpointOf(upriver, 'w1:80')).requests;
    // What was under way between the decision and its being live in the workers.
    const more = async () => {
      const count = await requests();
      await running.next(20);
      return (await requests()) - count;
    };
    await expect.poll(more).toBe(0);
    const before = await requests();
    await running.next(50);
    expect(await requests()).toBe(before);
    await engine.act('w1', 'kill');
    await expect.poll(() => statesOf(upriver, 'web')).toBe('w2:80 up');
    expect((await running.stop()).failures).toEqual([]);
  });

  it('with a health check get work while it is good', async () => {
    const [port] = (await freePorts(1)) as [number];
    const health = { env, healthCommand: 'test -e /tmp/good' };
    await engine.run({ name: 'w1', ...health });
    await engine.run({ name: 'w2', env });
    const upriver = await follow(['--service', `web=${port},from.registry=docker`]);
    const reason = async () => (await endpointOf(upriver, 'w1:80')).reason;
    // Its first check fails after a second.
    await expect.poll(reason).toContain('unhealthy');
    expect(await statesOf(upriver, 'web')).toBe('w1:80 down, w2:80 up');
    await untilServing('w1', 'w2');
    const running = load(port);
    await engine.exec('w1', 'touch /tmp/good');
    await expect.poll(() => statesOf(upriver, 'web')).toBe('w1:80 up, w2:80 up');
    await engine.exec('w1', 'rm /tmp/good');
    await expect.poll(() => statesOf(upriver, 'web')).toBe('w1:80 down, w2:80 up');
    await running.next(20);
    expect((await running.stop()).failures).toEqual([]);
    const isTold = ({ cause }: LogLine) => String(cause).includes('health_status');
    await upriver.waitForLog(isTold, 'the cause');
  });

  it('with a check that they declare get work while it is good', async () => {
    const [port] = (await freePorts(1)) as [number];
    const checked = [...env, 'SERVICE_CHECK_HTTP=/ok', 'SERVICE_80_CHECK_INTERVAL=1s'];
    await engine.run({ name: 'w1', env: checked });
    await engine.run({ name: 'w2', env });
    const upriver = await follow(['--service', `web=${port},from.registry=docker`]);
    await expect.poll(() => statesOf(upriver, 'web')).toBe('w1:80 down, w2:80 up');
    await engine.exec('w1', 'touch /www/ok');
    await expect.poll(() => statesOf(upriver, 'web')).toBe('w1:80 up, w2:80 up');
    await engine.exec('w1', 'rm /www/ok');
    await expect.poll(() => statesOf(upriver, 'web')).toBe('w1:80 down, w2:80 up');
    expect((await endpointOf(upriver, 'w1:80')).reason).toContain('404');
  });

  it('on networks of their own, and without any published port, are reached', async () => {
    await engine.makeNetwork('back');
    await engine.run({ name: 'w1', env, network: 'back', labels: { 'upriver.listen': '9001' } });
    await engine.run({ name: 'v1', publish: {}, env: ['VIRTUAL_HOST=a.test', 'VIRTUAL_PORT=80'] });
    await engine.run({ name: 'v2', publish: {}, env: ['VIRTUAL_HOST=b.test', 'VIRTUAL_PATH=/x'] });
    // On the engine's own host, where published ports are on loopback.
    const [file = '', ...within] = [...engine.within, process.execPath, 'bin/upriver.mjs'];
    const args = ['run', '--docker', engine.socket, '--workers', '1'];
    const child = spawn(file, [...within, ...args], { stdio: 'ignore' });
    endings.push(async () => void child.kill('SIGKILL'));
    const get = async (at: string, host: string): Promise<number> => {
      const { request } = await import('undici');
      const answer = await request(`http://${engine.address}:${at}`, { headers: { host } });
      await answer.body.dump();
      return answer.statusCode;
    };
    const status = (at: string, host: string) => get(at, host).catch((error) => String(error));
    await expect.poll(() => status('9001/', 'any')).toBe(200);
    await expect.poll(() => status('80/', 'a.test')).toBe(200);
    // The container of b.test has no such file; a.test has the root alone.
    await expect.poll(() => status('80/x/none', 'b.test')).toBe(404);
    expect(await status('80/', 'b.test')).not.toBe(200);
  });
});

describe.skipIf(!hasEngine)('an engine', () => {
  it('that is killed holds the table; when it is back, so are its containers', async () => {
    const [port] = (await freePorts(1)) as [number];
    const labels = { 'upriver.listen': `127.0.0.1:${port}` };
    const options = { env, labels, restart: 'always' } as const;
    await engine.run({ name: 'w1', ...options });
    await engine.run({ name: 'w2', ...options });
    const upriver = await follow();
    const ports = async () => [await engine.portOf('w1'), await engine.portOf('w2')];
    const before = await ports();
    await untilServing('w1', 'w2');
    const running = load(port);
    await running.next(20);
    await engine.kill();
    await upriver.waitForLog(({ msg }) => msg.includes('last known table stays'), 'outage');
    await running.next(100);
    expect((await running.stop()).failures).toEqual([]);
    expect(await statesOf(upriver, 'web')).toBe('w1:80 up, w2:80 up');
    // It ends them, and starts them again on other ports.
    await engine.start();
    await upriver.waitForLog(({ msg }) => msg === 'the registry answers again', 'return');
    await untilServing('w1', 'w2');
    const now = await ports();
    expect(now).not.toEqual(before);
    const followed = async () => (await endpointsOf(upriver, 'web')).map((one) => one.port);
    await expect.poll(followed).toEqual(now);
    expect(await statesOf(upriver, 'web')).toBe('w1:80 up, w2:80 up');
    const again = load(port);
    await again.next(50);
    expect((await again.stop()).failures).toEqual([]);
  });
});

describe.skipIf(!hasPodman)('Podman', () => {
  it('is followed as Docker is', async () => {
    const podman = await startEngine('podman');
    endings.push(() => podman.stop());
    const labels = { 'upriver.listen': '8000' };
    await podman.run({ name: 'w1', env, labels, publish: {} });
    await podman.run({ name: 'w2', env, labels, publish: {} });
    const [file = '', ...within] = podman.within;
    const args = ['run', '--docker', podman.socket, '--workers', '1'];
    const upriver = spawn(file, [...within, process.execPath, 'bin/upriver.mjs', ...args], {
      stdio: 'ignore',
    });
    endings.push(async () => void upriver.kill('SIGKILL'));
    const get = async (path: string): Promise<string> => {
      const asking = [...within, 'curl', '-s', '-m', '30', `http://127.0.0.1${path}`];
      return (await promisify(execFile)(file, asking).catch(() => ({ stdout: '' }))).stdout;
    };
    const states = async (): Promise<string> => {
      const text = (await get(':1936/api/v1/services/web')) || '{}';
      const { endpoints = [] } = JSON.parse(text) as { endpoints?: EndpointAnswer[] };
      return endpoints
        .map(({ id, state }) => `${id} ${state}`)
        .sort()
        .join(', ');
    };
    await expect.poll(states).toBe('w1:80 up, w2:80 up');
    await expect.poll(() => get(':8000/')).not.toBe('');
    await podman.act('w1', 'pause');
    await expect.poll(states).toBe('w2:80 up');
    await podman.act('w1', 'unpause');
    await expect.poll(states).toBe('w1:80 up, w2:80 up');
    await podman.kill();
    expect(await get(':8000/')).not.toBe('');
    expect(await states()).toBe('w1:80 up, w2:80 up');
    await podman.start();
    await podman.act('w1', 'stop?t=1');
    await expect.poll(states).toBe('w2:80 up');
    await podman.remove('w2');
    await expect.poll(states).toBe('');
  });
});
