// The hunt over worlds of datagrams (hunting.ts).
import { runUdpWorld } from '../data/udp/world.ts';
import { hunt } from './hunting.ts';

await hunt(runUdpWorld);
