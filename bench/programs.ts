// The programs that are compared, each pinned to one core, with the same work: least connections
// over the same endpoints, keep-alive on both sides, X-Forwarded-* set, no log.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';

export const PROXY_CORE = 0;
/** Load and origin share the other core. */
export const LOAD_CORE = 1;

const READY_MS = 10_000;

export interface Program {
  readonly name: string;
  readonly version: string;
  /** Starts it on `port` before the endpoints; `folder` is its own. */
  start(port: number, endpoints: readonly number[], folder: string): Promise<Running>;
}

export interface Running {
  readonly pid: number;
  stop(): Promise<void>;
}

/** Starts a command on a core and waits until `port` answers. */
export async function startPinned(
  core: number,
  command: readonly string[],
  options: { port: number; cwd?: string },
): Promise<Running> {
  if (await isOpen(options.port)) throw new Error(`port ${options.port} is in use`);
  const child = spawn('taskset', ['-c', String(core), ...command], {
    stdio: ['ignore', 'ignore', 'pipe'],
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  });
  // Whatever goes wrong here, nothing is left running.
  process.once('exit', () => child.kill('SIGKILL'));
  let errors = '';
  child.stderr!.on('data', (chunk: Buffer) => {
    errors += String(chunk);
  });
  await untilOpen(options.port, child, () => errors);
  return {
    pid: child.pid!,
    stop: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const gone = once(child, 'exit');
      child.kill('SIGKILL');
      await gone;
    },
  };
}

async function untilOpen(port: number, child: ChildProcess, errors: () => string): Promise<void> {
  const endMs = performance.now() + READY_MS;
  while (performance.now() < endMs) {
    if (child.exitCode !== null) break;
    if (await isOpen(port)) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`${child.spawnargs.join(' ')} did not open port ${port}:\n${errors()}`);
}

function isOpen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });
}

function write(folder: string, name: string, text: string): string {
  mkdirSync(folder, { recursive: true });
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

/** The version a program tells; null where it is not here. */
export function versionOf(command: string, args: readonly string[]): string | null {
  try {
    const text = execFileSync('sh', ['-c', `${command} ${args.join(' ')} 2>&1`], {
      encoding: 'utf8',
    });
    return /\d+\.\d+(\.\d+)?/.exec(text)?.[0] ?? text.trim();
  } catch {
    return null;
  }
}

/** nginx as the origin: as many ports as asked for, small and large answers. */
export function startOrigin(ports: readonly number[], folder: string): Promise<Running> {
  mkdirSync(join(folder, 'files'), { recursive: true });
  writeFileSync(join(folder, 'files', '64k'), Buffer.alloc(64 * 1024, 'x'));
  writeFileSync(join(folder, 'files', '1m'), Buffer.alloc(1024 * 1024, 'x'));
  const listens = ports.map((port) => `listen 127.0.0.1:${port};`).join(' ');
  const config = write(
    folder,
    'origin.conf',
    `master_process off; daemon off; pid ${folder}/origin.pid; error_log ${folder}/origin.err;
events { worker_connections 16384; }
http { access_log off; keepalive_requests 100000000; client_body_temp_path ${folder};
  server { ${listens}
    location / { return 200 "${'x'.repeat(99)}\\n"; }
    location /files/ { root ${folder}; } } }
`,
  );
  return startPinned(LOAD_CORE, ['nginx', '-c', config], { port: ports[0]! });
}

function ownVersion(): string {
  const file = join(import.meta.dirname, '..', 'package.json');
  // Our own file.
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}

const upriver: Program = {
  name: 'upriver',
  version: ownVersion(),
  start: (port, endpoints, folder) => {
    const launcher = join(import.meta.dirname, '..', 'bin', 'upriver.mjs');
    const list = endpoints.map((one) => `127.0.0.1:${one}`).join(',');
    mkdirSync(folder, { recursive: true });
    const service = ['--static', `web=${list}`, '--service', `web=127.0.0.1:${port}`];
    const rest = ['--workers', '1', '--stats', `127.0.0.1:${port + 1000}`, '--log-level', 'error'];
    const command = [process.execPath, launcher, 'run', ...service, ...rest];
    return startPinned(PROXY_CORE, command, { port });
  },
};

const haproxy: Program = {
  name: 'haproxy',
  version: versionOf('haproxy', ['-v']) ?? '',
  start: (port, endpoints, folder) => {
    const servers = endpoints.map((one, i) => `  server s${i} 127.0.0.1:${one}`).join('\n');
    const config = write(
      folder,
      'haproxy.cfg',
      `global
  maxconn 8000
  nbthread 1
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  http-reuse always
frontend f
  bind 127.0.0.1:${port}
  option forwardfor
  http-request set-header X-Forwarded-Proto http
  http-request set-header X-Forwarded-Port %[dst_port]
  http-request set-header X-Forwarded-Host %[req.hdr(Host)]
  default_backend b
backend b
  balance leastconn
${servers}
`,
    );
    return startPinned(PROXY_CORE, ['haproxy', '-f', config], { port });
  },
};

const nginx: Program = {
  name: 'nginx',
  version: versionOf('nginx', ['-v']) ?? '',
  start: (port, endpoints, folder) => {
    const servers = endpoints.map((one) => `server 127.0.0.1:${one};`).join(' ');
    mkdirSync(folder, { recursive: true });
    const config = write(
      folder,
      'nginx.conf',
      `master_process off; daemon off; pid ${folder}/nginx.pid; error_log ${folder}/nginx.err;
events { worker_connections 16384; }
http { access_log off; keepalive_requests 100000000; client_body_temp_path ${folder}; proxy_temp_path ${folder};
  upstream b { least_conn; ${servers} keepalive 256; keepalive_requests 100000000; }
  server { listen 127.0.0.1:${port} backlog=4096;
    location / { proxy_pass http://b; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header Host $http_host; proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Proto http; proxy_set_header X-Forwarded-Port $server_port;
      proxy_set_header X-Forwarded-Host $http_host; } } }
`,
    );
    return startPinned(PROXY_CORE, ['nginx', '-c', config], { port });
  },
};

const caddy: Program = {
  name: 'caddy',
  version: versionOf('caddy', ['version']) ?? '',
  start: (port, endpoints, folder) => {
    const to = endpoints.map((one) => `127.0.0.1:${one}`).join(' ');
    const config = write(
      folder,
      'Caddyfile',
      `{\n  admin off\n  auto_https off\n}\nhttp://127.0.0.1:${port} {\n  reverse_proxy ${to} {\n    lb_policy least_conn\n  }\n}\n`,
    );
    const command = ['env', 'GOMAXPROCS=1', `HOME=${folder}`, 'caddy', 'run', '--config', config];
    return startPinned(PROXY_CORE, command, { port });
  },
};

const httpProxy: Program = {
  name: 'http-proxy',
  version: '1.18.1',
  start: (port, endpoints) => {
    const script = join(import.meta.dirname, 'http-proxy-server.mjs');
    return startPinned(PROXY_CORE, [process.execPath, script, String(port), endpoints.join(',')], {
      port,
    });
  },
};

export const programs: readonly Program[] = [upriver, haproxy, nginx, caddy, httpProxy];
