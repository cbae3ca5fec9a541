import { runUdpWorld } from '../../sim/data/udp/world.ts';
import { tryFreshSeeds } from './fresh-seeds.ts';

// Its worlds are small: some hundred of them.
tryFreshSeeds('udp', runUdpWorld, 5000);
