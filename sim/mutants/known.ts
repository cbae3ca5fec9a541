// Every known fault, plane by plane.
import { controlMutants } from './control-mutants.ts';
import { dataMutants } from './data-mutants.ts';
import { http2Mutants } from './http2-mutants.ts';
import type { Mutant } from './mutant.ts';
import { sessionMutants } from './session-mutants.ts';
import { tlsMutants } from './tls-mutants.ts';
import { udpMutants } from './udp-mutants.ts';
import { zookeeperMutants } from './zookeeper-mutants.ts';

export const knownMutants: readonly Mutant[] = [
  ...dataMutants,
  ...http2Mutants,
  ...sessionMutants,
  ...tlsMutants,
  ...controlMutants,
  ...zookeeperMutants,
  ...udpMutants,
];
