import { runControlWorld } from '../../sim/control/world.ts';
import { tryFreshSeeds } from './fresh-seeds.ts';

// About one world in a thousand still finds something: run it for longer by `npm run sim -- --plane control`.
tryFreshSeeds('control', runControlWorld, 5000);
