// What is measured: the load generator's figures, and the proxy's CPU time and memory as the kernel
// counts them.
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { LOAD_CORE } from './programs.ts';

export interface Case {
  readonly name: string;
  readonly path: string;
  readonly connections: number;
  readonly endpoints: number;
  /** Body of a POST, bytes; 0 sends GETs. */
  readonly postBytes: number;
  /** A connection of its own for each request. */
  readonly isFresh: boolean;
}

const base = { path: '/', connections: 64, endpoints: 3, postBytes: 0, isFresh: false };

export const cases: readonly Case[] = [
  { ...base, name: 'small' },
  { ...base, name: '64k', path: '/files/64k' },
  { ...base, name: '1m', path: '/files/1m', connections: 32 },
  { ...base, name: 'post-4k', postBytes: 4096 },
  { ...base, name: 'fresh', isFresh: true },
  { ...base, name: '512-connections', connections: 512 },
  { ...base, name: '50-endpoints', endpoints: 50 },
  { ...base, name: '1000-endpoints', endpoints: 1000 },
];

export interface Round {
  readonly requestsPerSecond: number;
  readonly cpuUs: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
  readonly memoryMb: number;
  readonly errors: number;
}

/** One round of wrk against `port`; `pid` is the proxy's. */
export function runRound(
  one: Case,
  options: { port: number; pid: number; seconds: number; folder: string },
): Round {
  const { port, pid, seconds, folder } = options;
  const before = cpuTicks(pid);
  const script = scriptFor(one, folder);
  const text = execFileSync(
    'taskset',
    [
      ...['-c', String(LOAD_CORE), 'wrk', '-t1', `-c${one.connections}`, `-d${seconds}s`],
      ...['--timeout', '10s', '-s', script, `http://127.0.0.1:${port}${one.path}`],
    ],
    { encoding: 'utf8' },
  );
  const ticks = cpuTicks(pid) - before;
  // The script's last line, written by us.
  const told = JSON.parse(text.trim().split('\n').at(-1)!) as {
    requests: number;
    us: number;
    p50: number;
    p99: number;
    p999: number;
    errors: number;
  };
  return {
    requestsPerSecond: told.requests / (told.us / 1e6),
    cpuUs: (ticks * 10_000) / told.requests,
    p50Ms: told.p50 / 1000,
    p99Ms: told.p99 / 1000,
    p999Ms: told.p999 / 1000,
    memoryMb: peakMemoryMb(pid),
    errors: told.errors,
  };
}

function scriptFor(one: Case, folder: string): string {
  const path = join(folder, 'wrk.lua');
  const post = `wrk.method = "POST"\nwrk.body = string.rep("x", ${one.postBytes})\n`;
  const fresh = 'wrk.headers["Connection"] = "close"\n';
  writeFileSync(
    path,
    `${one.postBytes > 0 ? post : ''}${one.isFresh ? fresh : ''}
done = function(summary, latency)
  local e = summary.errors
  io.write(string.format('{"requests":%d,"us":%d,"p50":%d,"p99":%d,"p999":%d,"errors":%d}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    latency:percentile(99.9), e.connect + e.read + e.write + e.status + e.timeout))
end
`,
  );
  return path;
}

/** User and system time of the process with all its threads, in ticks of 10 ms. */
export function cpuTicks(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ');
  return Number(fields[11]) + Number(fields[12]);
}

export function peakMemoryMb(pid: number): number {
  return memoryKb(pid, 'VmHWM') / 1024;
}

/** A line of /proc/PID/status, KiB. */
export function memoryKb(pid: number, field: string): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(new RegExp(`${field}:\\s+(\\d+)`).exec(status)?.[1] ?? 0);
}
