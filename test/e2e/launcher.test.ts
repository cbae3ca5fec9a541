// What the launcher leaves behind when it is killed: nothing, whichever Node it was called with.
import { execFileSync, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { type EndpointProcess, startEndpoint } from '../support/endpoint.ts';
import { freePorts } from '../support/ports.ts';

const launcher = join(import.meta.dirname, '..', '..', 'bin', 'upriver.mjs');
const preload = join(import.meta.dirname, '..', 'support', 'older-node.mjs');

interface Caller {
  readonly name: string;
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Whether the program is another process than the launcher. */
  readonly isChild: boolean;
}

const emulated = (version: string, isChild: boolean): Caller => ({
  name: `a Node that says it is ${version}`,
  command: [process.execPath, '--import', preload],
  env: { OLDER_NODE: version },
  isChild,
});

const callers: readonly Caller[] = [
  { name: 'the Node of the tests', command: [process.execPath], env: {}, isChild: false },
  emulated('20.20.2', true),
  emulated('22.15.0', false),
  ...olderNodes().map((path) => ({ name: path, command: [path], env: {}, isChild: true })),
];

/** Nodes on PATH that can't run the program, and can't replace themselves either. */
function olderNodes(): string[] {
  const candidates = (process.env.PATH ?? '')
    .split(delimiter)
    .map((folder) => join(folder, 'node'));
  const found = candidates.filter(existsSync).filter((path) => {
    const tells = 'process.stdout.write(process.versions.node + " " + typeof process.execve)';
    const [version = '', execve] = execFileSync(path, ['-e', tells], { encoding: 'utf8' }).split(
      ' ',
    );
    return Number(version.split('.')[0]) < 24 && execve === 'undefined';
  });
  return found.slice(0, 1);
}

interface Running {
  readonly pid: number;
  /** Everything on stdout and stderr, once every process that could write there has ended. */
  readonly output: Promise<string>;
  /** The first record of the log with this message. */
  logged(msg: string): Promise<{ readonly pid: number }>;
}

function start({ command, env }: Caller, args: readonly string[]): Running {
  const [file = '', ...rest] = command;
  const child = spawn(file, [...rest, launcher, ...args], {
    env: { PATH: process.env.PATH, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let text = '';
  const looks = new Set<() => void>();
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (part) => {
      text += part;
      for (const look of looks) look();
    });
  }
  const output = new Promise<string>((resolve) => child.on('close', () => resolve(text)));
  return {
    pid: child.pid!,
    output,
    logged: (msg) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          const line = text.split('\n').find((one) => one.includes(`"msg":"${msg}"`));
          // A record of the program's own log.
          if (line?.endsWith('}')) resolve(JSON.parse(line) as { pid: number });
        };
        looks.add(look);
        look();
        void output.then(() => reject(new Error(`ended before it said '${msg}':\n${text}`)));
      }),
  };
}

let endpoint: EndpointProcess | null = null;
const pids: number[] = [];
afterEach(async () => {
  for (const pid of pids.splice(0)) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // It has ended.
    }
  }
  await endpoint?.kill();
});

describe.each(callers)('called with $name', (caller) => {
  it('the program ends when the launcher is killed, and a child finishes what it has', async () => {
    endpoint = await startEndpoint('one');
    const [port = 0, stats] = await freePorts(2);
    const running = start(caller, [
      ...['run', '--workers', '1', '--stats', `127.0.0.1:${stats}`],
      ...['--static', `web=127.0.0.1:${endpoint.port}`, '--service', `web=127.0.0.1:${port}`],
    ]);
    pids.push(running.pid);
    const { pid } = await running.logged('ready');
    pids.push(pid);
    expect(pid !== running.pid).toBe(caller.isChild);
    const url = `http://127.0.0.1:${port}`;
    const slow = fetch(`${url}/held`).then(
      (response) => response.status,
      () => 'cut',
    );
    const inFlight = async () => {
      const response = await fetch(`http://127.0.0.1:${stats}/api/v1/services/web`);
      return ((await response.json()) as { endpoints: { active: number }[] }).endpoints[0]?.active;
    };
    await expect.poll(inFlight).toBe(1);
    process.kill(running.pid, 'SIGKILL');
    await endpoint.behave({ holds: false });
    const output = await running.output;
    expect(await slow).toBe(caller.isChild ? 200 : 'cut');
    if (caller.isChild) expect(output).toContain('"msg":"stopped"');
    await expect(fetch(url)).rejects.toThrow();
  });

  it('SIGTERM and the exit code pass through, and SIGUSR1 opens no inspector', async () => {
    const [port, stats] = await freePorts(2);
    const running = start(caller, [
      ...['run', '--workers', '1', '--stats', `127.0.0.1:${stats}`],
      ...['--static', 'web=127.0.0.1:1', '--service', `web=127.0.0.1:${port}`],
    ]);
    pids.push(running.pid);
    const { pid } = await running.logged('ready');
    pids.push(pid);
    // To the launcher, and to the program where that is another process.
    for (const one of new Set([running.pid, pid])) process.kill(one, 'SIGUSR1');
    const answer = await fetch(`http://127.0.0.1:${stats}/healthz`);
    expect(answer.status).toBe(200);
    process.kill(running.pid, 'SIGTERM');
    const output = await running.output;
    expect(output).toContain('"msg":"stopped"');
    expect(output).not.toContain('Debugger');
    const [file = '', ...rest] = caller.command;
    const env = { PATH: process.env.PATH, ...caller.env };
    expect(() =>
      execFileSync(file, [...rest, launcher, '--no-such-flag'], { env, stdio: 'pipe' }),
    ).toThrow(expect.objectContaining({ status: 2 }));
  });
});

it('npm that is ended takes the program with it, though it tells no more than the shell', async () => {
  const [port, stats] = await freePorts(2);
  const root = join(launcher, '..', '..');
  const npm = spawn(
    'npm',
    [
      ...['--prefix', root, 'run', 'upriver', '--', 'run', '--workers', '1'],
      ...['--stats', `127.0.0.1:${stats}`],
      ...['--static', 'web=127.0.0.1:1', '--service', `web=127.0.0.1:${port}`],
    ],
    { cwd: root, stdio: ['ignore', 'pipe', 'pipe'], env: { PATH: process.env.PATH } },
  );
  pids.push(npm.pid!);
  let text = '';
  const output = new Promise<string>((resolve) => npm.once('close', () => resolve(text)));
  const ready = new Promise<void>((resolve) => {
    for (const stream of [npm.stdout, npm.stderr]) {
      stream.on('data', (part) => {
        text += part;
        if (text.includes('"msg":"ready"')) resolve();
      });
    }
  });
  await Promise.race([ready, output]);
  const line = text.split('\n').find((one) => one.includes('"msg":"ready"'));
  // A record of the program's own log.
  pids.push((JSON.parse(line ?? '{}') as { pid: number }).pid);
  npm.kill('SIGTERM');
  expect(await output).toContain('"msg":"stopped"');
});
