// Medians of rounds as a table, with ratios to HAProxy.
import type { Round } from './measure.ts';

const BASE = 'haproxy';

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** Half of the distance between the quartiles, as a share of the median. */
function spread(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (q: number) => sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))]!;
  return (at(0.75) - at(0.25)) / 2 / median(values);
}

/** A Markdown table of one case. */
export function format(name: string, measured: Readonly<Record<string, readonly Round[]>>): string {
  const rows = Object.entries(measured).map(([program, rounds]) => {
    const of = (read: (round: Round) => number) => median(rounds.map(read));
    return [
      program,
      of((round) => round.requestsPerSecond).toFixed(0),
      of((round) => round.cpuUs).toFixed(1),
      ratio(measured, program, (round) => round.cpuUs),
      ratio(measured, program, (round) => round.requestsPerSecond),
      of((round) => round.p50Ms).toFixed(2),
      of((round) => round.p99Ms).toFixed(2),
      of((round) => round.p999Ms).toFixed(2),
      of((round) => round.memoryMb).toFixed(0),
      String(rounds.reduce((sum, round) => sum + round.errors, 0)),
    ];
  });
  const head = [
    '',
    'req/s',
    'CPU us/req',
    'CPU ratio',
    'req/s ratio',
    'p50 ms',
    'p99 ms',
    'p99.9 ms',
    'peak MB',
    'errors',
  ];
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [`### ${name}`, '', line(head), line(head.map(() => '---')), ...rows.map(line), ''].join(
    '\n',
  );
}

/** The ratio to HAProxy, or why there is none. */
function ratio(
  measured: Readonly<Record<string, readonly Round[]>>,
  program: string,
  read: (round: Round) => number,
): string {
  const base = measured[BASE];
  if (base === undefined || program === BASE) return program === BASE ? '1' : '';
  const [ours, theirs] = [measured[program]!.map(read), base.map(read)];
  const value = median(ours) / median(theirs);
  const noise = Math.max(spread(ours), spread(theirs));
  return Math.abs(value - 1) < noise
    ? `about 1 (noise ${(noise * 100).toFixed(0)}%)`
    : value.toFixed(2);
}
