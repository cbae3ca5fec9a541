import { tryFreshSeeds } from './fresh-seeds.ts';

tryFreshSeeds('udp', 7000, 1500);
