// Real servers that are not about HTTP, each a process of its own on loopback with its data in a
// folder of its own. PostgreSQL refuses to run as root, so it runs as nobody there. Ended by pid.
import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { freePorts } from './ports.ts';

const run = promisify(execFile);
const UP_MS_MAX = 60_000;

export type ServerName = 'redis' | 'postgres' | 'memcached' | 'mariadb' | 'haproxy' | 'nginx';

/** A server, or one of its tools, may need the libraries that were unpacked with it. */
interface Program {
  readonly path: string;
  readonly env: NodeJS.ProcessEnv;
}

export interface ServerProcess {
  readonly port: number;
  readonly pid: number;
  readonly folder: string;
  /** SIGSTOP: the kernel goes on accepting connections, nobody answers. */
  freeze(): void;
  thaw(): void;
  /** kill -9; the data stays. */
  kill(): Promise<void>;
  /** kill -9, and the data is removed. */
  stop(): Promise<void>;
}

/** For describe.skipIf(!has(...)). In CI its absence is an error instead. */
export function has(name: ServerName): boolean {
  return pathOf(name) !== '';
}

const paths = new Map<ServerName, string>();

function pathOf(name: ServerName): string {
  let path = paths.get(name);
  if (path !== undefined) return path;
  const script = join(import.meta.dirname, '..', '..', 'scripts', 'install-server');
  try {
    path = execFileSync(script, [name], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    }).trim();
  } catch (error) {
    if (process.env.CI !== undefined) throw error;
    console.error(`\n*** ${name} is not here; its tests are SKIPPED ***\n${String(error)}\n`);
    path = '';
  }
  paths.set(name, path);
  return path;
}

/** The server itself, or a program that lies beside it or in `folder` of the same tree. */
export function program(name: ServerName, tool = ''): Program {
  const server = pathOf(name);
  const tree = /^.*\/upriver-test-tools[^/]*\/[^/]+/.exec(server)?.[0];
  const lib = tree === undefined ? '' : join(tree, 'usr/lib/x86_64-linux-gnu');
  const folder = dirname(server);
  const path = tool === '' ? server : join(tool.includes('/') ? (tree ?? '') : folder, tool);
  return { path, env: { ...process.env, LD_LIBRARY_PATH: lib } };
}

/** What a tool of the server prints; rejects where it fails. */
export async function callTool(
  name: ServerName,
  tool: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
): Promise<string> {
  const { path, env: own } = program(name, tool);
  const options = { env: { ...own, ...env }, maxBuffer: 2 ** 26 };
  const { stdout } = await run(path, [...args], options);
  return stdout;
}

/** A tool that goes on until it is ended; by its pid. */
export function startTool(
  name: ServerName,
  tool: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
): ChildProcess {
  const { path, env: own } = program(name, tool);
  return spawn(path, [...args], { env: { ...own, ...env }, stdio: ['pipe', 'pipe', 'pipe'] });
}

interface Launch {
  readonly name: ServerName;
  readonly port: number;
  readonly folder: string;
  readonly args: readonly string[];
  readonly isUp: () => Promise<boolean>;
}

