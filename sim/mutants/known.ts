// Every known fault, plane by plane.
import { callMutants } from './call-mutants.ts';
import { controlMutants } from './control-mutants.ts';
import { dataMutants } from './data-mutants.ts';
import { guidedMutants } from './guided-mutants.ts';
import { http2Mutants } from './http2-mutants.ts';
import { lobbyMutants } from './lobby-mutants.ts';
import { memoryMutants } from './memory-mutants.ts';
import { mindMutants } from './mind-mutants.ts';
import type { Mutant } from './mutant.ts';
import { orderMutants } from './order-mutants.ts';
import { registriesMutants } from './registries-mutants.ts';
import { sessionMutants } from './session-mutants.ts';
import { tlsMutants } from './tls-mutants.ts';
import { tunnelMutants } from './tunnel-mutants.ts';
import { udpMutants } from './udp-mutants.ts';
import { unixMutants } from './unix-mutants.ts';
import { wideMutants } from './wide-mutants.ts';

export const knownMutants: readonly Mutant[] = [
  ...dataMutants,
  ...http2Mutants,
  ...callMutants,
  ...tunnelMutants,
  ...lobbyMutants,
  ...memoryMutants,
  ...sessionMutants,
  ...tlsMutants,
  ...mindMutants,
  ...orderMutants,
  ...unixMutants,
  ...controlMutants,
  ...guidedMutants,
  ...wideMutants,
  ...registriesMutants,
  ...udpMutants,
];
