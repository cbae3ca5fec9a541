// What an operator types, against a real instance that follows a registry. The instance is found as
// `run` was configured: by its file.
import { execFile, spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { createEmbeddedRegistry } from '../../src/dev/embedded-registry.ts';
import { freePorts } from '../support/ports.ts';
import { spawnUpriver, type UpriverProcess } from '../support/upriver.ts';

const exec = promisify(execFile);
const launcher = join(import.meta.dirname, '..', '..', 'bin', 'upriver.mjs');

let folder: string;
let config: string;
let upriver: UpriverProcess;
const registry = createEmbeddedRegistry({ clock: systemClock, random: Math.random });

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'upriver-operator-'));
  const [agent = 0, stats = 0, port] = await freePorts(3);
  await registry.listen('127.0.0.1', agent);
  for (const [ID, Port] of [
    ['api-1', 9001],
    ['api-2', 9002],
  ]) {
    await fetch(`http://127.0.0.1:${agent}/v1/agent/service/register`, {
      method: 'PUT',
      body: JSON.stringify({ Name: 'api', ID, Address: '127.0.0.1', Port }),
    });
  }
  config = join(folder, 'upriver.yaml');
  writeFileSync(
    config,
    `registries: { consul: { address: "http://127.0.0.1:${agent}" } }
services: { api: { listen: "127.0.0.1:${port}" } }
stats: { listen: "0.0.0.0:${stats}", admin_token: s3cret }
workers: 1
`,
  );
  upriver = spawnUpriver(['run', '--config', config], {});
  await upriver.waitForLog(({ msg }) => msg === 'ready', 'that it is ready');
});
afterAll(async () => {
  await upriver.stop();
  await registry.close();
  rmSync(folder, { recursive: true, force: true });
});

const environment = () => ({ PATH: process.env.PATH, UPRIVER_CONFIG: config });

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function run(...args: readonly string[]): Promise<Ended> {
  try {
    const options = { env: environment() };
    const { stdout, stderr } = await exec(process.execPath, [launcher, ...args], options);
    return { code: 0, stdout, stderr };
  } catch (error) {
    // What execFile rejects with.
    return error as Ended;
  }
}

interface Shown {
  readonly id: string;
  readonly state: string;
  readonly weight: number;
}

async function shown(id: string): Promise<Shown | undefined> {
  const { stdout } = await run('status', '--json');
  const { services } = JSON.parse(stdout) as { services: { endpoints: Shown[] }[] };
  return services[0]?.endpoints.find((one) => one.id.endsWith(`/${id}`));
}

describe('the instance', () => {
  it('is found by its file, without a flag', async () => {
    expect(await run('healthcheck')).toEqual({ code: 0, stdout: '', stderr: '' });
    expect((await run('status')).stdout).toMatch(/^api .*\/api-1 +up /m);
    const flag = await run('healthcheck', '--stats', ':1');
    expect(flag).toMatchObject({ code: 1, stderr: expect.stringContaining('127.0.0.1:1/healthz') });
  });

  it('is shown as JSON', async () => {
    const { stdout } = await run('status', '--json');
    expect(JSON.parse(stdout)).toMatchObject({
      status: { pid: upriver.pid, ready: { ready: true } },
      services: [{ name: 'api' }],
    });
    const one = await run('explain', 'api', 'api-2', '--json');
    expect(JSON.parse(one.stdout)).toMatchObject({
      name: 'api',
      endpoints: [{ port: 9002, history: [{ to: 'up' }] }],
    });
  });

  it('is shown again and again by --watch', async () => {
    const watching = spawn(process.execPath, [launcher, 'status', '--watch'], {
      env: environment(),
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let tables = 0;
    for await (const line of createInterface({ input: watching.stdout })) {
      if (line.startsWith('SERVICE ')) tables += 1;
      if (tables === 3) break;
    }
    watching.kill('SIGTERM');
    expect(tables).toBe(3);
  });
});

describe('an endpoint', () => {
  it.each([
    ['drain', 'api-1', 'drain'],
    ['maint', '127.0.0.1:9001', 'maint'],
    ['ready', 'api-1', 'up'],
  ])('%s takes %s', async (verb, name, state) => {
    const { code, stdout } = await run(verb, 'api', name);
    expect(stdout).toMatch(new RegExp(`^api \\S+/api-1: ${verb}\n$`));
    expect(code).toBe(0);
    expect(await shown('api-1')).toMatchObject({ state });
  });

  it('gets another weight', async () => {
    expect((await run('weight', 'api', 'api-2', '7')).stdout).toMatch(/\/api-2: weight 7\n$/);
    expect(await shown('api-2')).toMatchObject({ weight: 7 });
    expect(await run('weight', 'api', 'api-2')).toMatchObject({ code: 2 });
    const wrong = await run('weight', 'api', 'api-2', '-1');
    expect(wrong.code).toBe(2);
    const high = await run('weight', 'api', 'api-2', '70000');
    expect(high).toMatchObject({ code: 2, stderr: expect.stringContaining("'70000'") });
  });

  it('that is not there is answered with those that are', async () => {
    for (const verb of ['drain', 'explain']) {
      const { code, stderr } = await run(verb, 'api', 'api-9');
      expect(code).toBe(1);
      expect(stderr).toContain("service api has no endpoint 'api-9'");
      expect(stderr).toMatch(
        /\/api-1 {2}\(127\.0\.0\.1:9001\)\n.*\/api-2 {2}\(127\.0\.0\.1:9002\)/,
      );
    }
    expect(await run('drain', 'none', 'x')).toMatchObject({
      ...{ code: 1, stderr: "upriver: no service 'none'\n" },
    });
  });
});

describe('completion', () => {
  it('asks the instance for services and endpoints', async () => {
    expect((await run('names')).stdout).toBe('api\n');
    expect((await run('names', 'api')).stdout).toMatch(/^\S+\/api-1\n\S+\/api-2\n$/);
    expect(await run('names', '--stats', ':1')).toMatchObject({ code: 1, stdout: '', stderr: '' });
  });

  it('in bash offers them', async () => {
    const command = join(folder, 'upriver');
    writeFileSync(command, `#!/bin/sh\nexec '${process.execPath}' '${launcher}' "$@"\n`);
    chmodSync(command, 0o755);
    const script = (await run('completion', 'bash')).stdout;
    const env = { ...environment(), PATH: [folder, process.env.PATH].join(delimiter) };
    const complete = async (words: string, at: number) => {
      const asked = `${script}\nCOMP_WORDS=(${words}) COMP_CWORD=${at}\n_upriver\necho "\${COMPREPLY[@]}"`;
      return (await exec('bash', ['-c', asked], { env })).stdout.trim();
    };
    expect(await complete('upriver drain a', 2)).toBe('api');
    expect(await complete('upriver explain api ""', 3)).toMatch(/^\S+\/api-1 \S+\/api-2$/);
    expect(await complete('upriver drain --st', 2)).toBe('--stats');
  });
});
