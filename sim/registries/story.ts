// A failing run of several registries, made short and told in sentences.
import { Kernel } from '../kernel/kernel.ts';
import { shrink } from '../kernel/shrink.ts';
import { noTrace } from '../kernel/trace.ts';
import { planOf, sentenceOf } from './plan.ts';
import { runRegistriesWorld } from './world.ts';

const RUNS_MAX = 150;

/** The shortest part of the seed's plan that fails with the same kind of fault, a sentence each. */
export async function shortStory(seed: number): Promise<{ readonly lines: readonly string[] }> {
  const { faults } = await runRegistriesWorld(seed);
  const kind = kindOf(faults[0] ?? '');
  const steps = await shrink(planOf(new Kernel(seed, noTrace)), {
    runsMax: RUNS_MAX,
    fails: async (some) => {
      const result = await runRegistriesWorld(seed, { steps: some });
      return result.faults.some((fault) => kindOf(fault) === kind);
    },
  });
  const short = await runRegistriesWorld(seed, { steps });
  return { lines: [...steps.map(sentenceOf), ...short.faults] };
}

/** Names, numbers and times are others in a shorter run. */
function kindOf(fault: string): string {
  return fault
    .replace(/^at [\d.]+ s: /, '')
    .replaceAll(
      /[a-z]+-(?:etcd|docker|dns|zookeeper|shared)(?:-\d)?|[\d.:]+|\([^)]*\)|'[^']*'/g,
      '',
    )
    .split(' ')
    .slice(0, 8)
    .join(' ');
}
