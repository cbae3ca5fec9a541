// Every foreign input that is fuzzed: `npm run fuzz -- --target NAME`.
import { fuzzOnce } from '../http1/fuzzing.ts';
import { acmeTarget } from './acme.ts';
import { adminTarget } from './admin.ts';
import { answerTargets } from './answers.ts';
import { checkTargets } from './checks.ts';
import { configTargets } from './config.ts';
import { consulTargets } from './consul.ts';
import { containerTargets } from './containers.ts';
import { dnsTarget } from './dns.ts';
import { fileTargets } from './files.ts';
import { forwardedTarget } from './forwarded.ts';
import { grpcTargets } from './grpc.ts';
import { hiddenTarget } from './hidden.ts';
import { http2Target } from './http2.ts';
import { http2EndpointTarget } from './http2-endpoint.ts';
import { openingTargets } from './openings.ts';
import { registryTargets } from './registries.ts';
import { type FuzzTarget, fuzzTarget } from './target.ts';
import { zookeeperTargets } from './zookeeper.ts';

export const targets: readonly FuzzTarget[] = [
  ...consulTargets,
  ...configTargets,
  acmeTarget,
  adminTarget,
  http2Target,
  http2EndpointTarget,
  ...grpcTargets,
  forwardedTarget,
  hiddenTarget,
  dnsTarget,
  ...containerTargets,
  ...openingTargets,
  ...zookeeperTargets,
  ...registryTargets,
  ...answerTargets,
  ...checkTargets,
  ...fileTargets,
];

/** One run of a target, by name; `http` is the parser's. Rejects where a rule is broken. */
export const runs: ReadonlyMap<string, (seed: number) => Promise<void>> = new Map([
  ['http', async (seed) => fuzzOnce(seed)],
  ...targets.map((target) => [target.name, (seed: number) => fuzzTarget(target, seed)] as const),
]);
