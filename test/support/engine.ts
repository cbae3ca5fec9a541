// A real Docker Engine for tests, apart from any other on the machine: it has a network namespace of
// its own, so what containers publish is open at `address`, not on loopback. Needs root.
import { execFile, execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { Agent } from 'undici';
import { untilTrue } from './discovery.ts';

const run = promisify(execFile);
const scripts = join(import.meta.dirname, '..', '..', 'scripts');

/** How each is started, and where its process id is. */
const KINDS = {
  docker: {
    script: join(scripts, 'start-docker'),
    pid: 'engine/dockerd.pid',
    name: 'Docker Engine',
  },
  podman: { script: join(scripts, 'start-podman'), pid: 'engine/service.pid', name: 'Podman' },
} as const;
type Kind = keyof typeof KINDS;

/** For describe.skipIf(!hasEngine). In CI its absence is an error instead. */
export const hasEngine = findEngine('docker');
export const hasPodman = findEngine('podman');

export interface ContainerOptions {
  readonly name: string;
  readonly image?: string;
  readonly env?: readonly string[];
  readonly labels?: Readonly<Record<string, string>>;
  /** `80/tcp` -> a port of the host, `10.0.0.1:80`, or '' for any. */
  readonly publish?: Readonly<Record<string, string>>;
  readonly expose?: readonly string[];
  readonly network?: string;
  /** A shell command; exit code 0 is healthy. Run every second. */
  readonly healthCommand?: string;
  readonly restart?: 'always' | 'no';
  readonly command?: readonly string[];
}

export interface Engine {
  readonly socket: string;
  /** Of published ports; Podman's are on loopback where it is. */
  readonly address: string;
  /** What runs a program where the engine is: its published ports are on loopback there. */
  readonly within: readonly string[];
  /** The machine, as the engine and its containers reach it. */
  readonly gateway: string;
  /** Docker's command line. */
  readonly cli: string;
  /**
   * Runs commands of bash where the engine is, with `docker` for this engine; resolves with what they
   * print, throws with it where one fails.
   */
  shell(commands: string, env?: Readonly<Record<string, string>>): Promise<string>;
  /** Creates and starts a container; resolves with its id. */
  run(options: ContainerOptions): Promise<string>;
  /** POST /containers/NAME/ACTION: start, stop, kill?signal=TERM, pause, unpause, restart, ... */
  act(name: string, action: string): Promise<void>;
  remove(name: string): Promise<void>;
  removeAll(): Promise<void>;
  /** Runs a shell command in a container. */
  exec(name: string, command: string): Promise<void>;
  inspect(name: string): Promise<unknown>;
  /** The port of the host on which this one is published. */
  portOf(name: string, port?: string): Promise<number>;
  makeNetwork(name: string): Promise<void>;
  /** kill -9 of the engine; its containers run on. */
  kill(): Promise<void>;
  /** Starts it again after `kill`. */
  start(): Promise<void>;
  stop(): Promise<void>;
}

export async function startEngine(kind: Kind = 'docker'): Promise<Engine> {
  const { script, pid } = KINDS[kind];
  // Paths of sockets are short.
  const folder = mkdtempSync('/tmp/upriver-engine-');
  const start = async (): Promise<string> => (await run(script, [folder])).stdout.trim();
  const socket = await start();
  const read = (name: string): string => readFileSync(join(folder, name), 'utf8').trim();
  let agent = new Agent({ connect: { socketPath: socket } });
  const ask = async (method: 'GET' | 'POST' | 'DELETE', path: string, body?: unknown) => {
    const { statusCode, body: answer } = await agent.request({
      ...{ origin: 'http://docker', method, path, headers: { 'content-type': 'application/json' } },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await answer.text();
    if (statusCode >= 400) throw new Error(`${method} ${path} answered ${statusCode}: ${text}`);
    // The engine's own shape.
    return (text.startsWith('{') || text.startsWith('[') ? JSON.parse(text) : null) as never;
  };
  const address = kind === 'docker' ? read('address') : '127.0.0.1';
  const cli = join(await treeOf(script), 'usr/bin/docker');
  const within = ['nsenter', `--net=/run/netns/${read('engine/netns')}`];
  const engine: Engine = {
    ...{ socket, address, within, cli, gateway: address.replace(/2$/, '1') },
    shell: async (commands, env = {}) => {
      const PATH = `${dirname(cli)}:${process.env.PATH}`;
      const given = { ...env, PATH, HOME: join(folder, 'engine'), DOCKER_HOST: `unix://${socket}` };
      const [file = '', ...args] = [
        ...within,
        'bash',
        '--norc',
        '-euo',
        'pipefail',
        '-c',
        commands,
      ];
      return (await run(file, args, { env: given, maxBuffer: 16 * 1024 ** 2 })).stdout;
    },
    run: async (options) => {
      const path = `/containers/create?name=${encodeURIComponent(options.name)}`;
      const { Id } = (await ask('POST', path, creation(options))) as { Id: string };
      await ask('POST', `/containers/${Id}/start`);
      return Id;
    },
    act: (name, action) => ask('POST', `/containers/${name}/${action}`),
    remove: (name) => ask('DELETE', `/containers/${name}?force=1`),
    removeAll: async () => {
      let why = '';
      const isDone = async (): Promise<boolean> => {
        const all = (await ask('GET', '/containers/json?all=1')) as { Id: string }[];
        // One that goes by itself is refused, and is not there the next time.
        const tried = await Promise.allSettled(all.map(({ Id }) => engine.remove(Id)));
        for (const one of tried) if (one.status === 'rejected') why = String(one.reason);
        return all.length === 0;
      };
      await untilTrue(isDone, () => `containers are left: ${why}`);
    },
    exec: async (name, command) => {
      const Cmd = ['/bin/sh', '-c', command];
      const { Id } = (await ask('POST', `/containers/${name}/exec`, { Cmd })) as { Id: string };
      await ask('POST', `/exec/${Id}/start`, { Detach: true });
    },
    inspect: (name) => ask('GET', `/containers/${name}/json`),
    portOf: async (name, port = '80/tcp') => {
      const { NetworkSettings } = (await engine.inspect(name)) as {
        NetworkSettings: { Ports: Record<string, { HostPort: string }[]> };
      };
      return Number(NetworkSettings.Ports[port]![0]!.HostPort);
    },
    makeNetwork: (name) => ask('POST', '/networks/create', { Name: name }),
    kill: async () => {
      process.kill(Number(read(pid)), 'SIGKILL');
      await agent.destroy();
    },
    start: async () => {
      await start();
      agent = new Agent({ connect: { socketPath: socket } });
    },
    stop: async () => {
      await agent.destroy();
      engines.delete(folder);
      await run(script, ['stop', folder]);
      rmSync(folder, { recursive: true, force: true });
    },
  };
  engines.set(folder, script);
  return engine;
}

/** The folder with the engine's programs. */
async function treeOf(script: string): Promise<string> {
  const bin = (await run(script, ['find'])).stdout.trim();
  return bin.slice(0, bin.indexOf('/usr/'));
}

function creation(options: ContainerOptions): object {
  const { publish = { '80/tcp': '' }, expose = [], healthCommand, restart = 'no' } = options;
  const ports = Object.entries(publish).map(([port, binding]) => {
    const at = binding.lastIndexOf(':');
    return [port, [{ HostIp: binding.slice(0, Math.max(at, 0)), HostPort: binding.slice(at + 1) }]];
  });
  const second = 1_000_000_000;
  return {
    Image: options.image ?? 'whoami',
    Env: options.env ?? [],
    Labels: options.labels ?? {},
    ExposedPorts: Object.fromEntries(
      [...Object.keys(publish), ...expose].map((port) => [port, {}]),
    ),
    ...(options.command === undefined ? {} : { Cmd: options.command }),
    ...(healthCommand === undefined
      ? {}
      : {
          Healthcheck: {
            ...{ Test: ['CMD-SHELL', healthCommand], Interval: second, Timeout: 10 * second },
            ...{ Retries: 1 },
          },
        }),
    HostConfig: {
      PortBindings: Object.fromEntries(ports),
      RestartPolicy: { Name: restart },
      ...(options.network === undefined ? {} : { NetworkMode: options.network }),
    },
  };
}

/** Whether an engine can be started here; says so loudly where it can't. */
function findEngine(kind: Kind): boolean {
  const { script, name } = KINDS[kind];
  try {
    if (process.getuid?.() !== 0) throw new Error('it needs root');
    const bin = execFileSync(script, ['find'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    }).trim();
    return existsSync(bin);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    if (process.env.CI !== undefined) throw new Error(`no ${name} to test with: ${why}`);
    console.error(`\n*** ${name} can't be started; its tests are SKIPPED ***\n${why}\n`);
    return false;
  }
}

// A test run that is ended early must not leave engines behind.
const engines = new Map<string, string>();
process.on('exit', () => {
  for (const [folder, script] of engines)
    execFileSync(script, ['stop', folder], { stdio: 'ignore' });
});
