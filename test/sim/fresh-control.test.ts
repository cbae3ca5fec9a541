import { runControlWorld } from '../../sim/control/world.ts';
import { tryFreshSeeds } from './fresh-seeds.ts';

// Of its last 2,600 worlds one found something: run it for longer by `npm run sim -- --plane control`.
tryFreshSeeds('control', runControlWorld, 10_000);
