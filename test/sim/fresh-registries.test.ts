import { tryFreshSeeds } from './fresh-seeds.ts';

tryFreshSeeds('registries', 16_000, 150);
