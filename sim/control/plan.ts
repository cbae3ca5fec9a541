// What happens in a run, drawn from its seed before it begins: a list of steps. Any part of it is a
// run as well, so that a failing one can be made short.
import type { Chance } from '../kernel/chance.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { type GuidedAction, guidedPlanOf, textOfGuided } from './guided/plan.ts';
import { scenesOf } from './scenes.ts';
import { AGENTS, DESCRIBED_PORTS, PLAIN_COUNT, REGISTERED, variantCount } from './universe.ts';

export type Step = { readonly atMs: number } & Action;

export type Action =
  | { readonly kind: 'register'; readonly which: number; readonly weight: number }
  | { readonly kind: 'deregister' | 'move' | 'describe'; readonly which: number }
  | {
      readonly kind: 'status';
      readonly which: number;
      readonly status: 'passing' | 'warning' | 'critical';
    }
  | { readonly kind: 'maintenance'; readonly which: number; readonly isOn: boolean }
  | { readonly kind: 'node-maintenance'; readonly node: number; readonly isOn: boolean }
  | { readonly kind: 'overlay'; readonly variant: number }
  | {
      readonly kind: 'agent';
      readonly agent: number;
      readonly trouble: AgentTrouble;
      readonly forMs: number;
      /** How far a server is behind; drawn where it is not said. */
      readonly lagMs?: number;
    }
  | { readonly kind: 'cut'; readonly agent: number }
  | { readonly kind: 'leaderless'; readonly forMs: number }
  | { readonly kind: 'restart-empty'; readonly downMs: number; readonly backMs: number }
  | { readonly kind: 'lower-indexes' }
  | { readonly kind: 'ambush'; readonly backMs: number }
  | {
      readonly kind: 'server';
      readonly server: number;
      readonly how: ServerTrouble;
      readonly forMs: number;
    }
  | {
      readonly kind: 'operate';
      readonly which: number;
      readonly word: 'drain' | 'maint' | 'ready' | 'weight';
    }
  | { readonly kind: 'reload'; readonly variant: number }
  | {
      readonly kind: 'worker-dies' | 'worker-hangs' | 'worker-slow';
      readonly worker: number;
      readonly forMs: number;
    }
  | {
      readonly kind: 'crash';
      readonly downMs: number;
      readonly isPowerLost: boolean;
      readonly file: FileFate;
    }
  | { readonly kind: 'restart'; readonly downMs: number }
  | { readonly kind: 'disk-full'; readonly forMs: number }
  | { readonly kind: 'port'; readonly port: number; readonly forMs: number }
  | { readonly kind: 'name'; readonly isGone: boolean }
  | GuidedAction;

export const AGENT_TROUBLES = [
  ...(['down', 'silent', 'limited', 'failing', 'partial', 'doubtful'] as const),
  ...(['truncating', 'indexless', 'slow', 'lag'] as const),
] as const;
export type AgentTrouble = (typeof AGENT_TROUBLES)[number] | 'large' | 'huge';
export type ServerTrouble = 'refuses' | 'answers 500' | 'is silent';
/** What the state file is found as after a crash. */
export type FileFate =
  | ('as it was' | 'torn' | 'cut at a line')
  | ('of another version' | 'of another registry' | 'away');

/** When the last fault may still be going on. */
export const FAULTS_END_MS = 120_000;

/** `isGuided`: with what the world's own draws may give it beside plain services. */
export function planOf(kernel: Kernel, isGuided = true): Step[] {
  const chance = kernel.chance('plan');
  const count = chance.int(5, 45);
  const steps = Array.from({ length: count }, (): Step => {
    return { atMs: Math.round(chance.between(500, FAULTS_END_MS - 20_000)), ...draw(chance) };
  });
  // Of their own stream: workers that are behind while much changes.
  const hangs = kernel.chance('hangs');
  const more = Array.from({ length: hangs.int(0, 4) }, (): Step => {
    const atMs = Math.round(hangs.between(500, FAULTS_END_MS - 20_000));
    return { atMs, kind: 'worker-hangs', worker: hangs.int(0, 1), forMs: forMs(hangs, 15_000) };
  });
  const ports = kernel.chance('ports');
  const taken = Array.from({ length: ports.int(0, 3) }, (): Step => {
    const atMs = Math.round(ports.between(0, FAULTS_END_MS - 20_000));
    const port = ports.pick([...DESCRIBED_PORTS.values()]);
    return { atMs, kind: 'port', port, forMs: forMs(ports, 30_000) };
  });
  const scenes = scenesOf(kernel, FAULTS_END_MS);
  const guided = isGuided ? guidedPlanOf(kernel, FAULTS_END_MS - 20_000) : [];
  return [...steps, ...more, ...taken, ...scenes, ...guided].sort((a, b) => a.atMs - b.atMs);
}

type Maker = (chance: Chance) => Action;

const which = (chance: Chance): number => chance.int(0, PLAIN_COUNT - 1);
const agent = (chance: Chance): number => chance.int(0, AGENTS.length - 1);
const forMs = (chance: Chance, max = 60_000): number => chance.size(200, max);

