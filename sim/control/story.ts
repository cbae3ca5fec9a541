// A failing run of the control plane, made short and told in sentences.

import { Kernel } from '../kernel/kernel.ts';
import { shrink } from '../kernel/shrink.ts';
import { noTrace } from '../kernel/trace.ts';
import { planOf, type Step, sentenceOf } from './plan.ts';
import { runControlWorld } from './world.ts';

const RUNS_MAX = 150;

export interface Story {
  readonly steps: readonly Step[];
  /** What happens, a sentence each, and what the oracles found then. */
  readonly lines: readonly string[];
}

/** The shortest part of the seed's plan that fails with the same kind of fault. */
export async function shortStory(seed: number): Promise<Story> {
  const { faults } = await runControlWorld(seed);
  const kind = kindOf(faults[0] ?? '');
  const steps = await shrink(planOf(new Kernel(seed, noTrace)), {
    runsMax: RUNS_MAX,
    fails: async (some) => {
      const result = await runControlWorld(seed, { steps: some });
      return result.faults.some((fault) => kindOf(fault) === kind);
    },
  });
  const short = await runControlWorld(seed, { steps });
  return { steps, lines: [...steps.map(sentenceOf), ...short.faults] };
}

/** Names, numbers and times are others in a shorter run. */
function kindOf(fault: string): string {
  return fault
    .replace(/^at [\d.]+ s: /, '')
    .replaceAll(/\b(n\d\/)?[a-z]+-\d+(@[\d.]+)?|[\d.:]+|\([^)]*\)|'[^']*'/g, '')
    .split(' ')
    .filter((word) => !SERVICES.has(word.replace(/;$/, '')))
    .slice(0, 12)
    .join(' ');
}

const SERVICES = new Set(['web', 'second', 'api', 'mq', 'names', 'shop', 'meta', 'over', 'plain']);
