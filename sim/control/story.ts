// A failing run of the control plane, told.
import { type Story, shortStory as shortStoryOf } from '../kernel/story.ts';
import { planOf, type Step, sentenceOf } from './plan.ts';
import { runControlWorld } from './world.ts';

export function shortStory(seed: number): Promise<Story<Step>> {
  return shortStoryOf(seed, { planOf, run: runControlWorld, sentenceOf, kindOf });
}

function kindOf(fault: string): string {
  return fault
    .replace(/^at [\d.]+ s: /, '')
    .replaceAll(/\b(n\d\/)?[a-z]+-\d+(@[\d.]+)?|[\d.:]+|\([^)]*\)|'[^']*'/g, '')
    .split(' ')
    .filter((word) => !SERVICES.has(word.replace(/;$/, '')))
    .slice(0, 12)
    .join(' ');
}

const SERVICES = new Set([
  ...['web', 'second', 'api', 'mq', 'names', 'shop', 'meta', 'over', 'plain'],
  ...['db', 'tier', 'far', 'rogue'],
]);