async function launch({ name, port, folder, args, isUp }: Launch): Promise<ServerProcess> {
  const { path, env } = program(name);
  const [file, ...rest] = [...asOther(name), path, ...args];
  const child = spawn(file!, rest, { env, cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });
  started.add(child);
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (bytes: Buffer) => {
      output = `${output}${bytes.toString()}`.slice(-4000);
    });
  }
  const deadline = performance.now() + UP_MS_MAX;
  while (!(await isUp().catch(() => false))) {
    if (!isRunning(child) || performance.now() > deadline) {
      await end(child);
      throw new Error(`${name} did not start:\n${output}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return {
    port,
    pid: child.pid!,
    folder,
    freeze: () => signalAll(child, 'SIGSTOP'),
    thaw: () => signalAll(child, 'SIGCONT'),
    kill: () => end(child),
    stop: async () => {
      await end(child);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

const isRoot = process.getuid?.() === 0;
const NOBODY = 65534;

function asOther(name: ServerName): readonly string[] {
  if (!isRoot || name !== 'postgres') return [];
  return ['setpriv', `--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups'];
}

function makeFolder(name: ServerName): string {
  return mkdtempSync(join(tmpdir(), `upriver-${name}-`));
}

function isRunning(child: ChildProcess): boolean {
  return child.exitCode === null && child.signalCode === null;
}

/** The server and the processes that it has started. */
function signalAll(child: ChildProcess, signal: NodeJS.Signals): void {
  for (const pid of [child.pid!, ...childrenOf(child.pid!)]) {
    try {
      process.kill(pid, signal);
    } catch {
      // It has ended meanwhile.
    }
  }
}

function childrenOf(pid: number): number[] {
  try {
    const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8');
    return text.split(' ').filter(Boolean).map(Number);
  } catch {
    return [];
  }
}

async function end(child: ChildProcess): Promise<void> {
  if (!isRunning(child)) return;
  const gone = once(child, 'exit');
  const children = childrenOf(child.pid!);
  signalAll(child, 'SIGKILL');
  await gone;
  // PostgreSQL's own end by themselves, a moment later: the next one must not meet them.
  await Promise.all(children.map(untilGone));
}

async function untilGone(pid: number): Promise<void> {
  for (let i = 0; i < 500; i += 1) {
    try {
      process.kill(pid, 0);
    } catch {
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** A Redis without a disk. `args` as on its command line. */
export async function startRedis(args: readonly string[] = [], port = 0): Promise<ServerProcess> {
  const at = port === 0 ? (await freePorts(1))[0]! : port;
  return launch({
    ...{ name: 'redis', port: at, folder: makeFolder('redis') },
    args: ['--port', `${at}`, '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', ...args],
    isUp: async () => (await redis(at, 'PING')) === 'PONG',
  });
}

/** One command to a Redis; what it prints. */
export async function redis(port: number, ...words: readonly string[]): Promise<string> {
  const answer = await callTool('redis', 'redis-cli', [
    '-p',
    `${port}`,
    '--no-auth-warning',
    ...words,
  ]);
  return answer.trim();
}

export async function startMemcached(): Promise<ServerProcess> {
  const [port] = (await freePorts(1)) as [number];
  return launch({
    ...{ name: 'memcached', port, folder: makeFolder('memcached') },
    args: [
      '-l',
      '127.0.0.1',
      '-p',
      `${port}`,
      '-U',
      '0',
      '-m',
      '16',
      ...(isRoot ? ['-u', 'nobody'] : []),
    ],
    isUp: async () => {
      const socket = connect(port, '127.0.0.1');
      await once(socket, 'connect').finally(() => socket.destroy());
      return true;
    },
  });
}

export interface PostgresOptions {
  /** Lines of pg_hba.conf; by default everyone of this machine is trusted. */
  readonly hba?: readonly string[];
  /** Settings, as in postgresql.conf. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Begin as a replica of the server at this port. */
  readonly replicaOf?: number;
}

const SUPERUSER = 'postgres';

/** A PostgreSQL whose superuser is `postgres`; its data is made anew, or copied from its primary. */
export async function startPostgres(options: PostgresOptions = {}): Promise<ServerProcess> {
  const [port] = (await freePorts(1)) as [number];
  const folder = makeFolder('postgres');
  if (isRoot) await run('chown', [`${NOBODY}:${NOBODY}`, folder]);
  chmodSync(folder, 0o755);
  const data = join(folder, 'data');
  if (options.replicaOf === undefined) {
    await postgresTool('initdb', [
      ...['-D', data, '-U', SUPERUSER, '--auth=trust', '-N', '--no-instructions', '--locale=C'],
      ...['--encoding=UTF8'],
    ]);
  } else {
    await postgresTool('pg_basebackup', [
      ...['-D', data, '-h', '127.0.0.1', '-p', `${options.replicaOf}`, '-U', SUPERUSER],
      ...['-R', '-X', 'stream', '-c', 'fast', '--no-sync'],
    ]);
  }
  return startPostgresIn(folder, port, options);
}

/** Starts it on data that are there, after `kill`. */
export async function startPostgresIn(
  folder: string,
  port: number,
  { settings = {}, hba }: PostgresOptions = {},
): Promise<ServerProcess> {
  const data = join(folder, 'data');
  if (hba !== undefined) {
    writeFileSync(join(data, 'pg_hba.conf'), `${hba.join('\n')}\n`);
  }
  const all = {
    ...{ listen_addresses: '127.0.0.1', port: `${port}`, unix_socket_directories: folder },
    ...{ fsync: 'off', shared_buffers: '16MB', max_connections: '60', wal_level: 'replica' },
    ...{ max_wal_senders: '4', hot_standby: 'on', wal_receiver_status_interval: '1s' },
    ...{ max_worker_processes: '4', autovacuum: 'off', jit: 'off' },
    ...settings,
  };
  return launch({
    ...{ name: 'postgres', port, folder },
    args: ['-D', data, ...Object.entries(all).flatMap(([key, value]) => ['-c', `${key}=${value}`])],
    isUp: async () => {
      await callTool('postgres', 'pg_isready', ['-h', '127.0.0.1', '-p', `${port}`]);
      return true;
    },
  });
}

/** A tool that works on files: as the user of the server. */
async function postgresTool(tool: string, args: readonly string[]): Promise<void> {
  const { path, env } = program('postgres', tool);
  const [file, ...rest] = [...asOther('postgres'), path, ...args];
  await run(file!, rest, { env, cwd: '/' });
}

/** One statement to a PostgreSQL; rows and columns as psql prints them bare. */
export async function psql(port: number, statement: string): Promise<string> {
  const args = ['-h', '127.0.0.1', '-p', `${port}`, '-U', SUPERUSER, '-XAtq', '-c', statement];
  return (await callTool('postgres', 'psql', [...args, 'postgres'])).trim();
}

/** Makes a replica the primary; resolves when it is. */
export async function promote({ port }: ServerProcess): Promise<void> {
  await psql(port, 'SELECT pg_promote(true, 30)');
}

/** A MariaDB whose user `root` has no password. */
export async function startMariadb(): Promise<ServerProcess> {
  const [port] = (await freePorts(1)) as [number];
  const folder = makeFolder('mariadb');
  const data = join(folder, 'data');
  mkdirSync(data);
  const base = dirname(dirname(program('mariadb').path));
  const share = join(base, 'share/mysql');
  const common = [
    ...['--no-defaults', '--user=root', `--basedir=${base}`, `--datadir=${data}`],
    ...[`--lc-messages-dir=${share}`, '--innodb=OFF', '--default-storage-engine=Aria'],
  ];
  const files = ['system_tables', 'performance_tables', 'system_tables_data'];
  const sql = files.map((file) => readFileSync(join(share, `mysql_${file}.sql`), 'utf8'));
  const { path, env } = program('mariadb');
  const log = `--log-error=${join(folder, 'boot.log')}`;
  const boot = spawn(path, [...common, log, '--bootstrap'], {
    env,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  boot.stdin.end(['create database mysql;', 'use mysql;', ...sql].join('\n'));
  await once(boot, 'exit');
  return launch({
    ...{ name: 'mariadb', port, folder },
    args: [
      ...[...common, '--bind-address=127.0.0.1', `--port=${port}`, '--skip-name-resolve'],
      ...[`--socket=${join(folder, 'socket')}`, `--pid-file=${join(folder, 'pid')}`],
    ],
    isUp: async () => (await mysql(port, 'select 1')) === '1',
  });
}

/** One statement to a MariaDB. */
export async function mysql(port: number, statement: string): Promise<string> {
  const args = ['--no-defaults', '-h', '127.0.0.1', '-P', `${port}`, '-u', 'root', '-N', '-B'];
  return (await callTool('mariadb', '/usr/bin/mariadb', [...args, '-e', statement])).trim();
}

// A test run that is ended early must not leave servers behind.
const started = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of started) if (isRunning(child)) signalAll(child, 'SIGKILL');
});
