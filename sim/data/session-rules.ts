// The rules of TCP sessions that a world draws: what becomes of sessions when their endpoint goes, who is
// the primary, and how many connections one source may have. And the changes that put them to the test.
import type { Service } from '../../src/model/service.ts';
import { Chance } from '../kernel/chance.ts';
import type { Weights } from './weights.ts';

/** What a session rule may be changed by; played by session-changes.ts. */
export interface SessionChangePlan {
  /** `session change 3`: names its draws. */
  readonly name: string;
  readonly atMs: number;
  readonly service: string;
  readonly kind: 'primary' | 'flap';
  readonly forMs: number;
}

/** How many sources the clients of a world come from. */
const SOURCES = 3;

/** The policy with rules for its sessions; `isPlain`: none that could refuse one; `fates`: when they end, ms. */
export function withSessionRules(
  chance: Chance,
  service: Service,
  { isPlain, fates }: { isPlain: boolean; fates: Weights['fates'] },
): Service {
  const onDownMs = chance.pick(fates);
  const onDrainMs = chance.pick(fates);
  const isLimited = !isPlain && chance.happens(0.4);
  const { limits } = service;
  const connectionsPerClient = isLimited ? chance.int(1, 4) : limits.connectionsPerClient;
  return {
    ...service,
    tcp: { ...service.tcp, onDownMs, onDrainMs },
    limits: { ...limits, connectionsPerClient },
  };
}

/** Whether the TCP service of this name sends to its primary alone. */
export function followsPrimary(seed: number, service: string): boolean {
  return new Chance(seed, `primary of ${service}`).happens(0.4);
}

/** The address of the client with this number: several have the same. */
export function sourceOfClient(index: number): string {
  return `10.9.0.${(index % SOURCES) + 1}`;
}

/** How long a client says nothing in mid-session, ms: some sessions are long. `share`: of those that rest. */
export function drawRest(chance: Chance, share: number): number {
  return chance.happens(share) ? chance.between(200, 2500) : 0;
}

interface SessionChangeOptions {
  readonly weights: Weights;
  readonly spanMs: number;
  /** TCP services, and whether they follow their primary. */
  readonly services: readonly { readonly name: string; readonly follows: boolean }[];
}

/** Changes of primaries, and endpoints whose state changes several times in a row. */
export function drawSessionChanges(
  seed: number,
  { weights, spanMs, services }: SessionChangeOptions,
): SessionChangePlan[] {
  const chance = new Chance(seed, 'session changes');
  if (services.length === 0 || chance.happens(0.2)) return [];
  return Array.from({ length: chance.int(1, weights.sessionChanges) }, (_, i) => {
    const { name: service, follows } = chance.pick(services);
    const isTurn = chance.happens(0.5);
    return {
      name: `session change ${i}`,
      atMs: chance.between(20, spanMs * 1.2),
      service,
      kind: follows && isTurn ? ('primary' as const) : ('flap' as const),
      forMs: chance.size(1, 1500),
    };
  });
}
