// Results as Markdown: a table per scenario, the rounds' median (failures: their sum).
import { median } from '../statistics.ts';
import type { Figures, Scenario } from './scenario.ts';
import { missedGoals } from './scenario.ts';

export interface Result {
  readonly scenario: string;
  readonly subject: string;
  readonly round: number;
  readonly figures: Figures;
  /** CPU time of all its processes, and of the template loop alone (0 without one), ms. */
  readonly cpuMs: number;
  readonly loopCpuMs: number;
  /** Processes of the subject when the scenario was over. */
  readonly processes: number;
}

const COLUMNS = [
  ...['', 'requests', 'failed', 'broken', 'p50 ms', 'p99 ms', 'max ms', 'CPU ms (of it the loop)'],
  ...['processes', 'goal'],
];

export function scenarioTable(scenario: Scenario, results: readonly Result[]): string {
  const own = results.filter((one) => one.scenario === scenario.name);
  const rows = [...new Set(own.map((one) => one.subject))].map((name) =>
    row(
      scenario,
      own.filter((one) => one.subject === name),
    ),
  );
  const lines = [COLUMNS, COLUMNS.map(() => '---'), ...rows].map(
    (cells) => `| ${cells.join(' | ')} |`,
  );
  return `### ${scenario.title}\n\n${lines.join('\n')}\n`;
}

function row(scenario: Scenario, rounds: readonly Result[]): string[] {
  const all = (key: 'requests' | 'failed' | 'broken' | 'missed') =>
    rounds.map(({ figures }) => figures[key]).filter((value) => value !== undefined);
  const sum = (key: Parameters<typeof all>[0]) => all(key).reduce((a, b) => a + b, 0);
  const mid = (key: 'p50Ms' | 'p99Ms' | 'maxMs') =>
    format(median(rounds.map(({ figures }) => figures[key] ?? Number.NaN)));
  const cpu = Math.round(median(rounds.map((one) => one.cpuMs)));
  const loop = Math.round(median(rounds.map((one) => one.loopCpuMs)));
  const missed = rounds.flatMap(({ figures }) => missedGoals(scenario.goals, figures));
  const kinds = kindsOf(rounds);
  return [
    rounds[0]!.subject,
    all('requests').length === 0 ? '' : String(sum('requests')),
    all('failed').length === 0 ? '' : `${sum('failed')}${kinds === '' ? '' : ` (${kinds})`}`,
    all('broken').length === 0 ? '' : String(sum('broken')),
    ...[mid('p50Ms'), mid('p99Ms'), mid('maxMs')],
    loop === 0 ? String(cpu) : `${cpu} (${loop})`,
    String(median(rounds.map((one) => one.processes))),
    `${missed.length === 0 ? 'met' : missed.join(', ')}${sum('missed') > 0 ? `; ${sum('missed')} never arrived` : ''}`,
  ];
}

function kindsOf(rounds: readonly Result[]): string {
  const kinds = new Map<string, number>();
  for (const { figures } of rounds) {
    for (const [kind, count] of Object.entries(figures.kinds ?? {})) {
      kinds.set(kind, (kinds.get(kind) ?? 0) + count);
    }
  }
  return [...kinds].map(([kind, count]) => `${count} × ${kind}`).join(', ');
}

function format(ms: number): string {
  if (!Number.isFinite(ms)) return '';
  return ms < 100 ? ms.toFixed(1) : String(Math.round(ms));
}
