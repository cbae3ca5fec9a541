// Results as Markdown: medians of the rounds, and ratios to HAProxy, or to nginx where HAProxy is not there.
import type { Case } from './cases.ts';
import type { LoadResult } from './load.ts';
import { formatRatio, median, ratioOf } from './statistics.ts';

export const BASE = 'haproxy';

export interface Round extends LoadResult {
  /** CPU time of the proxy per request, microseconds. */
  readonly cpuUs: number;
  /** The most memory that it has had so far. */
  readonly peakMib: number;
}

/** Rounds by program, in the order of the rounds. */
export type Measured = Readonly<Record<string, readonly Round[]>>;

export interface IdleResult {
  readonly connections: number;
  readonly bytesEach: number;
}

const COLUMNS = [
  ...['program', 'req/s', 'ratio', 'CPU us/req', 'ratio', 'p50 ms', 'p99 ms', 'p99.9 ms'],
  ...['p99 ratio', 'peak MiB', 'errors'],
];

export function caseTable({ name, title }: Case, measured: Measured): string {
  const rows = Object.keys(measured).map((program) => row(program, measured));
  return [`### ${name}: ${title}`, '', table(COLUMNS, rows)].join('\n');
}

function row(program: string, measured: Measured): string[] {
  const rounds = measured[program] ?? [];
  const of = (read: (round: Round) => number) => median(rounds.map(read));
  const ratio = (read: (round: Round) => number): string => {
    // HAProxy has no UDP.
    const name = BASE in measured ? BASE : 'nginx';
    const base = measured[name];
    if (program === name) return '1';
    return base === undefined ? '' : formatRatio(ratioOf(rounds.map(read), base.map(read)));
  };
  return [
    program,
    of((round) => round.requestsPerSecond).toFixed(0),
    ratio((round) => round.requestsPerSecond),
    of((round) => round.cpuUs).toFixed(1),
    ratio((round) => round.cpuUs),
    milliseconds(of((round) => round.p50Ms)),
    milliseconds(of((round) => round.p99Ms)),
    milliseconds(of((round) => round.p999Ms)),
    ratio((round) => round.p99Ms),
    Math.max(...rounds.map((round) => round.peakMib)).toFixed(0),
    String(rounds.reduce((sum, round) => sum + round.errors, 0)),
  ];
}

/** Not every load measures latencies. */
function milliseconds(value: number): string {
  return Number.isNaN(value) ? '' : value.toFixed(2);
}

export function idleTable(
  { name, title }: Case,
  results: Readonly<Record<string, IdleResult>>,
): string {
  const rows = Object.entries(results).map(([program, { connections, bytesEach }]) => [
    program,
    String(connections),
    (bytesEach / 1024).toFixed(1),
  ]);
  const head = ['program', 'connections', 'KiB of resident memory each'];
  return [`### ${name}: ${title}`, '', table(head, rows)].join('\n');
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line), ''].join('\n');
}
