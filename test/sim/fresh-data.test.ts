import { runWorld } from '../../sim/data/world.ts';
import { tryFreshSeeds } from './fresh-seeds.ts';

tryFreshSeeds('data', runWorld);
