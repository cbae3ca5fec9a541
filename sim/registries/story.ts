// A failing run of several registries, told.
import { type Story, shortStory as shortStoryOf } from '../kernel/story.ts';
import { planOf, type Step, sentenceOf } from './plan.ts';
import { runRegistriesWorld } from './world.ts';

export function shortStory(seed: number): Promise<Story<Step>> {
  return shortStoryOf(seed, { planOf, run: runRegistriesWorld, sentenceOf, kindOf });
}

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
