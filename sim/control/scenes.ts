// Sequences of steps that belong together: what chance alone brings about too seldom. Their steps are
// steps of the plan like all others, so that a failing run is made short in the same way.
import type { Chance } from '../kernel/chance.ts';
import type { Action, Step } from './plan.ts';
import { REGISTERED, variantCount } from './universe.ts';

type Scene = (chance: Chance, atMs: number) => Step[];

/** One or two scenes, in most of the runs. */
export function scenesOf(chance: Chance, endMs: number): Step[] {
  if (chance.happens(0.3)) return [];
  const count = chance.int(1, 2);
  return Array.from({ length: count }, () => {
    const atMs = chance.int(5000, endMs - 30_000);
    return chance.pick(SCENES)(chance, atMs);
  }).flat();
}

const which = (chance: Chance): number => chance.int(0, REGISTERED.length - 1);

function at(atMs: number, action: Action): Step {
  return { atMs: Math.round(atMs), ...action };
}

/** Some register, and then all servers but the leader are behind: they don't know of it yet. */
const behind: Scene = (chance, atMs) => {
  const steps = Array.from({ length: chance.int(1, 4) }, () => {
    const weight = chance.pick([1, 1, 5]);
    return at(atMs + chance.between(0, 1500), { kind: 'register', which: which(chance), weight });
  });
  const lagMs = chance.between(500, 4000);
  const lags = [0, 1].map((agent) => {
    const forMs = chance.int(2000, 20_000);
    return at(atMs + 1500 + lagMs, { kind: 'agent', agent, trouble: 'lag', forMs });
  });
  return [...steps, ...lags];
};

/** Answers lack somebody, and just then Consul begins anew. */
const ambush: Scene = (chance, atMs) => {
  const trouble = chance.pick(['partial', 'partial', 'doubtful'] as const);
  const agents = [0, 1].map((agent) => {
    return at(atMs + 10, { kind: 'agent', agent, trouble, forMs: chance.int(5000, 20_000) });
  });
  const cuts = [0, 1].map((agent) => at(atMs + 20, { kind: 'cut', agent }));
  return [
    at(atMs, { kind: 'ambush', backMs: chance.int(1000, 15_000) }),
    ...agents,
    ...(chance.happens(0.3) ? cuts : []),
  ];
};

/** Much changes while a worker takes its time for each message. */
const churn: Scene = (chance, atMs) => {
  const slow = at(atMs, { kind: 'worker-slow', worker: chance.int(0, 1), forMs: 12_000 });
  const steps = Array.from({ length: chance.int(8, 25) }, () => {
    const kind = chance.pick(['move', 'move', 'deregister', 'register'] as const);
    const one = which(chance);
    const action: Action =
      kind === 'register' ? { kind, which: one, weight: 1 } : { kind, which: one };
    return at(atMs + chance.between(100, 12_000), action);
  });
  return [slow, ...steps];
};

/** An operator speaks, and then the configuration is reloaded. */
const words: Scene = (chance, atMs) => {
  const spoken = Array.from({ length: chance.int(2, 6) }, () => {
    const word = chance.pick(['drain', 'maint', 'weight'] as const);
    return at(atMs + chance.between(0, 1000), { kind: 'operate', which: which(chance), word });
  });
  const variant = chance.int(0, variantCount - 1);
  const reload = at(atMs + chance.between(1100, 4000), { kind: 'reload', variant });
  const weights = Array.from({ length: 4 }, () => {
    const weight = chance.pick([1, 2, 5]);
    const action: Action = { kind: 'register', which: which(chance), weight };
    return at(atMs + chance.between(6000, 15_000), action);
  });
  return [...spoken, reload, ...weights];
};

/** The process dies while nobody can be asked, and what is registered changes meanwhile. */
const away: Scene = (chance, atMs) => {
  const trouble = chance.pick(['down', 'failing', 'limited'] as const);
  const agents = [0, 1].map((agent) => {
    return at(atMs, { kind: 'agent', agent, trouble, forMs: chance.int(4000, 15_000) });
  });
  const file = chance.pick(['as it was', 'as it was', 'cut at a line', 'torn'] as const);
  const isPowerLost = chance.happens(0.2);
  const downMs = chance.int(10, 2000);
  const crash = at(atMs + 100, { kind: 'crash', downMs, isPowerLost, file });
  const changes = Array.from({ length: chance.int(2, 6) }, () => {
    const kind = chance.pick(['deregister', 'move', 'describe'] as const);
    return at(atMs + chance.between(0, 4000), { kind, which: which(chance) });
  });
  return [...agents, crash, ...changes];
};

/** The overlay comes and goes, and the file is reloaded in between. */
const overlay: Scene = (chance, atMs) => {
  return Array.from({ length: chance.int(3, 6) }, (_, i) => {
    const atMsOfOne = atMs + i * chance.between(100, 4000);
    if (chance.happens(0.3)) {
      return at(atMsOfOne, { kind: 'reload', variant: chance.int(0, variantCount - 1) });
    }
    return at(atMsOfOne, { kind: 'overlay', variant: chance.int(0, 3) });
  });
};

/** One reload waits for a registry that does not answer, and the next has nothing to wait for. */
const reloads: Scene = (chance, atMs) => {
  const trouble = chance.pick(['silent', 'down', 'limited'] as const);
  const agents = [0, 1].map((agent) => {
    return at(atMs, { kind: 'agent', agent, trouble, forMs: chance.int(3000, 15_000) });
  });
  return [
    ...agents,
    at(atMs + 100, { kind: 'reload', variant: 2 }),
    at(atMs + chance.between(1500, 5000), { kind: 'reload', variant: chance.pick([0, 1, 4]) }),
  ];
};

/** Workers die again and again. */
const deaths: Scene = (chance, atMs) => {
  return Array.from({ length: chance.int(2, 8) }, () => {
    const worker = chance.int(0, 1);
    return at(atMs + chance.between(0, 6000), { kind: 'worker-dies', worker, forMs: 0 });
  });
};

/** Consul fills up again, and all servers but the leader are behind. */
const refill: Scene = (chance, atMs) => {
  const [downMs, backMs] = [chance.int(300, 4000), chance.int(2000, 13_000)];
  const lags = [0, 1].map((agent) => {
    const forMs = chance.int(15_000, 40_000);
    return at(atMs + chance.between(1, 500), { kind: 'agent', agent, trouble: 'lag', forMs });
  });
  return [at(atMs, { kind: 'restart-empty', downMs, backMs }), ...lags];
};

/** Consul begins anew, and again while the leader can't be asked about the first time. */
const twice: Scene = (chance, atMs) => {
  const restart = (afterMs: number): Step => {
    const [downMs, backMs] = [chance.int(300, 4000), chance.int(1000, 10_000)];
    return at(atMs + afterMs, { kind: 'restart-empty', downMs, backMs });
  };
  const againMs = chance.between(6000, 14_000);
  const forMs = chance.int(10_000, 30_000);
  return [
    restart(0),
    at(atMs + againMs, { kind: 'leaderless', forMs }),
    restart(againMs + chance.between(0, 1500)),
  ];
};

const SCENES: readonly Scene[] = [
  ...[behind, ambush, churn, words, away, overlay, reloads, deaths],
  ...[ambush, ambush, refill, refill, twice, words],
];