/** Each as often as its weight says. */
const MAKERS: readonly (readonly [number, Maker])[] = [
  [8, (c) => ({ kind: 'register', which: which(c), weight: c.pick([1, 1, 1, 5, 0]) })],
  [7, (c) => ({ kind: 'deregister', which: which(c) })],
  [2, (c) => ({ kind: 'move', which: which(c) })],
  [2, (c) => ({ kind: 'describe', which: which(c) })],
  [
    5,
    (c) => ({
      kind: 'status',
      which: which(c),
      status: c.pick(['passing', 'warning', 'critical']),
    }),
  ],
  [2, (c) => ({ kind: 'maintenance', which: which(c), isOn: c.happens(0.5) })],
  [1, (c) => ({ kind: 'node-maintenance', node: c.int(0, 2), isOn: c.happens(0.5) })],
  [2, (c) => ({ kind: 'overlay', variant: c.int(0, 3) })],
  [
    12,
    (c) => ({ kind: 'agent', agent: agent(c), trouble: c.pick(AGENT_TROUBLES), forMs: forMs(c) }),
  ],
  [2, (c) => ({ kind: 'cut', agent: agent(c) })],
  [2, (c) => ({ kind: 'leaderless', forMs: forMs(c) })],
  [2, (c) => ({ kind: 'restart-empty', downMs: c.int(300, 8000), backMs: c.int(100, 15_000) })],
  [1, () => ({ kind: 'lower-indexes' })],
  [
    3,
    (c) => ({
      kind: 'server',
      server: c.int(0, PLAIN_COUNT - 1),
      how: c.pick(['refuses', 'answers 500', 'is silent']),
      forMs: forMs(c),
    }),
  ],
  [
    3,
    (c) => ({
      kind: 'operate',
      which: which(c),
      word: c.pick(['drain', 'maint', 'ready', 'weight']),
    }),
  ],
  [3, (c) => ({ kind: 'reload', variant: c.int(0, variantCount - 1) })],
  [2, (c) => ({ kind: 'worker-dies', worker: c.int(0, 1), forMs: 0 })],
  [1, (c) => ({ kind: 'worker-hangs', worker: c.int(0, 1), forMs: forMs(c, 40_000) })],
  [
    2,
    (c) => ({
      kind: 'crash',
      downMs: c.int(10, 5000),
      isPowerLost: c.happens(0.3),
      file: c.happens(0.6)
        ? 'as it was'
        : c.pick(['torn', 'of another version', 'of another registry', 'away']),
    }),
  ],
  [1, (c) => ({ kind: 'restart', downMs: c.int(10, 5000) })],
  [1, (c) => ({ kind: 'disk-full', forMs: forMs(c) })],
  [1, (c) => ({ kind: 'name', isGone: c.happens(0.4) })],
];
const WEIGHTS = MAKERS.reduce((sum, [weight]) => sum + weight, 0);

function draw(chance: Chance): Action {
  let at = chance.next() * WEIGHTS;
  for (const [weight, make] of MAKERS) {
    at -= weight;
    if (at < 0) return make(chance);
  }
  return MAKERS[0]![1](chance);
}

/** The step in a sentence. */
export function sentenceOf(step: Step): string {
  return `At ${(step.atMs / 1000).toFixed(2)} s ${happening(step)}.`;
}

function happening(step: Action): string {
  const seconds = 'forMs' in step ? `for ${(step.forMs / 1000).toFixed(1)} s` : '';
  const one = 'which' in step ? nameOf(step.which) : '';
  switch (step.kind) {
    case 'register':
      return `${one} registers with weight ${step.weight}`;
    case 'deregister':
      return `${one} is deregistered`;
    case 'move':
      return `${one} registers again at another port`;
    case 'describe':
      return `${REGISTERED[step.which]!.service} describes itself, or ceases to`;
    case 'status':
      return `the check of ${one} becomes ${step.status}`;
    case 'maintenance':
      return `maintenance of ${one} ${step.isOn ? 'begins' : 'ends'}`;
    case 'node-maintenance':
      return `maintenance of node n${step.node + 1} ${step.isOn ? 'begins' : 'ends'}`;
    case 'overlay':
      return `the overlay in the KV store becomes number ${step.variant}`;
    case 'agent':
      return `agent ${step.agent + 1} is ${step.trouble} ${seconds}`;
    case 'cut':
      return `all connections to agent ${step.agent + 1} break`;
    case 'leaderless':
      return `the cluster has no leader ${seconds}`;
    case 'restart-empty':
      return `Consul restarts without data, is back after ${step.downMs} ms, and all register again within ${step.backMs} ms`;
    case 'lower-indexes':
      return 'Consul is restored from a snapshot: the indexes fall';
    case 'ambush':
      return `after the next answer that lacks somebody Consul begins anew, and all register again within ${step.backMs} ms`;
    case 'server':
      return `the server of ${nameOf(step.server)} ${step.how} ${seconds}`;
    case 'operate':
      return `an operator says ${step.word} of ${one}`;
    case 'reload':
      return `the configuration is reloaded as number ${step.variant}`;
    case 'worker-dies':
      return `worker ${step.worker} dies`;
    case 'worker-hangs':
      return `worker ${step.worker} hangs ${seconds}`;
    case 'worker-slow':
      return `worker ${step.worker} takes its time for each message ${seconds}`;
    case 'crash':
      return `the process is killed${step.isPowerLost ? ' as the power fails' : ''} and starts again after ${step.downMs} ms; its state file is ${step.file}`;
    case 'restart':
      return `the process is stopped and starts again after ${step.downMs} ms`;
    case 'disk-full':
      return `the disk is full ${seconds}`;
    case 'port':
      return `another program has port ${step.port} ${seconds}`;
    case 'name':
      return step.isGone ? 'the host name is gone from DNS' : 'the host name gets another address';
    case 'promote':
    case 'abdicate':
    case 'listen':
    case 'roam':
      return textOfGuided(step, one);
  }
}

function nameOf(which: number): string {
  const { service, id } = REGISTERED[which]!;
  return `${id} of ${service}`;
}
