// What an idle process holds: resident memory (RSS) and its own share of it (PSS) after ten seconds, with
// one worker, from the sources and from dist/, with a static service and with Consul's.
// usage: npm run build && npm run bench:resident        (Linux)
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { systemClock } from '../src/base/clock.ts';
import { createEmbeddedRegistry } from '../src/dev/embedded-registry.ts';
import { freeRange } from './ports.ts';

const IDLE_MS = 10_000;
const root = join(import.meta.dirname, '..');
const [agent = 0, port = 0, stats = 0] = await freeRange(3);
const registry = createEmbeddedRegistry({ clock: systemClock, random: Math.random });
await registry.listen('127.0.0.1', agent);

const entries = ['src/cli/upriver.ts', 'dist/cli/upriver.js'].filter((file) =>
  existsSync(join(root, file)),
);
const services: Readonly<Record<string, readonly string[]>> = {
  static: ['--static', 'web=127.0.0.1:1'],
  consul: ['--consul', `http://127.0.0.1:${agent}`],
};
try {
  for (const entry of entries) {
    for (const [name, args] of Object.entries(services)) {
      const { rss, pss } = await measure(entry, [...args, '--service', `web=127.0.0.1:${port}`]);
      console.log(`${entry.padEnd(20)} ${name.padEnd(7)} RSS ${rss} MiB, PSS ${pss} MiB`);
    }
  }
} finally {
  await registry.close();
}

async function measure(entry: string, args: readonly string[]) {
  const own = ['run', '--workers', '1', '--stats', `127.0.0.1:${stats}`, '--access-log', 'off'];
  const child = spawn(process.execPath, [join(root, entry), ...own, ...args], { stdio: 'ignore' });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  await new Promise((resolve) => setTimeout(resolve, IDLE_MS));
  try {
    const text = readFileSync(`/proc/${child.pid}/smaps_rollup`, 'utf8');
    const mib = (key: string) =>
      Math.round(Number(new RegExp(`^${key}: +(\\d+) kB`, 'm').exec(text)?.[1]) / 102.4) / 10;
    return { rss: mib('Rss'), pss: mib('Pss') };
  } finally {
    child.kill('SIGTERM');
    await ended;
  }
}
