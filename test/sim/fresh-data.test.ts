import { runWorld } from '../../sim/data/world.ts';
import { tryFreshSeeds } from './fresh-seeds.ts';

// The plane with the most state that is shared over time gets the most of it.
tryFreshSeeds('data', runWorld, 25_000);
