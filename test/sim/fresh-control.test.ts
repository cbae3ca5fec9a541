import { tryFreshSeeds } from './fresh-seeds.ts';

tryFreshSeeds('control', 17_000, 150);
