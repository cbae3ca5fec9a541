// The program as a process: what it prints, and the code that it ends with.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { commands } from '../../src/cli/commands.ts';

// Each test starts a process, which takes seconds on a busy machine.
vi.setConfig({ testTimeout: 60_000 });

const launcher = join(import.meta.dirname, '..', '..', 'bin', 'upriver.mjs');

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function run(program: string, args: readonly string[], env = {}, stdin = ''): Promise<Ended> {
  const child = spawn(program, args, { env: { PATH: process.env.PATH, ...env } });
  const ended = { stdout: '', stderr: '' };
  child.stdout.on('data', (part) => {
    ended.stdout += part;
  });
  child.stderr.on('data', (part) => {
    ended.stderr += part;
  });
  child.stdin.on('error', () => {}).end(stdin);
  return new Promise((resolve, reject) => {
    child.on('error', reject).on('close', (code) => resolve({ code, ...ended }));
  });
}

const upriver = (args: readonly string[], env = {}) =>
  run(process.execPath, [launcher, ...args], env);

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'upriver-cli-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function fileOf(text: string): string {
  const path = join(folder, 'upriver.yaml');
  writeFileSync(path, text);
  return path;
}

describe('help', () => {
  it('lists every command, and every flag of run', async () => {
    const { code, stdout } = await upriver(['--help']);
    expect(code).toBe(0);
    for (const { name, help } of commands) expect(stdout).toContain(`  ${name.padEnd(13)}${help}`);
    for (const { name } of commands[0]!.flags) expect(stdout).toContain(`--${name} `);
  });

  it('of a command tells its words and flags', async () => {
    const { code, stdout } = await upriver(['drain', '--help']);
    expect(code).toBe(0);
    expect(stdout).toContain('Usage: upriver drain SERVICE ENDPOINT [flags]');
    expect(stdout).toContain('--token TOKEN');
  });

  it('of a command may be asked for by the word help', async () => {
    const [asked, flagged] = await Promise.all([
      upriver(['help', 'check']),
      upriver(['check', '--help']),
    ]);
    expect(asked).toEqual(flagged);
    expect(asked.stdout).toContain('--print');
  });

  it('has the version beside it', async () => {
    const { code, stdout } = await upriver(['--version']);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^upriver \d+\.\d+\.\d+ \(node \d+\.\d+\.\d+\)\n$/);
  });
});

describe('bad usage', () => {
  it.each([
    [['--workerz', '2'], "run has no flag '--workerz'; did you mean --workers?"],
    [['--zookeeper', 'a:b'], 'registries.zookeeper.address'],
    [['drain', 'web', 'e1', 'e2'], "unexpected argument 'e2'"],
    [['--workers'], "'--workers <value>' argument missing"],
    [['chek'], "unknown command 'chek'; did you mean check?"],
    [['status', '--consul', 'x'], '--consul'],
    [['status', 'extra'], "'extra'"],
    [['run', 'word'], 'word'],
    [['completion', 'csh'], "'csh': expected bash, zsh or fish"],
    [['--workers', 'many'], '--workers: workers: "many": '],
    [['drain', 'web'], 'SERVICE'],
  ])('%j ends with 2', async (args, message) => {
    const { code, stdout, stderr } = await upriver(args);
    expect(stderr).toContain(message);
    expect(stderr).not.toContain('    at ');
    expect(stdout).toBe('');
    expect(code).toBe(2);
  });
});

