// The load: wrk with one thread, on the core that the proxy has not. It waits for an answer before it
// sends the next request on a connection, so its latencies leave out what a stalled proxy kept from
// being sent: compare them within a case, and see the case half-load for waiting times.
import { execFile } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Case } from './cases.ts';
import { LOAD_CORE } from './pinned.ts';
import { findTool, type Tool } from './tools.ts';

const run = promisify(execFile);

export interface LoadResult {
  readonly requests: number;
  readonly requestsPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
  /** Connections that failed, timeouts, and answers other than 2xx and 3xx. */
  readonly errors: number;
}

export interface LoadOptions {
  readonly port: number;
  readonly seconds: number;
  readonly folder: string;
  /** Requests per second to stay at; 0 sends as fast as answers come. */
  readonly perSecond: number;
}

export function findWrk(): Tool {
  return findTool({
    ...{ name: 'wrk', versionArgs: ['-v'], file: '/usr/bin/wrk' },
    packages: ['wrk', 'libluajit-5.1-2', 'libssl3'],
  });
}

/** The load of HTTP/2. */
export function findH2load(): Tool {
  return findTool({
    ...{ name: 'h2load', versionArgs: ['--version'], file: '/usr/bin/h2load' },
    packages: ['nghttp2-client', 'libnghttp2-14', 'libc-ares2', 'libev4', 'libjansson4', 'libssl3'],
  });
}

/** As runLoad, for cases of UDP; `endpoints` are the ports of those that it is. */
export async function runUdpLoad(
  one: Case,
  { port, seconds }: LoadOptions,
  endpoints: readonly number[],
): Promise<LoadResult> {
  const script = join(import.meta.dirname, 'udp-load.ts');
  const kind = one.responses === 0 ? 'one-way' : 'answered';
  const { stdout } = await run('taskset', [
    ...['-c', LOAD_CORE, process.execPath, script, kind, `${port}`, `${seconds}`],
    ...[`${one.connections}`, endpoints.join(',')],
  ]);
  // Our own line.
  const told = JSON.parse(stdout) as Record<
    'requests' | 'us' | 'errors' | 'p50' | 'p99' | 'p999',
    number
  >;
  return {
    ...{ requests: told.requests, errors: told.errors },
    requestsPerSecond: told.requests / (told.us / 1e6),
    ...{ p50Ms: told.p50, p99Ms: told.p99, p999Ms: told.p999 },
  };
}

/** As runLoad, for cases of HTTP/2. */
export async function runH2load(tool: Tool, one: Case, options: LoadOptions): Promise<LoadResult> {
  const { port, seconds, folder } = options;
  const log = join(folder, 'h2load.log');
  rmSync(log, { force: true });
  const body = join(folder, 'message');
  // A gRPC message: no compression, and its length (doc/PROTOCOL-HTTP2.md).
  writeFileSync(body, Buffer.concat([Buffer.from([0, 0, 0, 0, 100]), Buffer.alloc(100, 'm')]));
  const { postBytes, windowBits: bits } = one;
  if (postBytes > 0) writeFileSync(body, Buffer.alloc(postBytes, 'x'));
  const windows = bits === 0 ? [] : ['-w', `${bits}`, '-W', `${bits + 2}`];
  const content = postBytes > 0 ? ['-d', body] : [];
  const grpc = ['-d', body, '-H', 'content-type: application/grpc', '-H', 'te: trailers'];
  const { stdout } = await run(
    'taskset',
    [
      ...['-c', LOAD_CORE, tool.path, '-t1', `-c${one.connections}`, `-m${one.streams}`],
      ...[
        `-D${seconds}`,
        `--log-file=${log}`,
        ...(one.protocol === 'grpc' ? grpc : content),
        ...windows,
      ],
      `http://127.0.0.1:${port}${one.path}`,
    ],
    { env: { ...process.env, ...tool.env } },
  );
  const figure = (pattern: RegExp) => Number(pattern.exec(stdout)?.[1] ?? 0);
  const requests = figure(/(\d+) succeeded/);
  const errors = figure(/(\d+) failed/) + figure(/(\d+) errored/) + figure(/(\d+) timeout/);
  const isOther = figure(/status codes: \d+ 2xx, \d+ 3xx, (\d+) 4xx/);
  const ofServer = figure(/(\d+) 5xx/);
  const times = readFileSync(log, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => Number(line.split('\t')[2]) / 1000)
    .sort((a, b) => a - b);
  const at = (share: number) => times[Math.floor(times.length * share)] ?? 0;
  return {
    ...{ requests, errors: errors + isOther + ofServer, requestsPerSecond: requests / seconds },
    ...{ p50Ms: at(0.5), p99Ms: at(0.99), p999Ms: at(0.999) },
  };
}

export async function runLoad(tool: Tool, one: Case, options: LoadOptions): Promise<LoadResult> {
  const { port, seconds, folder } = options;
  const script = join(folder, 'wrk.lua');
  writeFileSync(script, scriptFor(one, options.perSecond));
  const { stdout } = await run(
    'taskset',
    [
      ...['-c', LOAD_CORE, tool.path, '-t1', `-c${one.connections}`, `-d${seconds}s`, '--latency'],
      ...['--timeout', '10s', '-s', script],
      `${one.isTls ? 'https' : 'http'}://127.0.0.1:${port}${one.path}`,
    ],
    { env: { ...process.env, ...tool.env } },
  );
  // The script's last line, written by us.
  const told = JSON.parse(stdout.trim().split('\n').at(-1)!) as Record<string, number>;
  const { requests = 0, us = 1, p50 = 0, p99 = 0, p999 = 0, errors = 0 } = told;
  return {
    ...{ requests, errors, requestsPerSecond: requests / (us / 1e6) },
    ...{ p50Ms: p50 / 1000, p99Ms: p99 / 1000, p999Ms: p999 / 1000 },
  };
}

function scriptFor({ postBytes, isFresh, connections }: Case, perSecond: number): string {
  const lines = [];
  if (postBytes > 0) {
    lines.push('wrk.method = "POST"', `wrk.body = string.rep("x", ${postBytes})`);
  }
  if (isFresh) lines.push('wrk.headers["Connection"] = "close"');
  if (perSecond > 0) {
    // Each connection pauses at random, so that they don't march in step.
    const pauseMsMax = Math.round((2000 * connections) / perSecond);
    lines.push(`delay = function() return math.random(0, ${pauseMsMax}) end`);
  }
  return `${lines.join('\n')}
done = function(summary, latency)
  local e = summary.errors
  io.write(string.format('{"requests":%d,"us":%d,"p50":%d,"p99":%d,"p999":%d,"errors":%d}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    latency:percentile(99.9), e.connect + e.read + e.write + e.status + e.timeout))
end
`;
}
