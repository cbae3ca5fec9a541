// What happens in a run of several registries, drawn from its seed before it begins.
import type { Chance } from '../kernel/chance.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { MEMBERS, type RegistryName, SERVERS, variantCount } from './members.ts';
import { type ReplaceStep, replacingPlanOf, textOfReplace } from './replacing.ts';
import type { DnsTrouble } from './sim-dns.ts';
import { textOfZookeeper, type ZookeeperStep, zookeeperPlanOf } from './zookeeper-plan.ts';

export type Step = ({ readonly atMs: number } & Action) | ZookeeperStep | ReplaceStep;

export type ServerTrouble = 'down' | 'silent' | 'slow' | 'failing' | 'behind';

type Action =
  | { readonly kind: 'register' | 'deregister' | 'move' | 'stop'; readonly which: number }
  | { readonly kind: 'pause'; readonly which: number; readonly isOn: boolean }
  | {
      readonly kind: 'server';
      readonly registry: RegistryName;
      readonly server: number;
      readonly trouble: ServerTrouble;
      readonly forMs: number;
    }
  | { readonly kind: 'all-servers'; readonly registry: RegistryName; readonly forMs: number }
  | {
      readonly kind: 'dns';
      readonly server: number;
      readonly how: DnsTrouble;
      readonly forMs: number;
    }
  | { readonly kind: 'cut'; readonly registry: 'etcd' | 'docker' }
  | { readonly kind: 'leaderless'; readonly forMs: number }
  | { readonly kind: 'compact' | 'begin-anew' }
  | { readonly kind: 'noise'; readonly count: number }
  | { readonly kind: 'engine-restart'; readonly forMs: number }
  | { readonly kind: 'reload'; readonly variant: number }
  | { readonly kind: 'worker-dies'; readonly worker: number }
  | { readonly kind: 'crash' | 'restart'; readonly downMs: number };

/** When the last fault may still be going on. */
export const FAULTS_END_MS = 120_000;
const DRAWN_UNTIL_MS = 100_000;

export function planOf(kernel: Kernel): Step[] {
  const chance = kernel.chance('plan');
  const steps = Array.from({ length: chance.int(5, 40) }, (): Step => {
    return { atMs: Math.round(chance.between(500, DRAWN_UNTIL_MS)), ...draw(chance) };
  });
  return [
    ...steps,
    ...zookeeperPlanOf(kernel, DRAWN_UNTIL_MS),
    ...replacingPlanOf(kernel, DRAWN_UNTIL_MS),
  ].sort((a, b) => a.atMs - b.atMs);
}

const OTHERS = MEMBERS.findIndex(({ registry }) => registry === 'zookeeper');
const which = (chance: Chance): number => chance.int(0, OTHERS - 1);
const forMs = (chance: Chance, max = 40_000): number => chance.size(200, max);

/** Each as often as its weight says. */
const MAKERS: readonly (readonly [number, (chance: Chance) => Action])[] = [
  [8, (c) => ({ kind: 'register', which: which(c) })],
  [8, (c) => ({ kind: 'deregister', which: which(c) })],
  [3, (c) => ({ kind: 'move', which: which(c) })],
  [2, (c) => ({ kind: 'stop', which: which(c) })],
  [3, (c) => ({ kind: 'pause', which: which(c), isOn: c.happens(0.5) })],
  [10, serverTrouble],
  [
    3,
    (c) => ({ kind: 'all-servers', registry: c.pick(['etcd', 'docker', 'dns']), forMs: forMs(c) }),
  ],
  [5, dnsTrouble],
  [3, (c) => ({ kind: 'cut', registry: c.pick(['etcd', 'docker']) })],
  [3, (c) => ({ kind: 'leaderless', forMs: forMs(c, 30_000) })],
  [2, () => ({ kind: 'compact' })],
  [1, () => ({ kind: 'begin-anew' })],
  [3, (c) => ({ kind: 'noise', count: c.int(1, 120) })],
  [2, (c) => ({ kind: 'engine-restart', forMs: forMs(c) })],
  [3, (c) => ({ kind: 'reload', variant: c.int(0, variantCount - 1) })],
  [2, (c) => ({ kind: 'worker-dies', worker: c.int(0, 1) })],
  [2, (c) => ({ kind: c.pick(['crash', 'restart']), downMs: c.size(50, 5000) })],
];
const WEIGHTS = MAKERS.reduce((sum, [weight]) => sum + weight, 0);

function draw(chance: Chance): Action {
  let left = chance.between(0, WEIGHTS);
  for (const [weight, make] of MAKERS) {
    left -= weight;
    if (left < 0) return make(chance);
  }
  return MAKERS[0]![1](chance);
}

function serverTrouble(chance: Chance): Action {
  const registry = chance.pick(['etcd', 'etcd', 'docker'] as const);
  const server = chance.int(0, SERVERS[registry].length - 1);
  const troubles = ['down', 'silent', 'slow', 'failing', 'behind'] as const;
  return { kind: 'server', registry, server, trouble: chance.pick(troubles), forMs: forMs(chance) };
}

function dnsTrouble(chance: Chance): Action {
  const hows = ['refuses', 'is silent', 'fails', 'is behind', 'denies once'] as const;
  const how = chance.pick(hows);
  // What is older than this was known by the table before it.
  const max = how === 'is behind' ? 15_000 : 40_000;
  return { kind: 'dns', server: chance.int(0, 1), how, forMs: forMs(chance, max) };
}

/** The step in words. */
export function sentenceOf(step: Step): string {
  return `at ${(step.atMs / 1000).toFixed(3)} s: ${textOf(step)}`;
}

function textOf(step: Step): string {
  const seconds = 'forMs' in step ? `for ${(step.forMs / 1000).toFixed(1)} s` : '';
  const one = 'which' in step ? nameOf(step.which) : '';
  switch (step.kind) {
    case 'register':
    case 'deregister':
      return `${one} is ${step.kind}ed`;
    case 'move':
      return `${one} is registered anew at another port`;
    case 'stop':
      return `${one} is told to stop`;
    case 'pause':
      return `${one} is ${step.isOn ? 'paused' : 'woken'}`;
    case 'server':
      return `server ${step.server + 1} of ${step.registry} is ${step.trouble} ${seconds}`;
    case 'all-servers':
      return `all servers of ${step.registry} are away ${seconds}`;
    case 'dns':
      return `DNS server ${step.server + 1} ${step.how} ${seconds}`;
    case 'cut':
      return `all connections to ${step.registry} break`;
    case 'leaderless':
      return `etcd has no leader ${seconds}`;
    case 'compact':
      return 'etcd forgets its history';
    case 'begin-anew':
      return 'etcd begins anew, without any key';
    case 'noise':
      return `${step.count} keys are written that are none of ours`;
    case 'engine-restart':
      return `the engine is away ${seconds}`;
    case 'reload':
      return `the configuration is reloaded as number ${step.variant}`;
    case 'worker-dies':
      return `worker ${step.worker} dies`;
    case 'crash':
      return `the process is killed and starts again after ${step.downMs} ms`;
    case 'cut-off':
    case 'zookeeper':
    case 'quorum-lost':
    case 'connections-break':
    case 'znodes-lost':
      return textOfZookeeper(step, one);
    case 'replace':
      return textOfReplace(step, one);
    case 'restart':
      return `the process is stopped and starts again after ${step.downMs} ms`;
  }
}

function nameOf(which: number): string {
  const { registry, service, name } = MEMBERS[which]!;
  return `${name} of ${service} in ${registry}`;
}
