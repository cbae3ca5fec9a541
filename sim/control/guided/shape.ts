// What a world of the control plane may have beside plain services: one that follows its primary, one with
// priorities, one whose endpoints are where none may be, one that asks for listeners it may not have.
import type { Kernel } from '../../kernel/kernel.ts';

/** How the primary of `db` is known. */
export type PrimaryBy = 'tag' | 'lock' | 'redis' | 'http';

export interface GuidedShape {
  readonly primaryBy: PrimaryBy;
  /** `failover.after` and `failover.return_after` of `tier`, seconds. */
  readonly afterS: number;
  readonly returnS: number;
  /** `tier` has an active check. */
  readonly isTierChecked: boolean;
}

export const LEADER_TAG = 'leader';
export const LOCK_KEY = 'locks/db';
/** The last resort of `tier`: an endpoint of the configuration, which always answers. */
export const LAST_RESORT = '10.1.0.8:80';

/** Half of the worlds have it; null for the others. Drawn apart: it moves no other draw. */
export function guidedShapeOf(kernel: Kernel): GuidedShape | null {
  const chance = kernel.chance('guided');
  if (!chance.happens(0.5)) return null;
  return {
    primaryBy: chance.pick(['tag', 'lock', 'redis', 'http']),
    afterS: chance.pick([0, 0, 3]),
    returnS: chance.pick([2, 10, 30]),
    isTierChecked: chance.happens(0.5),
  };
}

/** The services of it in configuration number `variant`. */
export function guidedServices(variant: number, shape: GuidedShape): string {
  const { afterS, returnS, isTierChecked } = shape;
  // In one the two are in the opposite order.
  const [blue, green] = variant === 4 ? [2, 1] : [1, 2];
  const sources = [
    `{ service: tier, tag: blue, priority: ${blue} }`,
    `{ service: tier, tag: green, priority: ${green} }`,
    '{ registry: static, service: last, priority: 3 }',
  ];
  const check = isTierChecked ? ', health: { interval: 2s, timeout: 1s, path: /health }' : '';
  const failover = `failover: { after: ${afterS}s, return_after: ${returnS}s }`;
  const db = `  db: { listen: 9950, protocol: tcp, select: primary, ${primaryOf(shape)} }\n`;
  return `${variant === 1 ? '' : db}\
  tier: { listen: 9960, from: [${sources.join(', ')}], ${failover}${check} }
  far: { listen: 9970, health: { interval: 3s, timeout: 1s, path: /health } }
`;
}

function primaryOf({ primaryBy }: GuidedShape): string {
  switch (primaryBy) {
    case 'tag':
      return `primary: { tag: ${LEADER_TAG} }`;
    case 'lock':
      return `primary: { lock: ${LOCK_KEY} }`;
    case 'redis':
      return 'health: { type: redis, interval: 1s, timeout: 500ms }';
    case 'http':
      return 'health: { type: http, path: /primary, interval: 1s, timeout: 500ms }';
  }
}
