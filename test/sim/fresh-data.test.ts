import { runWorld } from '../../sim/data/world.ts';
import { tryFreshSeeds } from './fresh-seeds.ts';

// Of its last 3,700 worlds two found something, in the simulator both times: run it for longer by `npm run sim`.
tryFreshSeeds('data', runWorld, 6000);
