// The load of TLS handshakes: several `openssl s_time`, each of which makes one connection after the
// other, with a GET on it. wrk is no load for this: it resumes some of its sessions and not others.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { Case } from './cases.ts';
import type { LoadOptions, LoadResult } from './load.ts';
import { LOAD_CORE } from './pinned.ts';

const run = promisify(execFile);

/** Latencies are unknown: NaN. A connection that is not resumed where it should be is an error. */
export async function runHandshakes(one: Case, options: LoadOptions): Promise<LoadResult> {
  const begin = performance.now();
  const each = Array.from({ length: one.connections }, () => connectAll(one, options));
  const counts = await Promise.all(each);
  const seconds = (performance.now() - begin) / 1000;
  const sum = (read: (count: Counts) => number) => counts.reduce((all, of) => all + read(of), 0);
  const requests = sum((of) => of.full + of.resumed);
  const unwanted = sum((of) => (one.isResumed ? of.full : of.resumed));
  return {
    ...{ requests, errors: unwanted, requestsPerSecond: requests / seconds },
    ...{ p50Ms: Number.NaN, p99Ms: Number.NaN, p999Ms: Number.NaN },
  };
}

interface Counts {
  readonly full: number;
  readonly resumed: number;
}

async function connectAll({ path, isResumed }: Case, { port, seconds }: LoadOptions) {
  const { stdout } = await run(
    'taskset',
    [
      ...['-c', LOAD_CORE, 'openssl', 's_time', '-connect', `127.0.0.1:${port}`],
      ...[isResumed ? '-reuse' : '-new', '-time', String(seconds), '-www', path],
    ],
    { maxBuffer: 2 ** 24, encoding: 'latin1' },
  );
  // A line with a mark for each connection; the one that fetched the session to resume has none.
  const marks = stdout.split('\n').find((line) => /^[r*]+$/.test(line)) ?? '';
  const resumed = marks.split('r').length - 1;
  return { full: marks.length - resumed, resumed } satisfies Counts;
}
