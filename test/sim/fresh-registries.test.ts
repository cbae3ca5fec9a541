import { runRegistriesWorld } from '../../sim/registries/world.ts';
import { tryFreshSeeds } from './fresh-seeds.ts';

tryFreshSeeds('registries', runRegistriesWorld);
