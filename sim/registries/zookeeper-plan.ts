// What happens to ZooKeeper in a run of several registries, drawn apart from what happens to the others.
import type { Chance } from '../kernel/chance.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { isReplaced, MEMBERS } from './members.ts';
import type { MemberTrouble } from './sim-zookeeper.ts';
import { SESSION_MS } from './zookeeper-registrar.ts';

export type ZookeeperAction =
  | { readonly kind: 'register' | 'deregister' | 'move'; readonly which: number }
  | { readonly kind: 'cut-off'; readonly which: number; readonly forMs: number }
  | {
      readonly kind: 'zookeeper';
      readonly member: number;
      readonly how: MemberTrouble;
      readonly forMs: number;
    }
  | { readonly kind: 'quorum-lost'; readonly forMs: number }
  | { readonly kind: 'connections-break' | 'znodes-lost' };

export type ZookeeperStep = { readonly atMs: number } & ZookeeperAction;

const MINE: readonly number[] = [...MEMBERS.keys()].filter(
  (which) => MEMBERS[which]!.registry === 'zookeeper' && !isReplaced(MEMBERS[which]!),
);
const BURST_MS = 30;
/** Whoever is registered at the start is known for longer than the oracles ask. */
const LONG_KNOWN_MS = 50_000;
const TROUBLES: readonly MemberTrouble[] = ['down', 'mute', 'silent', 'slow', 'breaking', 'behind'];

/** Most runs leave ZooKeeper alone for long enough that the others' faults are not hidden by it. */
export function zookeeperPlanOf(kernel: Kernel, untilMs: number): ZookeeperStep[] {
  const chance = kernel.chance('zookeeper plan');
  const steps = Array.from({ length: chance.int(0, 24) }, () => ({
    atMs: Math.round(chance.between(500, untilMs)),
    ...draw(chance),
  }));
  const scenes = [...burstOf(kernel, untilMs), ...lossesOf(kernel), ...startOf(kernel, untilMs)];
  return [...steps, ...scenes];
}

/**
 * Instances of one service that come and go within few ms, of a stream of its own, in some of the runs: what
 * changes while a folder is read.
 */
function burstOf(kernel: Kernel, untilMs: number): ZookeeperStep[] {
  const chance = kernel.chance('zookeeper burst');
  if (!chance.happens(0.5)) return [];
  // Late: a session that breaks afterwards would read all again.
  const atMs = chance.between(0.6 * untilMs, untilMs);
  const own = drawService(chance);
  return Array.from({ length: chance.int(4, 10) }, () => ({
    atMs: Math.round(atMs + chance.between(0, BURST_MS)),
    kind: chance.pick(['register', 'deregister', 'move'] as const),
    which: chance.pick(own),
  }));
}

/**
 * All instances of one service leave, and start within few ms when nothing of them is left, in most of the runs: what
 * is registered while its folder is read, and is followed by no other change.
 */
function startOf(kernel: Kernel, untilMs: number): ZookeeperStep[] {
  const chance = kernel.chance('zookeeper start');
  if (!chance.happens(0.7)) return [];
  const own = drawService(chance);
  const startMs = untilMs + chance.between(1.2 * SESSION_MS, 1.8 * SESSION_MS);
  return [
    ...own.map((which) => ({ atMs: untilMs, kind: 'deregister' as const, which })),
    ...own.map((which) => ({
      atMs: startMs + chance.between(0, BURST_MS),
      kind: 'register' as const,
      which,
    })),
  ];
}

/**
 * ZooKeeper begins anew twice, and one instance is cut off meanwhile, in some of the runs: it registers again when
 * `guard.hold` is over since the first time, and not since the second one.
 */
function lossesOf(kernel: Kernel): ZookeeperStep[] {
  const chance = kernel.chance('zookeeper losses');
  if (!chance.happens(0.25)) return [];
  const atMs = Math.round(chance.between(LONG_KNOWN_MS, LONG_KNOWN_MS + 5000));
  const againMs = Math.round(atMs + chance.between(14_000, 24_000));
  const backMs = chance.between(atMs + 32_000, againMs + 28_000);
  const which = chance.pick(MINE);
  return [
    { atMs: atMs - 1, kind: 'cut-off', which, forMs: Math.round(backMs - atMs) },
    { atMs, kind: 'znodes-lost' },
    { atMs: againMs, kind: 'znodes-lost' },
  ];
}

function drawService(chance: Chance): readonly number[] {
  const { service } = MEMBERS[chance.pick(MINE)]!;
  return MINE.filter((which) => MEMBERS[which]!.service === service);
}

function draw(chance: Chance): ZookeeperAction {
  const which = chance.pick(MINE);
  const forMs = chance.size(200, 40_000);
  const of = chance.next();
  if (of < 0.36) return { kind: chance.pick(['register', 'deregister', 'move'] as const), which };
  if (of < 0.46) return { kind: 'cut-off', which, forMs };
  if (of < 0.72)
    return { kind: 'zookeeper', member: chance.int(0, 2), how: chance.pick(TROUBLES), forMs };
  if (of < 0.84) return { kind: 'quorum-lost', forMs };
  return { kind: of < 0.92 ? 'connections-break' : 'znodes-lost' };
}

export function textOfZookeeper(action: ZookeeperAction, name: string): string {
  const seconds = 'forMs' in action ? `for ${(action.forMs / 1000).toFixed(1)} s` : '';
  switch (action.kind) {
    case 'cut-off':
      return `${name} can't reach ZooKeeper ${seconds}`;
    case 'zookeeper':
      return `member ${action.member + 1} of ZooKeeper is ${action.how} ${seconds}`;
    case 'quorum-lost':
      return `ZooKeeper has no quorum ${seconds}`;
    case 'connections-break':
      return 'all connections to ZooKeeper break';
    case 'znodes-lost':
      return 'ZooKeeper begins anew, without any znode';
    default:
      return `${name}: ${action.kind}`;
  }
}