describe('check', () => {
  it('says that a good configuration is good', async () => {
    const path = fileOf('services: { web: { listen: 8080 } }');
    const ended = await upriver(['check', '--config', path]);
    expect(ended).toEqual({ code: 0, stdout: 'configuration is valid\n', stderr: '' });
  });

  it('tells every problem of a bad one, and ends with 1', async () => {
    const path = fileOf('services: { web: { listen: 99999, balanc: p2c } }\nworkers: x\n');
    const { code, stdout, stderr } = await upriver(['check'], { UPRIVER_CONFIG: path });
    expect(code).toBe(1);
    expect(stdout).toBe('');
    const lines = stderr.trimEnd().split('\n');
    expect(lines).toHaveLength(4);
    for (const line of lines.slice(0, 3)) expect(line).toMatch(/^upriver\.yaml:[12]:\d+: /);
    expect(lines[3]).toBe('3 problems');
  });

  it('says that a file is not there', async () => {
    const { code, stderr } = await upriver(['check', '--config', join(folder, 'none.yaml')]);
    expect(code).toBe(2);
    expect(stderr).toMatch(/can't read .*none\.yaml: ENOENT/);
  });

  it('says that an empty file, or a variable that nothing reads, is none', async () => {
    const empty = await upriver(['check', '--config', fileOf('# later\n')]);
    expect(empty).toMatchObject({ code: 1, stdout: '' });
    expect(empty.stderr).toContain('upriver.yaml:1:1: the file is empty: expected settings');
    const path = fileOf('{}');
    expect((await upriver(['check', '--config', path])).code).toBe(0);
    const misspelt = await upriver(['check', '--config', path], { UPRIVER_LOG_LEVL: 'debug' });
    expect(misspelt).toMatchObject({ code: 1, stdout: '' });
    expect(misspelt.stderr).toContain(
      'UPRIVER_LOG_LEVL: unknown variable; did you mean UPRIVER_LOG_',
    );
  });

  it('without anything to check ends with 2, but prints the defaults', async () => {
    const { code, stderr } = await upriver(['check']);
    expect(code).toBe(2);
    expect(stderr).toContain('nothing to check: name a file by --config or UPRIVER_CONFIG');
    expect(await upriver(['check', '--print'])).toMatchObject({ code: 0, stderr: '' });
    expect((await upriver(['check', '--service', 'web=80'])).code).toBe(0);
  });

  it('prints what is in force, without secrets', async () => {
    const path = fileOf(
      'registries: { consul: { token: abc111, http_auth: "me:abc222" } }\n' +
        'services: { web: { listen: 8080 } }\n',
    );
    const env = { UPRIVER_ADMIN_TOKEN: 'abc333' };
    const { code, stdout } = await upriver(['check', '--config', path, '--print'], env);
    expect(code).toBe(0);
    expect(stdout).not.toContain('abc');
    expect(stdout.match(/"?\*\*\*"?/g)).toHaveLength(3);
    expect(stdout).toContain('least-conn');
  });

  it('prints what loads again, to the same settings', async () => {
    const path = fileOf(
      'services: { web: { listen: [8080, 8081], health: { path: /up }, ' +
        'from: { tag: $$5 }, http: { response_headers: { a: "$$$$b" } } }, api: {} }\n' +
        'routers: [{ listen: 80, routes: [{ service: api }] }]',
    );
    const args = ['check', '--print', '--static', 'db=a:1', '--service', 'db=9000,protocol=tcp'];
    const { code, stdout } = await upriver([...args, '--config', path]);
    expect(code).toBe(0);
    expect((await upriver(['check', '--print', '--config', fileOf(stdout)])).stdout).toBe(stdout);
  });

  it('prints no secret that stands in an address', async () => {
    const args = ['check', '--print', '--consul', 'http://me:abc444@10.0.0.1:8500'];
    const { code, stdout } = await upriver(args);
    expect(code).toBe(0);
    expect(stdout).toContain('10.0.0.1:8500');
    expect(stdout).not.toContain('abc444');
  });
});

describe('completion', () => {
  it('for bash is a script that parses, and completes commands and flags', async () => {
    const { code, stdout } = await upriver(['completion', 'bash']);
    expect(code).toBe(0);
    expect(await run('bash', ['-n'], {}, stdout)).toMatchObject({ code: 0, stderr: '' });
    const ask = (words: string, at: number) =>
      run(
        'bash',
        [],
        {},
        `${stdout}\nCOMP_WORDS=(${words}) COMP_CWORD=${at}\n_upriver\necho "\${COMPREPLY[@]}"`,
      );
    expect((await ask('upriver che', 1)).stdout).toBe('check\n');
    expect((await ask('upriver check --pri', 2)).stdout).toBe('--print\n');
  });

  it.each(['zsh', 'fish'])('for %s names every command and flag', async (shell) => {
    const { code, stdout } = await upriver(['completion', shell]);
    expect(code).toBe(0);
    for (const { name, flags } of commands) {
      expect(stdout).toContain(name);
      for (const flag of flags) expect(stdout).toContain(flag.name);
    }
  });
});

describe('healthcheck', () => {
  it('ends with 0 when all is well, and with 1 when not or when nobody answers', async () => {
    let status = 200;
    const server = createServer((request, response) => {
      response.statusCode = request.url === '/healthz' ? status : 404;
      response.end('a worker is gone');
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void server.close());
    const address = server.address();
    const stats = `127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`;
    expect(await upriver(['healthcheck', '--stats', stats])).toMatchObject({ code: 0, stderr: '' });
    status = 503;
    const bad = await upriver(['healthcheck'], { UPRIVER_STATS: stats });
    expect(bad.code).toBe(1);
    expect(bad.stderr).toContain('answered 503: a worker is gone');
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    const gone = await upriver(['healthcheck', '--stats', stats]);
    expect(gone.code).toBe(1);
    expect(gone.stderr).toContain(`no answer from http://${stats}/healthz`);
  });
});

describe('schema', () => {
  it('is a JSON Schema with every key of the top', async () => {
    const { code, stdout } = await upriver(['schema']);
    expect(code).toBe(0);
    const schema = JSON.parse(stdout) as { type: string; properties: Record<string, unknown> };
    expect(schema.type).toBe('object');
    for (const key of ['registries', 'services', 'routers', 'stats', 'workers']) {
      expect(schema.properties).toHaveProperty(key);
    }
  });
});
