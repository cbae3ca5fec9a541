// The hunt over worlds of the control plane (hunting.ts).
import { runControlWorld } from '../control/world.ts';
import { hunt } from './hunting.ts';

await hunt(runControlWorld);
