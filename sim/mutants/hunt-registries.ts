// The hunt over worlds of several registries (hunting.ts).
import { runRegistriesWorld } from '../registries/world.ts';
import { hunt } from './hunting.ts';

await hunt(runRegistriesWorld);
