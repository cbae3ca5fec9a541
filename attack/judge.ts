// What held and what did not. All figures are relative: the victim is measured with and without the
// attack in turn, on the same machine, in the same minute.
import type { Row } from './attack.ts';
import type { Suffered } from './victim.ts';

/** How often its p99 without the attack the victim's p99 may be. */
const SLOWER_MAX = 3;
const MEMORY_MIB_MAX = 64;
/** Of the victim's requests. */
const FAILURES_MAX = 0.01;

export interface Limits {
  /** Up to this a p99 is noise, and not judged, ms. */
  readonly noiseMs: number;
}

export interface Round {
  readonly quiet: Suffered;
  readonly attacked: Suffered;
}

export interface Result {
  readonly row: Row;
  readonly rounds: readonly Round[];
  /** Most memory during the attack over that before it, MiB. */
  readonly memoryMib: number;
  readonly note: string;
  /** What did not hold; '' where all did. */
  readonly broken: string;
}

export function judge(
  row: Row,
  rounds: readonly Round[],
  measured: Pick<Result, 'memoryMib' | 'note'> & Limits,
): Result {
  const { quietMs, attackedMs } = p99Of(rounds);
  const failed = failedShare(rounds);
  const broken = [
    attackedMs > Math.max(measured.noiseMs, SLOWER_MAX * quietMs)
      ? `p99 x${(attackedMs / quietMs).toFixed(1)}`
      : '',
    failed > FAILURES_MAX ? `${Math.round(failed * 100)}% fail` : '',
    measured.memoryMib > MEMORY_MIB_MAX ? 'memory' : '',
  ];
  const { memoryMib, note } = measured;
  return { row, rounds, memoryMib, note, broken: broken.filter((one) => one !== '').join(', ') };
}

/** Of the better half of the rounds: what disturbs the machine makes figures worse alone. */
function p99Of(rounds: readonly Round[]): { quietMs: number; attackedMs: number } {
  return {
    quietMs: Math.min(...rounds.map(({ quiet }) => quiet.p99Ms)),
    attackedMs: Math.min(...rounds.map(({ attacked }) => attacked.p99Ms)),
  };
}

function failedShare(rounds: readonly Round[]): number {
  const sum = (read: (one: Suffered) => number) =>
    rounds.reduce((total, { attacked }) => total + read(attacked), 0);
  return (
    sum(({ failures }) => failures) /
    Math.max(
      1,
      sum(({ requests }) => requests),
    )
  );
}

/** The table, as Markdown. */
export function tableOf(results: readonly Result[]): string {
  const head = [
    'attack',
    'by',
    'p99 before',
    'during',
    'failed',
    'memory',
    'verdict',
    'what came of it',
  ];
  const lines = results.map(({ row, rounds, memoryMib, note, broken }) => {
    const { quietMs, attackedMs } = p99Of(rounds);
    const verdict =
      broken === '' ? 'held' : `${row.defence === 'open' ? 'open' : 'BROKEN'}: ${broken}`;
    return [
      ...[row.name, row.principal, `${quietMs.toFixed(1)} ms`, `${attackedMs.toFixed(1)} ms`],
      ...[
        `${Math.round(failedShare(rounds) * 100)}%`,
        `+${Math.round(memoryMib)} MiB`,
        verdict,
        note,
      ],
    ];
  });
  const all = [head, head.map(() => '---'), ...lines];
  return all.map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}
