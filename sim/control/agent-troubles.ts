// The troubles of one agent, as the steps of a plan name them.
import type { Chance } from '../kernel/chance.ts';
import type { Step } from './plan.ts';
import type { SimConsul } from './sim-consul.ts';

/** Retry-After of an agent that limits, s, at the most. */
export const RETRY_AFTER_MAX = 20;

/** Begins the trouble, until then. */
export function troubleAgent(
  consul: SimConsul,
  step: Extract<Step, { kind: 'agent' }>,
  { chance, untilMs }: { chance: Chance; untilMs: number },
): void {
  const agent = consul.agents[step.agent]!;
  switch (step.trouble) {
    case 'down':
      return consul.begin(agent, { downUntilMs: untilMs });
    case 'silent':
      return consul.begin(agent, { silentUntilMs: untilMs });
    case 'limited': {
      const retryAfter = chance.int(0, RETRY_AFTER_MAX);
      return consul.begin(agent, { limitedUntilMs: untilMs, retryAfter });
    }
    case 'failing':
      return consul.begin(agent, { failingUntilMs: untilMs });
    case 'partial':
      return consul.begin(agent, { partialUntilMs: untilMs, isDoubtful: false });
    case 'doubtful':
      return consul.begin(agent, { partialUntilMs: untilMs, isDoubtful: true });
    case 'truncating':
      return consul.begin(agent, { truncatingUntilMs: untilMs });
    case 'indexless':
      return consul.begin(agent, { indexlessUntilMs: untilMs });
    case 'slow':
      return consul.begin(agent, { slowUntilMs: untilMs, slowMs: chance.int(10, 4000) });
    case 'large':
      return consul.begin(agent, { largeUntilMs: untilMs });
    case 'huge':
      return consul.begin(agent, { hugeUntilMs: untilMs });
    case 'lag': {
      const { lagMs = chance.int(100, 15_000) } = step;
      return consul.begin(agent, { lagUntilMs: untilMs, lagMs });
    }
  }
}
