import { runControlWorld } from '../../sim/control/world.ts';
import { tryFreshSeeds } from './fresh-seeds.ts';

tryFreshSeeds('control', runControlWorld);
