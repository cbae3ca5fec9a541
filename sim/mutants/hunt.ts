// The hunt over worlds of the data plane (hunting.ts).
import { runWorld } from '../data/world.ts';
import { hunt } from './hunting.ts';

await hunt(runWorld);
