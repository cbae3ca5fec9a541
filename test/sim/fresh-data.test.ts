import { runWorld } from '../../sim/data/world.ts';
import { tryFreshSeeds } from './fresh-seeds.ts';

// About one world in a thousand finds something, in the product or the simulator: run it for longer by `npm run sim`.
tryFreshSeeds('data', runWorld, 6000);
