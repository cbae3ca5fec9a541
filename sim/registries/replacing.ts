// Services of which each instance is replaced as soon as it is there, dozens of times within the time of a few
// reads, as when a deployment goes through many short lives or a supervisor starts something again and again. The new
// one is registered before the old one leaves: at no moment is there none. Drawn apart, in some of the runs.
import type { Chance } from '../kernel/chance.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { isReplaced, MEMBERS } from './members.ts';

/** One after the other, with `everyMs` between them at most. */
export interface ReplaceStep {
  readonly atMs: number;
  readonly kind: 'replace';
  readonly which: number;
  readonly count: number;
  readonly everyMs: number;
  /** How long both are there at most. */
  readonly bothMs: number;
}

const SHARE = 0.4;
/** Not before all of it is long known. */
const FROM_MS = 50_000;

/** Whether the run has such services. */
export function drawReplacing(kernel: Kernel): boolean {
  return kernel.chance('replacing').happens(SHARE);
}

export function replacingPlanOf(kernel: Kernel, untilMs: number): ReplaceStep[] {
  if (!drawReplacing(kernel)) return [];
  const chance = kernel.chance('replacing plan');
  const mine = [...MEMBERS.keys()].filter((which) => isReplaced(MEMBERS[which]!));
  return Array.from({ length: chance.int(1, 6) }, () => draw(chance, mine, untilMs));
}

function draw(chance: Chance, mine: readonly number[], untilMs: number): ReplaceStep {
  return {
    atMs: Math.round(chance.between(FROM_MS, untilMs)),
    kind: 'replace',
    which: chance.pick(mine),
    count: chance.int(1, 120),
    everyMs: chance.size(1, 60),
    bothMs: chance.size(1, 6) / 2,
  };
}

export function textOfReplace({ count, everyMs, bothMs }: ReplaceStep, name: string): string {
  return `${name} is replaced ${count} times, within ${everyMs + bothMs} ms each`;
}
