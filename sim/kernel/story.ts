// A failing run that consists of steps, made short and told in sentences.
import { Kernel } from './kernel.ts';
import { shrink } from './shrink.ts';
import { noTrace } from './trace.ts';

const RUNS_MAX = 150;

export interface Story<S> {
  readonly steps: readonly S[];
  /** What happens, a sentence each, and what the oracles found then. */
  readonly lines: readonly string[];
}

export interface Told<S> {
  readonly planOf: (kernel: Kernel) => readonly S[];
  /** Runs these steps of a seed's plan; without, all. */
  readonly run: (
    seed: number,
    options?: { steps?: readonly S[] },
  ) => Promise<{ readonly faults: readonly string[] }>;
  readonly sentenceOf: (step: S) => string;
  /** What is left of a fault without names, numbers and times, which are others in a shorter run. */
  readonly kindOf: (fault: string) => string;
}

/** The shortest part of the seed's plan that fails with the same kind of fault. */
export async function shortStory<S>(
  seed: number,
  { planOf, run, sentenceOf, kindOf }: Told<S>,
): Promise<Story<S>> {
  const { faults } = await run(seed);
  const kind = kindOf(faults[0] ?? '');
  const steps = await shrink(planOf(new Kernel(seed, noTrace)), {
    runsMax: RUNS_MAX,
    fails: async (some) => {
      const result = await run(seed, { steps: some });
      return result.faults.some((fault) => kindOf(fault) === kind);
    },
  });
  const short = await run(seed, { steps });
  return { steps, lines: [...steps.map(sentenceOf), ...short.faults] };
}
