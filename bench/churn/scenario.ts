// What a scenario is given and what it tells.
import type { ConsulAgent } from '../../test/support/consul.ts';
import type { Load, LoadResult } from '../../test/support/load.ts';
import { startLoad } from '../../test/support/load.ts';
import { quantile } from '../statistics.ts';

/** A request without an answer for so long has failed. */
const TIMEOUT_MS = 5000;

export interface Stage {
  readonly consul: ConsulAgent;
  /** Where the subject serves. */
  readonly port: number;
  readonly perSecond: number;
  /** How long the load goes on after the fault. */
  readonly seconds: number;
  /** Called at the end in any case, the last one first. */
  defer(end: () => unknown): void;
}

/** Names with their unit; what a scenario does not measure is left out. */
export interface Figures {
  readonly requests?: number;
  readonly failed?: number;
  readonly kinds?: Readonly<Record<string, number>>;
  readonly p50Ms?: number;
  readonly p99Ms?: number;
  readonly maxMs?: number;
  /** WebSockets that were closed or did not echo. */
  readonly broken?: number;
  /** Arrivals that were not seen within the scenario's patience. */
  readonly missed?: number;
}

export interface Scenario {
  readonly name: string;
  readonly title: string;
  /** Goals for Upriver, each a figure and its largest good value. */
  readonly goals: Readonly<Partial<Record<'failed' | 'p50Ms' | 'p99Ms' | 'broken', number>>>;
  /** Registers what must be there before the subject starts. */
  prepare(stage: Stage): Promise<() => Promise<Figures>>;
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

export interface Measuring {
  /** From here on the latencies count. */
  mark(): void;
  end(): Promise<Figures>;
}

/** Begins the load and lets it run for a second before anything happens. */
export async function measure({ port, perSecond }: Stage): Promise<Measuring> {
  const url = `http://127.0.0.1:${port}/`;
  const load: Load = startLoad({ url, perSecond, timeoutMs: TIMEOUT_MS });
  await sleep(1000);
  let from = 0;
  return {
    mark: () => {
      from = load.ok + load.failures.length;
    },
    end: async () => figuresOf(await load.stop(), from),
  };
}

/** `from`: the latencies before it are from before the fault. */
export function figuresOf(result: LoadResult, from: number): Figures {
  const after = result.latenciesMs.slice(from);
  const kinds: Record<string, number> = {};
  for (const { why } of result.failures) {
    const kind = why.trim();
    kinds[kind] = (kinds[kind] ?? 0) + 1;
  }
  return {
    ...{ requests: result.ok + result.failures.length, failed: result.failures.length, kinds },
    ...{ p50Ms: quantile(after, 0.5), p99Ms: quantile(after, 0.99), maxMs: quantile(after, 1) },
  };
}

/** The goals that were missed, as `failed 3 > 0`; a figure that is not there is missed too. */
export function missedGoals(goals: Scenario['goals'], figures: Figures): string[] {
  return Object.entries(goals).flatMap(([key, most]) => {
    const value = figures[key as keyof typeof goals];
    if (value === undefined) return [`${key} not measured`];
    return value <= most ? [] : [`${key} ${Math.round(value * 10) / 10} > ${most}`];
  });
}
