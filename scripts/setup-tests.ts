// Finds or fetches the real programs which the tests speak with, and says where they are by
// environment variables. What can't be had is said loudly; its tests are then counted as skipped.
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const here = dirname(fileURLToPath(import.meta.url));

interface Tool {
  readonly name: string;
  /** The variable that tells the tests where it is. */
  readonly variable: string;
  find(): Promise<string>;
}

const tools: readonly Tool[] = [
  {
    name: 'Consul',
    variable: 'CONSUL_BIN',
    find: async () => (await run(join(here, 'install-consul'))).stdout.trim(),
  },
  serverTool('Redis', 'redis'),
  serverTool('PostgreSQL', 'postgres'),
  serverTool('memcached', 'memcached'),
  serverTool('MariaDB', 'mariadb'),
  serverTool('HAProxy', 'haproxy'),
  serverTool('nginx', 'nginx'),
  {
    name: 'etcd 3.4',
    variable: 'ETCD_BIN',
    find: async () => (await run(join(here, 'install-etcd'), ['bookworm'])).stdout.trim(),
  },
  {
    name: 'etcd 3.5',
    variable: 'ETCD_35_BIN',
    find: async () => (await run(join(here, 'install-etcd'), ['trixie'])).stdout.trim(),
  },
  {
    // Its class path is from the same cache: what is fetched here is not fetched while tests wait for it.
    name: 'ZooKeeper',
    variable: 'JAVA_BIN',
    find: async () => (await run(join(here, 'install-zookeeper'))).stdout.split('\n')[0]!,
  },
  {
    name: 'Chromium',
    variable: 'CHROMIUM_BIN',
    find: () => findOrInstall('/usr/bin/chromium', 'chromium'),
  },
  {
    name: 'curl',
    variable: 'CURL_BIN',
    find: () => findOrInstall('/usr/bin/curl', 'curl'),
  },
  {
    name: 'nghttp2',
    variable: 'NGHTTP_BIN',
    find: () => findOrInstall('/usr/bin/nghttp', 'nghttp2-client'),
  },
  {
    name: 'iproute2',
    variable: 'IP_BIN',
    find: () => findOrInstall('/usr/sbin/ip', 'iproute2'),
  },
  // Behind curl and iproute2, which it is started with.
  {
    name: 'Docker Engine',
    variable: 'DOCKERD_BIN',
    find: async () => (await run(join(here, 'start-docker'), ['find'])).stdout.trim(),
  },
  {
    name: 'Podman',
    variable: 'PODMAN_BIN',
    find: async () => (await run(join(here, 'start-podman'), ['find'])).stdout.trim(),
  },
];

function serverTool(name: string, server: string): Tool {
  const find = async () => (await run(join(here, 'install-server'), [server])).stdout.trim();
  return { name, variable: `${server.toUpperCase()}_BIN`, find };
}

/** Returns the variables of the tools that are here, after trying to get those that are not. */
export async function setUpTools(): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const tool of tools) {
    const given = process.env[tool.variable];
    try {
      found[tool.variable] = given ?? (await tool.find());
    } catch (error) {
      const why = error instanceof Error ? error.message.trim() : String(error);
      console.error(`\n*** ${tool.name} is not here; its tests are SKIPPED ***\n${why}\n`);
    }
  }
  return found;
}

/** The path of a program of a Debian package, installed when we are root and it is missing. */
async function findOrInstall(path: string, name: string): Promise<string> {
  if (existsSync(path)) return path;
  if (process.getuid?.() !== 0) throw new Error(`install the package ${name} to run them`);
  console.error(`installing ${name}`);
  await aptGet('update', '-qq');
  await aptGet('install', '-y', '-qq', '--no-install-recommends', name);
  return path;
}

const TRIES = 3;

/** Tried again after a while: a mirror may be in the middle of an update, and another apt may hold the lock. */
async function aptGet(...args: readonly string[]): Promise<void> {
  const patient = ['-o', 'Acquire::Retries=3', '-o', 'DPkg::Lock::Timeout=300'];
  const options = { env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' } };
  for (let tries = 1; ; tries += 1) {
    try {
      await run('apt-get', [...patient, ...args], options);
      return;
    } catch (error) {
      if (tries === TRIES) throw error;
      await new Promise((resolve) => setTimeout(resolve, tries * 4000));
    }
  }
}
