import { tryFreshSeeds } from './fresh-seeds.ts';

tryFreshSeeds('data', 20_000, 150);
